// Grades: stored outputs -> metrics, without a model (task-specs 0.6, 0.8).
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>

#include "base/error.h"
#include "tasks/answers/programs.h"
#include "tasks/task_state.h"

namespace assay::tasks {
namespace {

bool finite(const ContinuationScore& score) {
  return std::isfinite(score.logprob) &&
         (!score.uncond_logprob || std::isfinite(*score.uncond_logprob)) &&
         (!score.whole_loss || std::isfinite(*score.whole_loss));
}

// Index of the largest value, the lowest of equal ones.
size_t arg_max(const std::vector<double>& values, bool& tie) {
  size_t best =
      static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin());
  tie = std::count(values.begin(), values.end(), values[best]) > 1;
  return best;
}

double bits_per_byte(double logprob, int64_t bytes) {
  return -logprob / (std::numbers::ln2 * static_cast<double>(std::max<int64_t>(bytes, 1)));
}

// Lengths of empty options count as 1, so that no score is a quotient by zero.
double normalised(const std::string& norm, const ContinuationScore& score, const Option& option) {
  auto length = [](int64_t n) { return static_cast<double>(std::max<int64_t>(n, 1)); };
  if (norm == "sum") return score.logprob;
  if (norm == "token") return score.logprob / length(score.tokens);
  if (norm == "char") return score.logprob / length(option.code_points);
  if (norm == "byte") return score.logprob / length(option.bytes);
  if (norm == "uncond") return score.logprob - score.uncond_logprob.value();
  return -score.whole_loss.value();
}

void grade_options(const TaskFile& file, const Prompt& prompt, const Outputs& outputs,
                   Grade& grade) {
  const auto& scores = outputs.options;
  if (scores.size() != prompt.options.size()) {
    throw_internal(std::to_string(scores.size()) + " scores for " +
                       std::to_string(prompt.options.size()) + " options",
                   file.name);
  }
  if (prompt.gold_options.empty()) {
    grade.error = "the split has no answer for this document";
    return;
  }
  if (!std::all_of(scores.begin(), scores.end(), finite)) {
    grade.error = "a log-probability is not finite";
    return;
  }
  std::vector<std::string> norms{"sum", "token", "char", "byte"};
  if (file.choice.uncond) norms.emplace_back("uncond");
  if (file.choice.whole) norms.emplace_back("whole");
  auto is_gold = [&](size_t o) {
    return std::count(prompt.gold_options.begin(), prompt.gold_options.end(), static_cast<int>(o)) >
           0;
  };
  for (const std::string& norm : norms) {
    std::vector<double> values;
    for (size_t o = 0; o < scores.size(); ++o) {
      if ((norm == "uncond" && !scores[o].uncond_logprob) ||
          (norm == "whole" && !scores[o].whole_loss)) {
        throw_internal("the score for normaliser " + norm + " is missing", file.name);
      }
      values.push_back(normalised(norm, scores[o], prompt.options[o]));
    }
    bool tie = false;
    size_t best = arg_max(values, tie);
    grade.metrics["acc." + norm] = is_gold(best) ? 1 : 0;
    if (norm == file.choice.primary) {
      grade.predicted = static_cast<int>(best);
      grade.tie = tie;
    }
  }

  // exp(S_gold) / sum exp(S), stable; margin to the best wrong option.
  double top = -std::numeric_limits<double>::infinity(), gold_best = top, wrong_best = top;
  for (size_t o = 0; o < scores.size(); ++o) {
    top = std::max(top, scores[o].logprob);
    (is_gold(o) ? gold_best : wrong_best) =
        std::max(is_gold(o) ? gold_best : wrong_best, scores[o].logprob);
  }
  double all = 0, gold = 0;
  for (size_t o = 0; o < scores.size(); ++o) {
    double p = std::exp(scores[o].logprob - top);
    all += p;
    if (is_gold(o)) gold += p;
    if (is_gold(o) && scores[o].logprob == gold_best) {
      grade.gold_bpb = bits_per_byte(scores[o].logprob, prompt.options[o].bytes);
    }
    grade.boundary_merge |= scores[o].boundary_merge;
  }
  grade.p_correct = gold / all;
  if (std::isfinite(wrong_best)) grade.margin = gold_best - wrong_best;
}

void grade_texts(const TaskFile& file, const Prompt& prompt, const Fields& fields,
                 const Outputs& outputs, Grade& grade) {
  size_t samples = static_cast<size_t>(file.generation.samples);
  if (outputs.generations.size() != samples) {
    throw_internal(std::to_string(outputs.generations.size()) + " generations, " +
                       std::to_string(samples) + " expected",
                   file.name);
  }
  for (size_t g = 0; g < samples; ++g) {
    const Generation& generation = outputs.generations[g];
    grade.length_limited |= generation.finish == Finish::length;
    for (const TextMetric& metric : file.metrics) {
      answers::Extraction::Result found = metric.extraction.apply(generation.text, fields);
      // Nothing found is wrong, unless the rule names a text that stands for it.
      double value = metric.scorer.score({found.answer, prompt.gold_texts, fields});
      grade.metrics[metric.name] += value / static_cast<double>(samples);
      if (metric.name == file.primary_metric && g == 0) {
        grade.extracted = found.answer;
        grade.no_extract = !found.found;
      }
    }
  }
  if (!file.execution) return;
  if (outputs.executions.size() != samples) {
    throw_internal(std::to_string(outputs.executions.size()) + " executions, " +
                       std::to_string(samples) + " expected",
                   file.name);
  }
  double passed = 0;
  for (const Execution& execution : outputs.executions) {
    if (execution.verdict == Verdict::sandbox_error) {
      grade.error = "sandbox: " + execution.reason;
      return;
    }
    passed += execution.passed() ? 1 : 0;
  }
  grade.metrics["pass@1"] = passed / static_cast<double>(samples);
  if (file.metrics.empty() && samples > 0) grade.extracted = outputs.generations[0].text;
}

}  // namespace

