#include "tasks/answers/scorers.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/utf8.h"
#include "tasks/answers/agieval.h"
#include "tasks/answers/cmrc.h"
#include "tasks/answers/drop.h"
#include "tasks/answers/normalise.h"
#include "tasks/answers/regex.h"
#include "tasks/key_reader.h"

namespace assay::tasks::answers {
namespace {

using Options = Scorer::Options;

template <class Equal>
double any_gold(const ScorerInput& input, Equal equal) {
  return std::any_of(input.golds.begin(), input.golds.end(), equal) ? 1 : 0;
}

template <class Value>
double best_gold(const ScorerInput& input, Value value) {
  double best = 0;
  for (const std::string& gold : input.golds) best = std::max(best, value(gold));
  return best;
}

// lm-eval's exact_match (task-specs 0.12): deletions, then case, then punctuation; no trimming.
std::string ignoring(std::string_view text, const Options& options) {
  std::string out(text);
  for (const std::string& pattern : options.ignore) {
    re2::RE2::GlobalReplace(&out, compiled(pattern), "");
  }
  if (options.ignore_case) out = lower(out);
  if (options.ignore_punctuation) out = without_ascii_punctuation(out);
  return out;
}

double exact(const ScorerInput& input, const Options& options) {
  std::string prediction = ignoring(input.prediction, options);
  return any_gold(input, [&](const std::string& g) { return prediction == ignoring(g, options); });
}

double number(const ScorerInput& input, const Options&) {
  return any_gold(input, [&](const std::string& g) { return same_number(input.prediction, g); });
}

double squad_em(const ScorerInput& input, const Options&) {
  std::string prediction = n_squad(input.prediction);
  return any_gold(input, [&](const std::string& g) { return prediction == n_squad(g); });
}

double squad_f1(const ScorerInput& input, const Options&) {
  std::string prediction = n_squad(input.prediction);
  return best_gold(input, [&](const std::string& g) { return bag_f1(prediction, n_squad(g)); });
}

double trivia_em(const ScorerInput& input, const Options&) {
  std::string prediction = n_trivia(input.prediction);
  return any_gold(input, [&](const std::string& g) { return prediction == n_trivia(g); });
}

double trivia_f1(const ScorerInput& input, const Options&) {
  std::string prediction = n_trivia(input.prediction);
  return best_gold(input, [&](const std::string& g) { return bag_f1(prediction, n_trivia(g)); });
}

double contains(const ScorerInput& input, const Options& options) {
  std::string prediction = ignoring(input.prediction, options);
  return any_gold(input, [&](const std::string& g) {
    return prediction.find(ignoring(g, options)) != std::string::npos;
  });
}

// CLUEWSC: naming the span is right exactly where the label says that it is meant.
double wsc_label(const ScorerInput& input, const Options& options) {
  const bool same = exact(input, options) == 1;
  return same == (input.fields.string("label") == "true") ? 1 : 0;
}

struct Named {
  std::string_view name;
  Scorer::Function function;
};
constexpr std::array kScorers = std::to_array<Named>({
    {"exact", exact},
    {"number", number},
    {"squad_em", squad_em},
    {"squad_f1", squad_f1},
    {"trivia_em", trivia_em},
    {"trivia_f1", trivia_f1},
    {"contains", contains},
    {"drop_em", [](const ScorerInput& in, const Options&) { return drop_em(in.prediction, in.golds); }},
    {"drop_f1", [](const ScorerInput& in, const Options&) { return drop_f1(in.prediction, in.golds); }},
    {"cmrc_em", [](const ScorerInput& in, const Options&) { return cmrc_em(in.prediction, in.golds); }},
    {"cmrc_f1", [](const ScorerInput& in, const Options&) { return cmrc_f1(in.prediction, in.golds); }},
    {"wsc_label", wsc_label},
    {"agieval_math",
     [](const ScorerInput& in, const Options&) {
       return score_agieval_math(in.prediction, in.golds);
     }},
    {"agieval",
     [](const ScorerInput& in, const Options&) {
       return score_agieval(in.prediction, in.golds, in.fields);
     }},
});

}  // namespace

Scorer::Scorer(json::Value rule) {
  json::Value name = rule.at("compare");
  std::vector<std::string_view> names;
  for (const Named& scorer : kScorers) {
    if (scorer.name == name.string()) function_ = scorer.function;
    names.push_back(scorer.name);
  }
  if (!function_) {
    std::string near = nearest_word(name.string(), names.data(), names.size());
    name.fail("no such comparison",
              near.empty() ? "docs/adding-a-task.md lists them" : "did you mean " + near + "?");
  }
  if (json::Value ignore = rule.find("ignore"); ignore.exists()) {
    options_.ignore = ignore.strings();
    for (const std::string& pattern : options_.ignore) compiled(pattern, ignore.where());
  }
  options_.ignore_case = rule.boolean_or("ignore_case", false);
  options_.ignore_punctuation = rule.boolean_or("ignore_punctuation", false);
}

double Scorer::score(const ScorerInput& input) const { return function_(input, options_); }

}  // namespace assay::tasks::answers
