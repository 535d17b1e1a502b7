// `assay gate`: may this checkpoint pass.
//
// For every rule the candidate is compared with the baseline on the same documents:
//   regression    it is worse by more than the margin (one-sided test, Holm over all rules, alpha)
//   pass          it is not worse by more than the margin (one-sided non-inferiority test, alpha; all
//                 rules must pass, so this side needs no adjustment), or every answer is the same
//   inconclusive  neither: the documents cannot tell
// With checkpoint noise sigma (from a series), the standard error is sqrt(SE^2 + 2 sigma^2): the
// question is then whether the recipe is worse, not whether this artefact is.
//
// A rules file (JSON):
//   {"alpha": 0.05, "margin": 1.0, "margin_bpb": 0.005,
//    "rules": [{"task": "mmlu", "margin": 0.5, "floor": 60},
//              {"category": "Math", "margin": 2}, {"category": "Code", "average": true}],
//    "allow": [{"task": "humaneval", "reason": "the tokenizer changed"}]}
// Margins and floors are in points (percent); margin_bpb in bits per byte. Without rules, every task of
// the baseline has the margin. The first rule that fits a task holds. Unknown keys are errors.
//
// A score below its floor is a regression where the shortfall is beyond its own error (one-sided, 95 %),
// else inconclusive. A task that is to be judged and that the candidate has not finished, or documents
// without a verdict, are inconclusive: nothing passes by leaving it out.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "results/compare.h"
#include "results/series.h"

namespace assay::results {

struct GateRule {
  std::string task = {}, category = {};  // one of them, or neither: every task
  std::optional<double> margin = {}, floor = {};
  bool average = false;  // of a category: the mean difference of its tasks, in place of each
};

struct GateRules {
  double alpha = 0.05;
  double margin = 1.0, margin_bpb = 0.005;
  std::vector<GateRule> rules;
  std::map<std::string, std::string> allow;  // task -> reason
};
// Throws bad_input naming the file and the key.
GateRules load_gate_rules(const std::filesystem::path& path);

enum class GateStatus { pass, regression, inconclusive, allowed };
const char* status_name(GateStatus status);

struct GateRow {
  std::string name;
  std::string unit;
  double baseline = 0, candidate = 0;
  double change = 0;  // positive is better, in the metric's unit
  double standard_error = 0;
  double margin = 0;
  double p_regression = 1, p_adjusted = 1;  // Holm
  double p_inferior = 1;                    // below alpha: not inferior
  GateStatus status = GateStatus::inconclusive;
  std::string reason;
  bool measured = true;  // false: only name, status and reason say something
};

struct GateResult {
  GateStatus status = GateStatus::pass;
  bool forced = false;
  double alpha = 0.05;
  std::vector<GateRow> rows;
  std::vector<std::string> notes;
  int exit_code() const;  // 0 pass, 1 regression, 10 inconclusive
};

// `noise`: between checkpoints, by task; see series.h.
GateResult judge_gate(const Comparison& comparison, const GateRules& rules,
                      const std::map<std::string, CheckpointNoise>& noise = {});

Table gate_table(const GateResult& result);
std::string gate_json(const GateResult& result, const Comparison& comparison);
// JUnit XML: one test case a rule; a regression is a failure, inconclusive is skipped.
std::string gate_junit(const GateResult& result);

}  // namespace assay::results