std::vector<ProgramRequest> Task::programs(size_t i,
                                           const std::vector<Generation>& generations) const {
  std::vector<ProgramRequest> programs;
  const TaskFile& file = *state_->file;
  if (!file.execution) return programs;
  Fields fields = state_->fields(state_->document(i));
  for (const Generation& generation : generations) {
    programs.push_back(answers::make_program(*file.execution, fields, generation.text));
  }
  return programs;
}

Grade Task::grade(size_t i, const Outputs& outputs) const {
  const State& s = *state_;
  const TaskFile& file = *s.file;
  Fields fields = s.fields(s.document(i));
  Grade grade;
  grade.primary = file.primary_metric;

  // Only what grading needs of the prompt; exemplars do not matter any more.
  Prompt prompt;
  switch (file.kind) {
    case RequestKind::choice: {
      std::vector<std::string> options = s.option_texts(fields);
      for (size_t o = 0; o < options.size(); ++o) {
        Option option;
        std::string text = s.continuation(fields, options[o], o);
        prompt.options.push_back(make_option(text, file.lead_space));
      }
      prompt.gold_options = s.gold_options(fields, options.size());
      grade_options(file, prompt, outputs, grade);
      break;
    }
    case RequestKind::partial:
      prompt.options.assign(file.contexts.size(),
                            make_option(file.choice.continuation.render(fields), file.lead_space));
      prompt.gold_options = s.gold_options(fields, prompt.options.size());
      grade_options(file, prompt, outputs, grade);
      break;
    case RequestKind::generate:
      prompt.gold_texts = s.gold_texts(fields);
      grade_texts(file, prompt, fields, outputs, grade);
      if (outputs.gold_answer) {
        Option gold = s.gold_answer(fields);
        if (std::isfinite(outputs.gold_answer->logprob) && gold.bytes > 0) {
          grade.gold_bpb = bits_per_byte(outputs.gold_answer->logprob, gold.bytes);
          grade.p_correct = std::exp(outputs.gold_answer->logprob);
          if (file.generation.temperature == 0) {
            grade.margin = outputs.gold_answer->logprob - outputs.generations.front().logprob;
          }
        }
        grade.boundary_merge |= outputs.gold_answer->boundary_merge;
      }
      break;
    case RequestKind::rolling: {
      if (!outputs.rolling) throw_internal("the score of the text is missing", file.name);
      int64_t bytes = static_cast<int64_t>(file.query.render(fields).size());
      if (!std::isfinite(outputs.rolling->nll)) {
        grade.error = "a log-probability is not finite";
        break;
      }
      if (bytes == 0) return grade;  // an empty text contributes nothing (task-specs 1.9)
      grade.weight = static_cast<double>(bytes);
      grade.metrics["bits_per_byte"] = bits_per_byte(-outputs.rolling->nll, bytes);
      grade.gold_bpb = grade.metrics["bits_per_byte"];
      // The loss people train on: nats a token, averaged over tokens.
      const auto tokens = static_cast<double>(outputs.rolling->tokens);
      if (tokens > 0) {
        grade.metrics["loss"] = outputs.rolling->nll / tokens;
        grade.weights["loss"] = tokens;
      }
      break;
    }
  }
  if (!grade.error.empty()) grade.metrics.clear();
  auto primary = grade.metrics.find(grade.primary);
  grade.correct = primary != grade.metrics.end() && primary->second == 1;
  return grade;
}

}  // namespace assay::tasks
