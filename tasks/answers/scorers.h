// Comparing an extracted answer with the gold answers: exact, numbers, F1, LaTeX equivalence ...
//
// scorers.cpp holds the table of named scorers; a new one is a function and a line there.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "tasks/fields.h"

namespace re2 {
class RE2;
}

namespace assay::tasks::answers {

struct ScorerInput {
  std::string_view prediction;            // as extracted
  const std::vector<std::string>& golds;  // the task's gold texts
  const Fields& fields;                   // of the document, for answers with structure
};

// A task file's {"compare": NAME, ...}: a value in [0, 1], exactly 1 for a right answer.
//   exact        equality, after "ignore": [REGEX] is deleted, "ignore_case", "ignore_punctuation"
//   number       N-num of task-specs 0.8
//   ...          the table in scorers.cpp; docs/adding-a-task.md
class Scorer {
 public:
  Scorer() = default;
  explicit Scorer(json::Value rule);
  double score(const ScorerInput& input) const;
  struct Options {
    std::vector<std::string> ignore;  // regexes
    bool ignore_case = false, ignore_punctuation = false;
  };
  using Function = double (*)(const ScorerInput& input, const Options& options);

 private:
  Function function_ = nullptr;
  Options options_;
};

}  // namespace assay::tasks::answers
