#include "datasets/adapters.h"

namespace assay::datasets {

void adapt_race_passage(Fields& fields, const Place& place) {
  constexpr std::string_view kBlank = "  _  .";
  const json::Value record = place.record();
  const auto questions = record.at("questions").strings();
  const auto letters = record.at("answers").strings();
  const json::Value options = record.at("options");
  if (questions.empty() || letters.size() != questions.size() ||
      options.size() != questions.size()) {
    place.fail("questions, options and answers differ in number");
  }
  std::vector<std::string> earlier;
  for (size_t i = 0; i < questions.size(); ++i) {
    const auto choices = options[i].strings();
    const size_t answer = letters[i].size() == 1 ? static_cast<size_t>(letters[i][0] - 'A') : 26;
    if (answer >= choices.size()) place.fail("answer \"" + letters[i] + "\" is no option");
    if (i + 1 == questions.size()) {
      fields["question"] = questions[i];
      fields["choices"] = choices;
      fields["answer"] = static_cast<int64_t>(answer);
    } else if (questions[i].ends_with(kBlank)) {
      // One of the two spaces before the blank stays.
      earlier.push_back(questions[i].substr(0, questions[i].size() - kBlank.size() + 1) +
                        choices[answer] + "\n");
    } else {
      earlier.push_back("Question: " + questions[i] + "\nAnswer: " + choices[answer] + "\n");
    }
  }
  fields["earlier"] = std::move(earlier);
  for (const char* name : {"questions", "options", "answers"}) fields.erase(name);
}

}  // namespace assay::datasets
