// Scores with standard errors and 95 % intervals from per-document metrics (task-specs 0.9;
// Miller 2024, arXiv 2411.00640; Bowyer et al. 2025, arXiv 2503.01747).
//
// Pure functions; sums run in the order of the observations. docs/statistics.md shows by simulation
// what the intervals cover.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace assay::results::statistics {

// One document's metric. Groups and clusters are small numbers that the caller gives out: equal
// numbers mean the same subject, the same passage. A document that is independent of all others has
// a cluster of its own.
struct Observation {
  double value = 0;
  double weight = 1;  // > 0
  int32_t group = 0;
  int32_t cluster = 0;
};

struct Interval {
  double low = 0, high = 0;
};

struct Estimate {
  double value = 0;
  std::optional<double> standard_error;  // absent where it is not defined: one document or cluster
  std::optional<Interval> interval;      // 95 %
  std::string_view method = "none";      // how the interval was made
  int64_t n = 0;                         // documents
  int64_t clusters = 0;                  // independent units
  double degrees_of_freedom = 0;
};

inline constexpr double kConfidence = 0.95;

// Wilson's score interval for `successes` of `n`; both may be fractional (effective sizes). n > 0.
Interval wilson_interval(double successes, double n, double confidence = kConfidence);
// The same with the critical value given.
Interval wilson_interval_critical(double successes, double n, double critical);

// The weighted mean R = sum(w x) / sum(w). Standard error by linearisation over clusters:
//   sqrt(G / (G - 1) * sum_g (sum_{i in g} w_i (x_i - R))^2) / sum(w)
// which is s / sqrt(n) for equal weights and independent documents. Interval: Wilson for 0/1 values
// of equal weight (with an effective size n / design effect where documents are clustered), else
// Student with G - 1 degrees of freedom.
Estimate micro_mean(std::span<const Observation> observations);

// The unweighted mean of K group means (the groups are given, not drawn). Standard error:
// sqrt(sum_k se_k^2) / K, se_k from the group's documents: clustered inside the group where it
// holds several clusters, independent where it is one; where some group has one document only, from
// the spread of the group means. If clusters reach across groups, by linearisation over clusters.
// Student with Satterthwaite's degrees of freedom; Wilson for 0/1 values without any spread. One
// group: its micro mean.
Estimate macro_mean(std::span<const Observation> observations);

// The estimate of a mean as one of the score of a finite split of which the share `drawn` (0 to 1)
// was sampled at random: standard error and both arms of the interval times sqrt(1 - drawn).
Estimate of_finite_population(Estimate estimate, double drawn);

// pass@k of one problem with `correct` of `samples` right: 1 - C(n - c, k) / C(n, k), evaluated as
// a product (Chen et al. 2021, arXiv 2107.03374). k <= samples.
double pass_at_k(int64_t samples, int64_t correct, int64_t k);

}  // namespace assay::results::statistics
