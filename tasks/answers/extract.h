// Finding the answer in a generated text: an ordered list of ways, then filters.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "tasks/filters.h"
#include "tasks/template.h"

namespace assay::tasks::answers {

// Finds an answer in a text; nullopt where there is none.
using ExtractFunction = std::optional<std::string> (*)(std::string_view text, const Fields& fields);

// A task file's "prepare", "extract", "clean" and "none":
//   "prepare": [filter, ...]     applied to the whole generated text first
//   "extract": [{"first": REGEX} | {"last": REGEX} | {"after": TEXT} | {"after_last": TEXT} |
//               {"function": NAME} | "whole" | "first_line", ...]   the first way that finds
//               something decides; a regex gives its first non-empty group, or the whole match
//   "clean": [filter, ...]       applied to what was found
//   "none": text                 what stands for "nothing found" (default: the empty text)
// REGEX and TEXT are templates: they may name fields, e.g. of the group.
class Extraction {
 public:
  Extraction() = default;  // the whole text
  // Reads the keys of `rule`; missing ones come from `fallback`.
  Extraction(json::Value rule, const Extraction* fallback);

  struct Result {
    std::string answer;
    bool found = true;
  };
  Result apply(std::string_view generated, const Fields& fields) const;

 private:
  struct Way;
  std::vector<std::shared_ptr<const Way>> ways_;
  std::vector<Filter> prepare_, clean_;
  std::string none_;
};

// Regex matches as lm-eval's filter takes them: the first non-empty group, else the match.
std::optional<std::string> first_match(std::string_view text, const std::string& pattern);
std::optional<std::string> last_match(std::string_view text, const std::string& pattern);

}  // namespace assay::tasks::answers
