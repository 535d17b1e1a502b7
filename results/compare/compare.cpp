#include "results/compare.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "results/compare/pairing.h"
#include "results/scores.h"
#include "results/statistics/multiplicity.h"

namespace assay::results {
namespace {

using statistics::Mean;
using statistics::Pair;

std::string differs(const char* what, const std::string& a, const std::string& b) {
  return std::string(what) + ": " + (a.empty() ? "(none)" : a) + " against " +
         (b.empty() ? "(none)" : b);
}

void compare_runs(const RunSummary& a, const RunSummary& b, Comparison& comparison) {
  const bool same_checkpoint = a.model.weights_digest == b.model.weights_digest &&
                               a.model.config_digest == b.model.config_digest;
  const auto check = [](std::vector<std::string>& list, const char* what, const std::string& x,
                        const std::string& y) {
    if (x != y) list.push_back(differs(what, x, y));
  };
  // Of one checkpoint, the difference between two ways of computing is the question itself.
  auto& question = same_checkpoint ? comparison.notes : comparison.differences;
  check(comparison.differences, "tokenizer", a.model.tokenizer_digest.substr(0, 12),
        b.model.tokenizer_digest.substr(0, 12));
  check(question, "numerics", a.identity.numerics, b.identity.numerics);
  check(question, "seed", std::to_string(a.identity.seed), std::to_string(b.identity.seed));
  check(question, "settings", a.identity.settings, b.identity.settings);
  check(comparison.notes, "kernel profile", a.identity.kernel_profile, b.identity.kernel_profile);
  check(comparison.notes, "version", a.identity.engine_version, b.identity.engine_version);
}

std::vector<std::string> task_differences(const EvaluationIdentity& a,
                                          const EvaluationIdentity& b) {
  std::vector<std::string> list;
  const auto check = [&](const char* what, const std::string& x, const std::string& y) {
    if (x != y) list.push_back(differs(what, x, y));
  };
  check("variant", a.variant, b.variant);
  check("shots", std::to_string(a.shots), std::to_string(b.shots));
  check("task definition", a.task_digest.substr(0, 12), b.task_digest.substr(0, 12));
  check("data files", a.data_digest.substr(0, 12), b.data_digest.substr(0, 12));
  check("context limit", std::to_string(a.max_length), std::to_string(b.max_length));
  check("token boundary", a.boundary_policy, b.boundary_policy);
  check("sandbox level", a.sandbox_level, b.sandbox_level);
  check("samples", std::to_string(a.samples), std::to_string(b.samples));
  check("settings", a.settings, b.settings);
  return list;
}

// How near two evaluations of one task are: the best partner has the highest number.
int nearness(const EvaluationSummary& a, const EvaluationSummary& b) {
  if (a.digest == b.digest) return 4;
  if (task_differences(a.identity, b.identity).empty()) return 3;  // another limit
  if (a.identity.variant != b.identity.variant) return 0;
  return a.identity.shots == b.identity.shots ? 2 : 1;
}

struct Match {
  EvaluationSummary a, b;
};

std::vector<Match> match(const Store& store, const CompareOptions& options, Comparison& result) {
  std::vector<EvaluationSummary> a = list_evaluations(store, result.a.id);
  std::vector<EvaluationSummary> b = list_evaluations(store, result.b.id);
  const auto wanted = [&](const EvaluationSummary& e) {
    return options.tasks.empty() || std::find(options.tasks.begin(), options.tasks.end(),
                                              e.identity.task) != options.tasks.end();
  };
  const auto drop = [&](std::vector<EvaluationSummary>& list, const char* run) {
    std::erase_if(list, [&](const EvaluationSummary& e) {
      if (!wanted(e)) return true;
      if (!e.finished) result.left_out.push_back(evaluation_name(e) + ": not finished in " + run);
      return !e.finished;
    });
  };
  drop(a, "A");
  drop(b, "B");
  std::vector<Match> matches;
  std::vector<char> used(b.size(), 0);
  std::vector<std::optional<size_t>> partner(a.size());
  // Nearest pairs first, so that an exact partner is never taken by a near one.
  for (int near = 4; near >= 0; --near)
    for (size_t i = 0; i < a.size(); ++i)
      for (size_t j = 0; j < b.size() && !partner[i]; ++j)
        if (!used[j] && a[i].identity.task == b[j].identity.task && nearness(a[i], b[j]) == near) {
          partner[i] = j;
          used[j] = 1;
        }
  for (size_t i = 0; i < a.size(); ++i) {
    if (partner[i])
      matches.push_back({a[i], b[*partner[i]]});
    else
      result.left_out.push_back(evaluation_name(a[i]) + ": only in A");
    if (!partner[i]) result.missing_in_b.push_back(a[i]);
  }
  for (size_t j = 0; j < b.size(); ++j)
    if (!used[j]) result.left_out.push_back(evaluation_name(b[j]) + ": only in B");
  return matches;
}

void add_groups(const Pairing& pairing, const Workers& workers, const CompareOptions& options,
                TaskComparison& task) {
  std::map<std::string, std::vector<Pair>> groups;
  for (size_t i = 0; i < pairing.pairs.size(); ++i)
    groups[pairing.a[i].group].push_back(pairing.pairs[i]);
  std::vector<double> p;
  for (auto& [group, pairs] : groups) {
    // Inside one subject its documents are independent of each other.
    bool one = true;
    for (const Pair& pair : pairs) one = one && pair.cluster == pairs.front().cluster;
    if (one)
      for (size_t i = 0; i < pairs.size(); ++i) pairs[i].cluster = static_cast<int32_t>(i);
    GroupComparison row;
    row.group = group;
    // One document alone has no distribution to resample.
    row.estimate = statistics::paired_difference(pairs, Mean::micro, workers, options.bootstrap);
    p.push_back(row.estimate.p.value_or(1));
    task.groups.push_back(std::move(row));
  }
  const std::vector<double> adjusted = statistics::benjamini_hochberg(p);
  for (size_t i = 0; i < adjusted.size(); ++i) task.groups[i].p_adjusted = adjusted[i];
}

void add_flips(const Pairing& pairing, TaskComparison& task) {
  for (size_t i = 0; i < pairing.pairs.size(); ++i) {
    const Pair& pair = pairing.pairs[i];
    if (pair.a == pair.b) continue;
    task.flips.push_back({pairing.a[i].item_id, pairing.a[i].group, pairing.a[i].position,
                          pairing.position_b[i], pair.a, pair.b});
  }
  std::stable_sort(task.flips.begin(), task.flips.end(), [](const Flip& x, const Flip& y) {
    return std::fabs(x.value_b - x.value_a) > std::fabs(y.value_b - y.value_a);
  });
}

void judge(TaskComparison& task, double alpha) {
  const std::string& unit = task.metric == task.a.description.primary_metric
                                ? task.a.description.unit
                                : std::string("raw");
  const auto& e = task.estimate;
  const std::string points = unit == "percent" ? " points" : unit == "bpb" ? " bits per byte" : "";
  const double change = task.a.description.higher_is_better ? e.difference : -e.difference;
  const std::string by = score_text(std::fabs(e.difference), unit) + points;
  const std::string p = "p " + p_text(e.p.value_or(1)) + ", adjusted " + p_text(task.p_bh);
  if (e.counts.above + e.counts.below == 0) {
    task.verdict = Verdict::same;
    task.sentence = "the same on all " + std::to_string(e.n) + " documents";
  } else if (!e.p) {
    task.sentence = "too few independent documents to tell";
  } else if (task.p_bh < alpha) {
    task.verdict = change > 0 ? Verdict::better : Verdict::worse;
    task.sentence =
        std::string("B is ") + (change > 0 ? "better" : "worse") + " by " + by + " (" + p + ")";
  } else {
    task.sentence = *e.p < alpha ? "a hint only: " + difference_text(e.difference, unit) + points +
                                       " (" + p + ")"
                                 : "no difference found (" + p + ")";
    if (task.detectable)
      task.sentence += "; one of " + score_text(*task.detectable, unit) + points +
                       " would be found 4 times in 5";
  }
}

}  // namespace

Comparison compare(const Store& store, const RunSummary& a, const RunSummary& b,
                   const CompareOptions& options, const Workers& workers) {
  Comparison result;
  result.a = a;
  result.b = b;
  result.most_flips = options.most_flips;
  if (a.id == b.id)
    throw_usage("a run compared with itself", "name two runs; `assay list runs` shows them");
  compare_runs(a, b, result);
  const std::vector<Match> matches = match(store, options, result);
  if (matches.empty()) {
    std::string list;
    for (const std::string& line : result.left_out) list += "; " + line;
    throw_usage("the runs have no finished task in common" + list);
  }
  std::vector<std::string> refused = result.differences;
  for (const Match& pair : matches)
    for (const std::string& line : task_differences(pair.a.identity, pair.b.identity))
      refused.push_back(evaluation_name(pair.a) + ": " + line);
  if (!refused.empty() && !options.force) {
    std::string list;
    for (const std::string& line : refused) list += (list.empty() ? "" : "; ") + line;
    throw_bad_input(
        "the runs are not alike: " + list, a.identity.label + " against " + b.identity.label,
        "run both with the same settings, or compare with --force, which marks the result");
  }
  result.forced = !refused.empty();

  for (const Match& pair : matches) {
    TaskComparison task;
    task.a = pair.a;
    task.b = pair.b;
    task.metric = options.metric.empty() ? pair.a.description.primary_metric : options.metric;
    task.differences = task_differences(pair.a.identity, pair.b.identity);
    const Pairing pairing = pair_items(store, pair.a, pair.b, task.metric);
    task.only_a = pairing.only_a;
    task.only_b = pairing.only_b;
    task.changed = pairing.changed;
    task.unjudged = pairing.unjudged;
    const Mean mean = pair.a.description.aggregation == "micro" ? Mean::micro : Mean::macro;
    task.estimate = statistics::paired_difference(pairing.pairs, mean, workers, options.bootstrap);
    if (task.estimate.standard_error && *task.estimate.standard_error > 0)
      task.detectable = statistics::minimum_detectable_effect(*task.estimate.standard_error);
    if (options.by_group) add_groups(pairing, workers, options, task);
    if (options.flips) add_flips(pairing, task);
    result.tasks.push_back(std::move(task));
  }
  std::vector<double> p;
  for (const TaskComparison& task : result.tasks) p.push_back(task.estimate.p.value_or(1));
  const std::vector<double> holm = statistics::holm(p), bh = statistics::benjamini_hochberg(p);
  for (size_t i = 0; i < p.size(); ++i) {
    result.tasks[i].p_holm = holm[i];
    result.tasks[i].p_bh = bh[i];
    judge(result.tasks[i], options.alpha);
  }
  return result;
}

}  // namespace assay::results
