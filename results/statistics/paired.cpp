#include "results/statistics/paired.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "results/statistics/distributions.h"

namespace assay::results::statistics {
namespace {

constexpr double kUpperTail = 1 - (1 - kConfidence) / 2;

std::vector<Observation> observations(std::span<const Pair> pairs, double Pair::*value) {
  std::vector<Observation> result;
  result.reserve(pairs.size());
  for (const Pair& pair : pairs)
    result.push_back({pair.*value, pair.weight, pair.group, pair.cluster});
  return result;
}

Estimate mean_of(const std::vector<Observation>& values, Mean mean) {
  return mean == Mean::micro ? micro_mean(values) : macro_mean(values);
}

bool is_binary(std::span<const Pair> pairs) {
  return std::all_of(pairs.begin(), pairs.end(), [&](const Pair& pair) {
    return (pair.a == 0 || pair.a == 1) && (pair.b == 0 || pair.b == 1) &&
           pair.weight == pairs.front().weight;
  });
}

// The adjusted Wald interval of Bonett and Price: one pseudo-document in each discordant cell.
Interval adjusted_wald(double above, double below, double documents) {
  const double n = documents + 2;
  const double up = (above + 1) / n, down = (below + 1) / n;
  const double half =
      normal_quantile(kUpperTail) * std::sqrt((up + down - (up - down) * (up - down)) / n);
  return {std::max(-1.0, up - down - half), std::min(1.0, up - down + half)};
}

}  // namespace

Discordance discordance(std::span<const Pair> pairs) {
  Discordance counts;
  for (const Pair& pair : pairs) {
    if (pair.b > pair.a)
      ++counts.above;
    else if (pair.b < pair.a)
      ++counts.below;
    else
      ++counts.equal;
  }
  return counts;
}

double mcnemar_exact(int64_t above, int64_t below) {
  return fair_binomial_two_sided(above, above + below);
}

PairedEstimate paired_difference(std::span<const Pair> pairs, Mean mean, const Workers& workers,
                                 const BootstrapOptions& options) {
  PairedEstimate result;
  result.n = static_cast<int64_t>(pairs.size());
  if (pairs.empty()) return result;
  result.a = mean_of(observations(pairs, &Pair::a), mean).value;
  result.b = mean_of(observations(pairs, &Pair::b), mean).value;
  result.difference = result.b - result.a;
  result.counts = discordance(pairs);

  std::vector<Observation> differences;
  differences.reserve(pairs.size());
  for (const Pair& pair : pairs)
    differences.push_back({pair.b - pair.a, pair.weight, pair.group, pair.cluster});
  const Estimate estimate = mean_of(differences, mean);
  result.clusters = estimate.clusters;
  result.standard_error = estimate.standard_error;

  const bool binary = is_binary(pairs);
  if (binary && mean == Mean::micro && result.clusters == result.n) {
    result.interval =
        adjusted_wald(static_cast<double>(result.counts.above),
                      static_cast<double>(result.counts.below), static_cast<double>(result.n));
    result.interval_method = "adjusted wald";
    result.p = mcnemar_exact(result.counts.above, result.counts.below);
    result.p_method = "exact mcnemar";
    return result;
  }
  if (!estimate.standard_error) return result;
  const double se = *estimate.standard_error;
  if (binary && se == 0) {
    // No spread was seen, which is not none. Where no document changed nothing is known of how
    // changes cluster, and documents count; where all of a cluster changed alike, clusters do.
    const bool same = result.counts.above + result.counts.below == 0;
    const auto units = static_cast<double>(same ? result.n : result.clusters);
    const double above = std::max(0.0, result.difference) * units;
    const double below = std::max(0.0, -result.difference) * units;
    result.interval = adjusted_wald(above, below, units);
    result.interval_method = "adjusted wald";
    result.p = mcnemar_exact(std::llround(above), std::llround(below));
    result.p_method = "exact mcnemar";
    return result;
  }
  if (binary) {
    const double df = std::max(1.0, estimate.degrees_of_freedom);
    const double half = student_quantile(kUpperTail, df) * se;
    result.interval = Interval{result.difference - half, result.difference + half};
    // (Differences that are all 0 or 1 look like a proportion to micro_mean.)
    result.interval_method = mean == Mean::micro ? "clustered student" : estimate.method;
    result.p = 2 * student_cdf(-std::fabs(result.difference) / se, df);
    result.p_method = result.interval_method;
    return result;
  }
  const Bootstrap bootstrap = paired_bootstrap(pairs, mean, workers, options);
  result.interval = bootstrap.interval;
  result.p = result.counts.above + result.counts.below == 0 ? 1.0 : bootstrap.p;
  result.interval_method = result.p_method = "paired bootstrap";
  return result;
}

double minimum_detectable_effect(double standard_error, double alpha, double power) {
  return (normal_quantile(1 - alpha / 2) + normal_quantile(power)) * standard_error;
}

}  // namespace assay::results::statistics
