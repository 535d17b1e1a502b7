#include "results/statistics/aggregate.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "results/statistics/distributions.h"

namespace assay::results::statistics {
namespace {

constexpr double kUpperTail = 1 - (1 - kConfidence) / 2;

bool is_binary(std::span<const Observation> observations) {
  const double weight = observations.front().weight;
  return std::all_of(observations.begin(), observations.end(), [&](const Observation& o) {
    return (o.value == 0 || o.value == 1) && o.weight == weight;
  });
}

// Sums of `residual` per cluster, in ascending cluster order; clusters are dense or nearly so.
template <class Residual>
std::vector<double> cluster_sums(std::span<const Observation> observations, Residual residual) {
  int32_t most = 0;
  for (const Observation& o : observations) most = std::max(most, o.cluster);
  std::vector<double> sums(static_cast<size_t>(most) + 1, 0.0);
  std::vector<char> present(sums.size(), 0);
  for (const Observation& o : observations) {
    sums[static_cast<size_t>(o.cluster)] += residual(o);
    present[static_cast<size_t>(o.cluster)] = 1;
  }
  size_t kept = 0;
  for (size_t cluster = 0; cluster < sums.size(); ++cluster)
    if (present[cluster]) sums[kept++] = sums[cluster];
  sums.resize(kept);
  return sums;
}

double sum_of_squares(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v * v;
  return sum;
}

void make_independent_if_one_cluster(std::vector<Observation>& members) {
  for (const Observation& o : members)
    if (o.cluster != members.front().cluster) return;
  for (size_t i = 0; i < members.size(); ++i) members[i].cluster = static_cast<int32_t>(i);
}

Interval student_interval(double value, double standard_error, double df) {
  const double half = student_quantile(kUpperTail, df) * standard_error;
  return {value - half, value + half};
}

}  // namespace

Interval wilson_interval_critical(double successes, double n, double critical) {
  if (!(n > 0)) throw_internal("statistics: Wilson's interval of no observations");
  const double p = successes / n, z2 = critical * critical;
  const double center = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = critical / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  // The formula gives exactly 0 and 1 at the ends; rounding does not.
  return {successes <= 0 ? 0 : std::max(0.0, center - half),
          successes >= n ? 1 : std::min(1.0, center + half)};
}

Interval wilson_interval(double successes, double n, double confidence) {
  return wilson_interval_critical(successes, n, normal_quantile(1 - (1 - confidence) / 2));
}

Estimate micro_mean(std::span<const Observation> observations) {
  Estimate estimate;
  estimate.n = static_cast<int64_t>(observations.size());
  if (observations.empty()) return estimate;
  double weights = 0, sum = 0;
  for (const Observation& o : observations) {
    if (!(o.weight > 0)) throw_internal("statistics: a weight that is not positive");
    weights += o.weight;
    sum += o.weight * o.value;
  }
  const double mean = sum / weights;
  estimate.value = mean;
  const std::vector<double> sums =
      cluster_sums(observations, [&](const Observation& o) { return o.weight * (o.value - mean); });
  const auto clusters = static_cast<double>(sums.size());
  const auto n = static_cast<double>(observations.size());
  estimate.clusters = static_cast<int64_t>(sums.size());
  estimate.degrees_of_freedom = clusters - 1;
  const bool binary = is_binary(observations);
  const bool independent = sums.size() == observations.size();
  if (sums.size() > 1)
    estimate.standard_error = std::sqrt(clusters / (clusters - 1) * sum_of_squares(sums)) / weights;
  if (binary && independent) {
    double successes = 0;
    for (const Observation& o : observations) successes += o.value;
    estimate.interval = wilson_interval(successes, n);
    estimate.method = "wilson";
  } else if (binary && estimate.standard_error) {
    // Kish's effective size: n over the design effect. Where no variance was seen (all right or all
    // wrong), documents of a cluster may agree completely: as many observations as clusters.
    const double se = *estimate.standard_error;
    const double effective =
        mean > 0 && mean < 1 ? std::min(n, mean * (1 - mean) / (se * se)) : clusters;
    estimate.interval = wilson_interval_critical(mean * effective, effective,
                                                 student_quantile(kUpperTail, clusters - 1));
    estimate.method = "clustered wilson";
  } else if (estimate.standard_error) {
    estimate.interval = student_interval(mean, *estimate.standard_error, clusters - 1);
    estimate.method = independent ? "student" : "clustered student";
  }
  return estimate;
}

Estimate macro_mean(std::span<const Observation> observations) {
  Estimate estimate;
  estimate.n = static_cast<int64_t>(observations.size());
  if (observations.empty()) return estimate;
  std::map<int32_t, std::vector<Observation>> groups;
  std::map<int32_t, int32_t> group_of_cluster;
  bool crossing = false;
  for (const Observation& o : observations) {
    groups[o.group].push_back(o);
    const auto [entry, added] = group_of_cluster.try_emplace(o.cluster, o.group);
    if (!added && entry->second != o.group) crossing = true;
  }
  if (groups.size() == 1) {
    // Within one subject its documents are independent of each other.
    std::vector<Observation>& members = groups.begin()->second;
    make_independent_if_one_cluster(members);
    return micro_mean(members);
  }
  const auto k = static_cast<double>(groups.size());
  std::map<int32_t, double> means;
  for (const auto& [group, members] : groups) {
    double sum = 0, weights = 0;
    for (const Observation& o : members) {
      sum += o.weight * o.value;
      weights += o.weight;
    }
    means[group] = sum / weights;
    estimate.value += means[group] / k;
  }
  if (crossing) {
    std::map<int32_t, double> weights;
    for (const Observation& o : observations) weights[o.group] += o.weight;
    const std::vector<double> sums = cluster_sums(observations, [&](const Observation& o) {
      return o.weight * (o.value - means[o.group]) / (k * weights[o.group]);
    });
    estimate.clusters = static_cast<int64_t>(sums.size());
    const auto clusters = static_cast<double>(sums.size());
    if (sums.size() > 1) {
      estimate.degrees_of_freedom = clusters - 1;
      estimate.standard_error = std::sqrt(clusters / (clusters - 1) * sum_of_squares(sums));
    }
  } else {
    double variance = 0, satterthwaite = 0, squares = 0;
    bool lonely = false;
    for (auto& [group, members] : groups) {
      make_independent_if_one_cluster(members);
      const Estimate within = micro_mean(members);
      estimate.clusters += within.clusters;
      squares += (means[group] - estimate.value) * (means[group] - estimate.value);
      if (!within.standard_error) {
        lonely = true;
        continue;
      }
      const double v = *within.standard_error * *within.standard_error;
      variance += v;
      satterthwaite += v * v / (static_cast<double>(within.clusters) - 1);
    }
    if (lonely) {
      // A group of one document says nothing about its own spread. The spread of the group means
      // then stands for everything: wider than need be where the groups truly differ.
      estimate.standard_error = std::sqrt(squares / (k * (k - 1)));
      estimate.degrees_of_freedom = k - 1;
      estimate.method = "macro between groups";
    } else {
      estimate.standard_error = std::sqrt(variance) / k;
      estimate.degrees_of_freedom = satterthwaite > 0 ? variance * variance / satterthwaite
                                                      : static_cast<double>(estimate.clusters) - k;
      estimate.method = "macro student";
    }
  }
  if (!estimate.standard_error) return estimate;
  if (crossing) estimate.method = "macro clustered student";
  estimate.interval = student_interval(estimate.value, *estimate.standard_error,
                                       std::max(1.0, estimate.degrees_of_freedom));
  if (*estimate.standard_error == 0 && is_binary(observations) && estimate.clusters > 0) {
    // All right or all wrong wherever one looked: no spread was seen, which is not none.
    const auto n = static_cast<double>(estimate.clusters);
    estimate.interval = wilson_interval(estimate.value * n, n);
    estimate.method = "macro wilson";
  }
  return estimate;
}

Estimate of_finite_population(Estimate estimate, double drawn) {
  if (!(drawn >= 0 && drawn <= 1))
    throw_internal("statistics: a sample larger than its population");
  const double factor = std::sqrt(1 - drawn);
  if (estimate.standard_error) *estimate.standard_error *= factor;
  if (estimate.interval) {
    estimate.interval->low = estimate.value - (estimate.value - estimate.interval->low) * factor;
    estimate.interval->high = estimate.value + (estimate.interval->high - estimate.value) * factor;
  }
  return estimate;
}

double pass_at_k(int64_t samples, int64_t correct, int64_t k) {
  if (samples < 1 || correct < 0 || correct > samples || k < 1 || k > samples)
    throw_internal("statistics: pass@k outside its domain");
  if (samples - correct < k) return 1;
  double fail = 1;
  for (int64_t i = samples - correct + 1; i <= samples; ++i)
    fail *= 1 - static_cast<double>(k) / static_cast<double>(i);
  return 1 - fail;
}

}  // namespace assay::results::statistics
