#include "results/statistics/multiplicity.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace assay::results::statistics {
namespace {

// Indices by ascending p; equal values in their order.
std::vector<size_t> ascending(std::span<const double> p) {
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return p[i] < p[j]; });
  return order;
}

}  // namespace

std::vector<double> holm(std::span<const double> p) {
  std::vector<double> adjusted(p.size());
  double running = 0;
  size_t left = p.size();
  for (const size_t i : ascending(p)) {
    running = std::max(running, std::min(1.0, static_cast<double>(left--) * p[i]));
    adjusted[i] = running;
  }
  return adjusted;
}

std::vector<double> benjamini_hochberg(std::span<const double> p) {
  std::vector<double> adjusted(p.size());
  const std::vector<size_t> order = ascending(p);
  const auto m = static_cast<double>(p.size());
  double running = 1;
  for (size_t rank = p.size(); rank-- > 0;) {
    running = std::min(running, m / static_cast<double>(rank + 1) * p[order[rank]]);
    adjusted[order[rank]] = running;
  }
  return adjusted;
}

}  // namespace assay::results::statistics
