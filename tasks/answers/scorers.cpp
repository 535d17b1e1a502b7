#include "tasks/answers/scorers.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/utf8.h"
#include "tasks/answers/agieval.h"
#include "tasks/answers/cmrc.h"
#include "tasks/answers/drop.h"
#include "tasks/answers/extract.h"
#include "tasks/answers/hendrycks.h"
#include "tasks/answers/latex.h"
#include "tasks/answers/math_verify.h"
#include "tasks/answers/normalise.h"
#include "tasks/answers/opencompass.h"
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

// OpenCompass's DROP: one normalised text contains the other.
double drop_contains(const ScorerInput& input, const Options&) {
  const std::string predicted = n_squad(input.prediction);
  return any_gold(input, [&](const std::string& gold) {
    const std::string wanted = n_squad(drop_text(gold));
    if (predicted.empty() || wanted.empty()) return predicted == wanted;
    return predicted.find(wanted) != std::string::npos ||
           wanted.find(predicted) != std::string::npos;
  });
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

// OpenCompass's TriviaQA and NaturalQuestions; an answer of which nothing is left is always contained.
double opencompass_contains(const ScorerInput& input, const Options&) {
  const std::string prediction = n_opencompass(input.prediction);
  return any_gold(input, [&](const std::string& gold) {
    return prediction.find(n_opencompass(gold)) != std::string::npos;
  });
}

// CLUEWSC: naming the span is right exactly where the label says that it is meant.
double wsc_label(const ScorerInput& input, const Options& options) {
  const bool same = exact(input, options) == 1;
  return same == (input.fields.string("label") == "true") ? 1 : 0;
}

// BBH: case ignored; for a target "(X)" the first letter of the extract decides.
double bbh_lenient(const ScorerInput& input, const Options&) {
  std::string prediction = lower(input.prediction);
  return any_gold(input, [&](const std::string& gold) {
    static const re2::RE2 kTarget(R"(\(([A-Z])\))");
    std::string letter;
    if (!re2::RE2::FullMatch(gold, kTarget, &letter)) return prediction == lower(gold);
    std::optional<std::string> first = first_match(input.prediction, R"(\(?([A-Z])\)?)");
    return first && *first == letter;
  });
}

double hendrycks(const ScorerInput& input, const Options&) {
  return any_gold(input, [&](auto& g) { return hendrycks_equal(input.prediction, g); });
}

double minerva(const ScorerInput& input, const Options&) {
  return any_gold(input, [&](auto& g) { return minerva_equal(input.prediction, g); });
}

double math_numeric(const ScorerInput& input, const Options&) {
  return any_gold(input, [&](auto& g) { return numerically_equal(input.prediction, g); });
}

double math_str(const ScorerInput& input, const Options& options) {
  return std::max(hendrycks(input, options), minerva(input, options));
}

double math_sym(const ScorerInput& input, const Options& options) {
  return std::max(math_str(input, options), math_numeric(input, options));
}

// OpenCompass's MATH; without a reference answer nothing is right.
double math_opencompass(const ScorerInput& input, const Options&) {
  return any_gold(input, [&](const std::string& gold) {
    return !gold.empty() && opencompass_math_equal(input.prediction, gold);
  });
}

// lm-eval's minerva_math: equal strings, else a symbolic difference of zero (here: numerically).
double minerva_lmeval(const ScorerInput& input, const Options&) {
  std::string prediction = minerva_lmeval_form(input.prediction);
  return any_gold(input, [&](const std::string& gold) {
    std::string form = minerva_lmeval_form(gold);
    return prediction == form || numerically_equal(prediction, form);
  });
}

// lm-eval's math_verify: the gold is what the package finds in the gold text, a whole solution.
double math_verify(const ScorerInput& input, const Options&) {
  return any_gold(input, [&](const std::string&) {
    const std::optional<std::string> gold = math_verify_answer(input.fields.text("solution"));
    return gold && math_verify_equal(*gold, input.prediction);
  });
}

// "3/4" is a number too, and so is "20%": 20.
std::optional<double> number_or_fraction(std::string_view text) {
  if (text.ends_with('%')) text.remove_suffix(1);
  size_t slash = text.find('/');
  std::optional<double> value = parse_number(text.substr(0, slash));
  if (!value || slash == std::string_view::npos) return value;
  std::optional<double> divisor = parse_number(text.substr(slash + 1));
  if (!divisor || *divisor == 0) return std::nullopt;
  return *value / *divisor;
}

double cmath_number(const ScorerInput& input, const Options&) {
  std::optional<double> prediction = number_or_fraction(input.prediction);
  return any_gold(input, [&](const std::string& gold) {
    std::optional<double> value = number_or_fraction(gold);
    return prediction && value && std::abs(*prediction - *value) < 1e-4;
  });
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
    {"opencompass_contains", opencompass_contains},
    {"drop_em",
     [](const ScorerInput& in, const Options&) { return drop_em(in.prediction, in.golds); }},
    {"drop_f1",
     [](const ScorerInput& in, const Options&) { return drop_f1(in.prediction, in.golds); }},
    {"drop_contains", drop_contains},
    {"cmrc_em",
     [](const ScorerInput& in, const Options&) { return cmrc_em(in.prediction, in.golds); }},
    {"cmrc_f1",
     [](const ScorerInput& in, const Options&) { return cmrc_f1(in.prediction, in.golds); }},
    {"wsc_label", wsc_label},
    {"agieval_math", [](const ScorerInput& in,
                        const Options&) { return score_agieval_math(in.prediction, in.golds); }},
    {"agieval", [](const ScorerInput& in,
                   const Options&) { return score_agieval(in.prediction, in.golds, in.fields); }},
    {"bbh_lenient", bbh_lenient},
    {"hendrycks", hendrycks},
    {"minerva", minerva},
    {"math_numeric", math_numeric},
    {"math_str", math_str},
    {"math_sym", math_sym},
    {"math_opencompass", math_opencompass},
    {"minerva_lmeval", minerva_lmeval},
    {"math_verify", math_verify},
    {"cmath_number", cmath_number},
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
