// The paired cluster bootstrap. A resample costs one generator block per four clusters drawn and
// one 16-byte gather per cluster; 10,000 resamples of 14,042 documents are 140 million of each.
#include <algorithm>
#include <map>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "results/statistics/paired.h"

namespace assay::results::statistics {
namespace {

// sum(w d) and sum(w) of one cluster.
struct Sums {
  double difference = 0, weight = 0;
};

// Draws uniform indices below `bound` from blocks of one Philox stream (Lemire's rejection).
class Indices {
 public:
  Indices(uint64_t seed, uint32_t resample, uint32_t stream, uint32_t bound)
      : key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
        resample_(resample),
        stream_(stream),
        bound_(bound),
        threshold_(static_cast<uint32_t>(-bound) % bound) {}

  uint32_t next() {
    for (;;) {
      if (left_ == 0) {
        buffer_ = philox4x32({block_++, resample_, stream_, 0}, key_);
        left_ = 4;
      }
      const uint64_t product =
          static_cast<uint64_t>(buffer_[static_cast<size_t>(--left_)]) * bound_;
      if (static_cast<uint32_t>(product) >= threshold_) return static_cast<uint32_t>(product >> 32);
    }
  }

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> buffer_{};
  uint32_t block_ = 0, resample_, stream_, bound_, threshold_;
  int left_ = 0;
};

// Clusters that are drawn together; each belongs to this stratum alone.
using Stratum = std::vector<Sums>;

double resampled_mean(const std::vector<Stratum>& strata, uint64_t seed, uint32_t resample) {
  double total = 0;
  for (size_t s = 0; s < strata.size(); ++s) {
    const Stratum& clusters = strata[s];
    Indices indices(seed, resample, static_cast<uint32_t>(s),
                    static_cast<uint32_t>(clusters.size()));
    double difference = 0, weight = 0;
    for (size_t draw = 0; draw < clusters.size(); ++draw) {
      const Sums& drawn = clusters[indices.next()];
      difference += drawn.difference;
      weight += drawn.weight;
    }
    total += difference / weight;
  }
  return total / static_cast<double>(strata.size());
}

// Clusters that reach across the strata of a macro mean: sums by stratum for each cluster.
struct Crossed {
  size_t strata = 0;
  std::vector<std::vector<std::pair<size_t, Sums>>> clusters;
};

double resampled_mean(const Crossed& data, uint64_t seed, uint32_t resample) {
  std::vector<Sums> sums(data.strata);
  Indices indices(seed, resample, 0, static_cast<uint32_t>(data.clusters.size()));
  for (size_t draw = 0; draw < data.clusters.size(); ++draw) {
    for (const auto& [stratum, cluster] : data.clusters[indices.next()]) {
      sums[stratum].difference += cluster.difference;
      sums[stratum].weight += cluster.weight;
    }
  }
  double total = 0;
  size_t present = 0;  // a stratum that no drawn cluster touches has no mean
  for (const Sums& stratum : sums) {
    if (stratum.weight <= 0) continue;
    total += stratum.difference / stratum.weight;
    ++present;
  }
  return total / static_cast<double>(present);
}

template <class Data>
Bootstrap run(const Data& data, const Workers& workers, const BootstrapOptions& options) {
  std::vector<double> means(static_cast<size_t>(options.resamples));
  workers.for_ranges(options.resamples, 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      means[static_cast<size_t>(r)] = resampled_mean(data, options.seed, static_cast<uint32_t>(r));
  });
  int64_t at_most = 0, at_least = 0;
  for (const double m : means) {
    if (m <= 0) ++at_most;
    if (m >= 0) ++at_least;
  }
  std::sort(means.begin(), means.end());
  const double b = options.resamples;
  const double tail = (1 - kConfidence) / 2;
  const auto rank =
      static_cast<size_t>(std::max(1.0, tail * (b + 1)));  // of the lower end, 1-based
  Bootstrap result;
  result.interval = {means[rank - 1], means[means.size() - rank]};
  result.p = std::min(1.0, 2 * (1 + static_cast<double>(std::min(at_most, at_least))) / (b + 1));
  return result;
}

}  // namespace

Bootstrap paired_bootstrap(std::span<const Pair> pairs, Mean mean, const Workers& workers,
                           const BootstrapOptions& options) {
  // Strata and clusters by ascending number, so that the draw does not depend on the order of
  // pairs.
  std::map<int32_t, std::map<int32_t, Sums>> strata;  // group -> cluster -> sums
  std::map<int32_t, int32_t> group_of_cluster;
  bool crossing = false;
  for (const Pair& pair : pairs) {
    const int32_t group = mean == Mean::macro ? pair.group : 0;
    Sums& sums = strata[group][pair.cluster];
    sums.difference += pair.weight * (pair.b - pair.a);
    sums.weight += pair.weight;
    const auto [entry, added] = group_of_cluster.try_emplace(pair.cluster, group);
    if (!added && entry->second != group) crossing = true;
  }
  if (group_of_cluster.size() < 2) throw_internal("statistics: a bootstrap of one cluster");
  if (crossing) {
    Crossed data;
    data.strata = strata.size();
    std::map<int32_t, std::vector<std::pair<size_t, Sums>>> clusters;
    size_t index = 0;
    for (const auto& [group, members] : strata) {
      for (const auto& [cluster, sums] : members) clusters[cluster].push_back({index, sums});
      ++index;
    }
    for (auto& [cluster, parts] : clusters) data.clusters.push_back(std::move(parts));
    return run(data, workers, options);
  }
  std::vector<Stratum> data;
  for (const auto& [group, members] : strata) {
    Stratum stratum;
    if (members.size() == 1 && strata.size() > 1) {
      // A group that is one cluster: its documents are independent within it (as in macro_mean).
      for (const Pair& pair : pairs)
        if (pair.group == group) stratum.push_back({pair.weight * (pair.b - pair.a), pair.weight});
    } else {
      for (const auto& [cluster, sums] : members) stratum.push_back(sums);
    }
    data.push_back(std::move(stratum));
  }
  return run(data, workers, options);
}

}  // namespace assay::results::statistics
