#include "engine/reference/router.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace assay::engine::reference {

namespace {

// Indices of the `count` largest values, largest first, ties to the lowest index.
std::vector<int> top(const std::vector<double>& values, int64_t count) {
  std::vector<int> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return values[static_cast<size_t>(a)] > values[static_cast<size_t>(b)];
  });
  order.resize(static_cast<size_t>(count));
  return order;
}

std::vector<double> scores(const std::vector<double>& logits, RouterScore kind) {
  std::vector<double> s(logits.size());
  if (kind == RouterScore::sigmoid) {
    for (size_t e = 0; e < s.size(); ++e) s[e] = 1 / (1 + std::exp(-logits[e]));
    return s;
  }
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (size_t e = 0; e < s.size(); ++e) sum += s[e] = std::exp(logits[e] - largest);
  for (double& value : s) value /= sum;
  return s;
}

void mask_groups(std::vector<double>& c, const MoeConfig& moe, const Formula& formula) {
  const auto size = static_cast<std::ptrdiff_t>(c.size()) / moe.groups;
  const bool two_best = (moe.group_score == GroupScore::top2_sum) == formula.group_score_of_family;
  std::vector<double> rating;
  for (int64_t g = 0; g < moe.groups; ++g) {
    std::vector<double> group(c.begin() + g * size, c.begin() + (g + 1) * size);
    std::sort(group.begin(), group.end(), std::greater<>());
    rating.push_back(two_best && size > 1 ? group[0] + group[1] : group[0]);
  }
  std::vector<bool> kept(static_cast<size_t>(moe.groups), false);
  for (const int g : top(rating, moe.kept_groups)) kept[static_cast<size_t>(g)] = true;
  const double mask = formula.mask_with_infinity ? -std::numeric_limits<double>::infinity() : 0.0;
  for (size_t e = 0; e < c.size(); ++e)
    if (!kept[e / static_cast<size_t>(size)]) c[e] = mask;
}

}  // namespace

Routing route(const std::vector<double>& logits, const std::vector<double>& bias,
              const MoeConfig& moe, const Formula& formula) {
  const std::vector<double> s = scores(logits, moe.score);
  std::vector<double> biased = s;
  for (size_t e = 0; e < bias.size(); ++e) biased[e] += bias[e];
  std::vector<double> c = formula.selection_bias ? biased : s;
  if (moe.groups > 1 && formula.group_limit) mask_groups(c, moe, formula);

  Routing out;
  out.experts = top(c, moe.experts_per_token);
  double sum = 0;
  for (const int e : out.experts) {
    out.weights.push_back((formula.bias_in_weights ? biased : s)[static_cast<size_t>(e)]);
    sum += out.weights.back();
  }
  const bool normalize = moe.normalize_weights != formula.flip_normalize;
  for (double& weight : out.weights) {
    if (normalize) weight /= sum + (formula.weight_epsilon ? 1e-20 : 0.0);
    if (formula.routed_scaling) weight *= moe.weight_scale;
  }
  return out;
}

}  // namespace assay::engine::reference
