#include "engine/ops/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace assay::engine::ops {

namespace {

constexpr int64_t kRows = 16;  // whose logits are in memory at the same time

// The largest logit, NaN where one is not finite.
double largest_logit(std::span<const float> logits) {
  float largest = logits[0];
  bool finite = true;
  for (const float logit : logits) {
    finite &= std::fabs(logit) <= std::numeric_limits<float>::max();
    largest = std::max(largest, logit);
  }
  return finite ? largest : std::nan("");
}

float logprob(double logit, double largest, uint64_t all) {
  return static_cast<float>(logit - largest -
                            std::log(static_cast<double>(all) * std::exp2(-kWeightBits)));
}

uint64_t weight_at_one(std::span<const float> logits, double largest) {
  uint64_t all = 0;
  for (const float logit : logits) all += sampling_weight(logit - largest);
  return all;
}

}  // namespace

Choice sample(std::span<const float> logits, const Draw& draw,
              std::vector<std::pair<uint64_t, TokenId>>& scratch) {
  const double largest = largest_logit(logits);
  if (std::isnan(largest)) return {0, std::numeric_limits<float>::quiet_NaN()};
  scratch.clear();
  uint64_t kept = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const uint64_t weight = sampling_weight((logits[i] - largest) / draw.temperature);
    if (weight == 0) continue;  // can never be drawn
    scratch.push_back({weight, static_cast<TokenId>(i)});
    kept += weight;
  }
  if (draw.top_p < 1) {
    std::sort(scratch.begin(), scratch.end(), [&](const auto& a, const auto& b) {
      const float x = logits[static_cast<size_t>(a.second)];
      const float y = logits[static_cast<size_t>(b.second)];
      return x != y ? x > y : a.second < b.second;
    });
    const uint64_t wanted = kept_weight(draw.top_p, kept);
    kept = 0;
    size_t n = 0;
    while (n < scratch.size() && (n == 0 || kept < wanted)) kept += scratch[n++].first;
    scratch.resize(n);
  }
  const uint64_t drawn = drawn_weight(draw.number, kept);
  uint64_t passed = 0;
  TokenId token = 0;
  for (const auto& [weight, id] : scratch) {
    token = id;
    passed += weight;
    if (passed > drawn) break;
  }
  return {token, logprob(logits[static_cast<size_t>(token)], largest, weight_at_one(logits, largest))};
}

float sampled_logprob(std::span<const float> logits, TokenId token) {
  const double largest = largest_logit(logits);
  if (std::isnan(largest)) return std::numeric_limits<float>::quiet_NaN();
  return logprob(logits[static_cast<size_t>(token)], largest, weight_at_one(logits, largest));
}

void Backend::head_sample(const Matrix& head, ConstRows hidden, std::span<const Draw> draws,
                          Choice* out) const {
  std::vector<float> logits;
  std::vector<std::pair<uint64_t, TokenId>> scratch;
  for (int64_t begin = 0; begin < hidden.rows; begin += kRows) {
    const int64_t count = std::min(kRows, hidden.rows - begin);
    logits.resize(static_cast<size_t>(count * head.n));
    const Rows rows{logits.data(), count, head.n, head.n};
    head_logits(head, {hidden.row(begin), count, hidden.cols, hidden.stride}, rows);
    for (int64_t i = 0; i < count; ++i) {
      out[begin + i] = sample({rows.row(i), static_cast<size_t>(head.n)},
                              draws[static_cast<size_t>(begin + i)], scratch);
    }
  }
}

}  // namespace assay::engine::ops
