// Differences between two runs on the same documents: intervals, tests, bootstrap.
//
// Pairing removes the variance that both runs share because some documents are harder than others
// (Miller 2024, arXiv 2411.00640, section 4). All functions are pure; the bootstrap's numbers come
// from a counter-based generator, so that they are the same for any number of threads.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/workers.h"
#include "results/statistics/aggregate.h"

namespace assay::results::statistics {

// One document under runs A and B. Groups and clusters as in Observation.
struct Pair {
  double a = 0, b = 0;
  double weight = 1;
  int32_t group = 0;
  int32_t cluster = 0;
};

enum class Mean { micro, macro };

// Documents where B is above, below and equal to A.
struct Discordance {
  int64_t above = 0, below = 0, equal = 0;
};
Discordance discordance(std::span<const Pair> pairs);

// Exact McNemar test: the two-sided binomial probability of the split of discordant pairs.
double mcnemar_exact(int64_t above, int64_t below);

struct PairedEstimate {
  double a = 0, b = 0;    // the two means
  double difference = 0;  // b - a
  std::optional<double> standard_error;
  std::optional<Interval> interval;  // 95 %
  std::string_view interval_method = "none";
  std::optional<double> p;  // two-sided, of no difference
  std::string_view p_method = "none";
  Discordance counts;
  int64_t n = 0, clusters = 0;
};

struct BootstrapOptions {
  int resamples = 10000;
  uint64_t seed = 0;
};

// The difference of the two means with the interval and test that fit the data:
//   0/1 values, independent documents, micro: adjusted Wald interval of Bonett and Price (2012,
//     J. Educ. Behav. Stat. 37:479), exact McNemar test;
//   0/1 values otherwise (clusters, macro): Student on the clustered (or macro) standard error; as
//     above where that is 0, since no document changed or all changed alike;
//   other values: percentile interval and test of the paired cluster bootstrap.
PairedEstimate paired_difference(std::span<const Pair> pairs, Mean mean, const Workers& workers,
                                 const BootstrapOptions& options = {});

struct Bootstrap {
  Interval interval;  // percentile, 95 %
  double p = 1;       // 2 (1 + min(#{d* <= 0}, #{d* >= 0})) / (resamples + 1), at most 1
};

// Paired cluster bootstrap of the difference b - a: clusters are drawn with replacement (for a
// macro mean inside each group, unless clusters reach across groups). The generator is
// Philox4x32-10 with key `seed` and counter (block, resample, group, 0). Needs two clusters or
// more.
Bootstrap paired_bootstrap(std::span<const Pair> pairs, Mean mean, const Workers& workers,
                           const BootstrapOptions& options = {});

// The smallest true difference that a two-sided test at `alpha` finds with probability `power`,
// given the standard error of the difference: (z_{1-alpha/2} + z_power) * standard_error.
double minimum_detectable_effect(double standard_error, double alpha = 0.05, double power = 0.8);

}  // namespace assay::results::statistics
