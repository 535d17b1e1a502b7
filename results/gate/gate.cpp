#include "results/gate.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "results/scores.h"
#include "results/statistics/distributions.h"
#include "results/statistics/multiplicity.h"

namespace assay::results {
namespace {

double scale(const std::string& unit) { return unit == "percent" ? 100.0 : 1.0; }

bool fits(const GateRule& rule, const EvaluationSummary& evaluation) {
  if (!rule.task.empty()) return rule.task == evaluation.identity.task;
  return rule.category.empty() || rule.category == evaluation.description.category;
}

// The first rule that fits, of a task that is to be judged; nothing if rules are given and none fits.
const GateRule* rule_for(const GateRules& rules, const EvaluationSummary& evaluation) {
  static const GateRule everything;
  if (rules.rules.empty()) return &everything;
  for (const GateRule& rule : rules.rules)
    if (fits(rule, evaluation)) return &rule;
  return nullptr;
}

// A row on its way: what is tested, and what the decision needs beside it.
struct Candidate {
  GateRow row;
  const GateRule* rule = nullptr;
  std::string task;                       // "" for a category's mean
  double degrees_of_freedom = 1;
  double score_error = 0;                 // standard error of the candidate's own score
  bool higher_is_better = true, same = false;
  int64_t unjudged = 0;
};

// Variance and degrees of freedom of a sum of independent estimates (Satterthwaite).
struct Variance {
  double value = 0, squares_over_freedom = 0;
  void add(double variance, double freedom) {
    value += variance;
    if (variance > 0) squares_over_freedom += variance * variance / std::max(1.0, freedom);
  }
  double freedom() const { return squares_over_freedom > 0 ? value * value / squares_over_freedom : 1; }
};

// Fills in the two one-sided p-values from change, margin, standard error.
void test(Candidate& candidate) {
  GateRow& row = candidate.row;
  const double shift = row.change + row.margin;
  if (row.standard_error <= 0) {
    row.p_regression = shift < 0 ? 0 : 1;
    row.p_inferior = shift < 0 ? 1 : 0;
    return;
  }
  const double t = shift / row.standard_error;
  const double freedom = std::max(1.0, candidate.degrees_of_freedom);
  row.p_regression = statistics::student_cdf(t, freedom);
  row.p_inferior = statistics::student_cdf(-t, freedom);
}

Candidate of_task(const TaskComparison& task, const GateRule& rule, const GateRules& rules,
                  const std::map<std::string, CheckpointNoise>& noise) {
  Candidate c;
  c.rule = &rule;
  c.task = task.a.identity.task;
  c.higher_is_better = task.a.description.higher_is_better;
  c.same = task.verdict == Verdict::same;
  c.unjudged = task.unjudged;
  c.row.name = evaluation_name(task.a);
  c.row.unit = task.a.description.unit;
  c.row.baseline = task.estimate.a;
  c.row.candidate = task.estimate.b;
  c.row.change = c.higher_is_better ? task.estimate.difference : -task.estimate.difference;
  if (task.b.headline) c.score_error = task.b.headline->standard_error.value_or(0);
  Variance variance;
  const double error = task.estimate.standard_error.value_or(0);
  variance.add(error * error, static_cast<double>(task.estimate.clusters) - 1);
  if (const auto sigma = noise.find(c.task); sigma != noise.end())
    variance.add(2 * sigma->second.sigma * sigma->second.sigma, sigma->second.degrees_of_freedom);
  c.row.standard_error = std::sqrt(variance.value);
  c.degrees_of_freedom = variance.freedom();
  const double points = rule.margin            ? *rule.margin
                        : c.row.unit == "bpb" ? rules.margin_bpb
                                               : rules.margin;
  c.row.margin = points / scale(c.row.unit);
  return c;
}

// The mean over the tasks of a category, in their place.
Candidate mean_of(const std::vector<Candidate>& members, const GateRule& rule) {
  Candidate mean;
  mean.rule = &rule;
  mean.higher_is_better = members.front().higher_is_better;
  mean.same = true;
  mean.row.name = rule.category + " (mean of " + std::to_string(members.size()) + ")";
  mean.row.unit = members.front().row.unit;
  mean.row.margin = members.front().row.margin;
  const auto k = static_cast<double>(members.size());
  Variance variance;
  double score_variance = 0;
  for (const Candidate& member : members) {
    if (member.row.unit != mean.row.unit)
      throw_bad_input("category " + rule.category + " mixes units and has no average", "gate rules",
                      "give its tasks rules of their own");
    mean.row.baseline += member.row.baseline / k;
    mean.row.candidate += member.row.candidate / k;
    mean.row.change += member.row.change / k;
    mean.same = mean.same && member.same;
    mean.unjudged += member.unjudged;
    const double part = member.row.standard_error / k;
    variance.add(part * part, member.degrees_of_freedom);
    score_variance += member.score_error * member.score_error / (k * k);
  }
  mean.row.standard_error = std::sqrt(variance.value);
  mean.degrees_of_freedom = variance.freedom();
  mean.score_error = std::sqrt(score_variance);
  return mean;
}

void apply_floor(Candidate& c) {
  if (!c.rule->floor) return;
  GateRow& row = c.row;
  const double floor = *c.rule->floor / scale(row.unit);
  const double above = c.higher_is_better ? row.candidate - floor : floor - row.candidate;
  if (above >= 0) return;
  // Below by chance or below for sure: one-sided, 95 %.
  const bool sure = -above > statistics::normal_quantile(0.95) * c.score_error;
  if (sure) row.status = GateStatus::regression;
  else if (row.status == GateStatus::pass) row.status = GateStatus::inconclusive;
  else return;
  row.reason = std::string(sure ? "beyond" : "at") + " the floor of " + score_text(floor, row.unit);
}

GateRow decided(Candidate c, double p_adjusted, const GateRules& rules) {
  GateRow& row = c.row;
  row.p_adjusted = p_adjusted;
  if (c.same) {
    row.status = GateStatus::pass;
    row.reason = "every answer is the same";
  } else if (p_adjusted < rules.alpha) {
    row.status = GateStatus::regression;
    row.reason = "worse by more than the margin";
  } else if (row.p_inferior < rules.alpha) {
    row.status = GateStatus::pass;
    row.reason = "not worse by more than the margin";
  } else {
    row.reason = "too few documents to tell";
  }
  apply_floor(c);
  if (c.unjudged > 0 && row.status == GateStatus::pass) {
    row.status = GateStatus::inconclusive;
    row.reason = std::to_string(c.unjudged) + " documents could not be judged";
  }
  const auto allowed = rules.allow.find(c.task);
  if (!c.task.empty() && allowed != rules.allow.end() && row.status != GateStatus::pass) {
    row.reason = std::string(status_name(row.status)) + ", allowed: " + allowed->second;
    row.status = GateStatus::allowed;
  }
  return std::move(c.row);
}

// What was to be judged and cannot be: the candidate must not pass by leaving a task out.
void add_missing(const Comparison& comparison, const GateRules& rules, GateResult& result) {
  const auto add = [&](const std::string& name, const std::string& task, const std::string& reason) {
    GateRow row;
    row.name = name;
    row.measured = false;
    row.reason = reason;
    const auto allowed = rules.allow.find(task);
    if (allowed != rules.allow.end()) {
      row.status = GateStatus::allowed;
      row.reason += ", allowed: " + allowed->second;
    }
    result.rows.push_back(std::move(row));
  };
  for (const EvaluationSummary& e : comparison.missing_in_b)
    if (rule_for(rules, e) != nullptr)
      add(evaluation_name(e), e.identity.task, "the candidate has no finished score");
  for (const GateRule& rule : rules.rules) {
    const auto any = [&](const auto& list, auto&& evaluation) {
      return std::any_of(list.begin(), list.end(),
                         [&](const auto& entry) { return fits(rule, evaluation(entry)); });
    };
    if (any(comparison.tasks, [](const TaskComparison& t) -> const auto& { return t.a; }) ||
        any(comparison.missing_in_b, [](const EvaluationSummary& e) -> const auto& { return e; }))
      continue;
    const std::string name = rule.task.empty() ? rule.category : rule.task;
    add(name, rule.task, "a rule names it, and the baseline has no finished score");
  }
}

}  // namespace

GateResult judge_gate(const Comparison& comparison, const GateRules& rules,
                      const std::map<std::string, CheckpointNoise>& noise) {
  GateResult result;
  result.forced = comparison.forced;
  result.alpha = rules.alpha;
  std::vector<Candidate> candidates;
  std::map<std::string, std::vector<Candidate>> averaged;  // by category
  for (const TaskComparison& task : comparison.tasks) {
    const GateRule* rule = rule_for(rules, task.a);
    if (rule == nullptr) {
      result.notes.push_back(evaluation_name(task.a) + ": no rule fits it");
      continue;
    }
    Candidate c = of_task(task, *rule, rules, noise);
    if (!noise.empty() && !noise.contains(c.task))
      result.notes.push_back(c.row.name + ": its noise between checkpoints is not known");
    if (rule->average) averaged[rule->category].push_back(std::move(c));
    else candidates.push_back(std::move(c));
  }
  for (const auto& [category, members] : averaged)
    candidates.push_back(mean_of(members, *members.front().rule));
  std::vector<double> p;
  for (Candidate& c : candidates) {
    test(c);
    p.push_back(c.row.p_regression);
  }
  const std::vector<double> adjusted = statistics::holm(p);
  for (size_t i = 0; i < candidates.size(); ++i)
    result.rows.push_back(decided(std::move(candidates[i]), adjusted[i], rules));
  add_missing(comparison, rules, result);
  if (result.rows.empty()) throw_usage("no rule fits any task that both runs have");
  for (const GateRow& row : result.rows) {
    if (row.status == GateStatus::regression) result.status = GateStatus::regression;
    if (row.status == GateStatus::inconclusive && result.status == GateStatus::pass)
      result.status = GateStatus::inconclusive;
  }
  return result;
}

int GateResult::exit_code() const {
  return status == GateStatus::regression ? 1 : status == GateStatus::inconclusive ? 10 : 0;
}

}  // namespace assay::results
