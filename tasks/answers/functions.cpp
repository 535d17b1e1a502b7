#include "tasks/answers/functions.h"

#include <array>
#include <utility>

#include "base/error.h"
#include "tasks/answers/agieval.h"

namespace assay::tasks::answers {
namespace {

constexpr std::array<std::pair<std::string_view, ExtractFunction>, 2> kFunctions{{
    {"agieval", extract_agieval},
    {"whole",
     [](std::string_view text, const Fields&) { return std::optional(std::string(text)); }},
}};

}  // namespace

ExtractFunction find_extract_function(std::string_view name, const std::string& where) {
  std::array<std::string_view, kFunctions.size()> names;
  for (size_t i = 0; i < kFunctions.size(); ++i) {
    if (kFunctions[i].first == name) return kFunctions[i].second;
    names[i] = kFunctions[i].first;
  }
  std::string near = nearest_word(name, names.data(), names.size());
  throw_bad_input(
      "no extraction function '" + std::string(name) + "'", where,
      near.empty() ? "tasks/answers/functions.cpp holds them" : "did you mean " + near + "?");
}

}  // namespace assay::tasks::answers
