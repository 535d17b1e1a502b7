#include "engine/checkpoint/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace assay::engine {

namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;

double yarn_m(double a, double factor) {
  return factor > 1 && a != 0 ? 0.1 * a * std::log(factor) + 1 : 1.0;
}

// 0 where the dimension turns more than beta_fast times within the original context (left as it
// is), 1 where it turns less than beta_slow times (stretched by factor), linear between.
double yarn_ramp(const RopeConfig& rope, int64_t pair) {
  const auto dim = static_cast<double>(rope.dim);
  const auto correction = [&](double rotations) {
    return dim * std::log(static_cast<double>(rope.original_context) / (kTwoPi * rotations)) /
           (2 * std::log(rope.theta));
  };
  double low = correction(rope.beta_fast), high = correction(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  return std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
}

double llama3_frequency(const RopeConfig& rope, double f) {
  const auto context = static_cast<double>(rope.original_context);
  const double wavelength = kTwoPi / f;
  if (wavelength < context / rope.high_freq_factor) return f;
  if (wavelength > context / rope.low_freq_factor) return f / rope.factor;
  const double smooth = (context / wavelength - rope.low_freq_factor) /
                        (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - smooth) * f / rope.factor + smooth * f;
}

}  // namespace

std::vector<double> rope_inverse_frequencies(const RopeConfig& rope) {
  std::vector<double> out(static_cast<size_t>(rope.dim / 2));
  for (int64_t i = 0; i < rope.dim / 2; ++i) {
    double f = std::pow(rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(rope.dim));
    if (rope.scaling == RopeScaling::yarn) {
      const double ramp = yarn_ramp(rope, i);
      f = f / rope.factor * ramp + f * (1 - ramp);
    } else if (rope.scaling == RopeScaling::llama3) {
      f = llama3_frequency(rope, f);
    }
    out[static_cast<size_t>(i)] = f;
  }
  return out;
}

double rope_cos_sin_factor(const RopeConfig& rope) {
  if (rope.scaling != RopeScaling::yarn) return 1;
  if (rope.attention_factor) return *rope.attention_factor;
  return yarn_m(rope.mscale, rope.factor) / yarn_m(rope.mscale_all_dim, rope.factor);
}

double attention_softmax_scale(const ModelConfig& config) {
  const double plain = 1 / std::sqrt(static_cast<double>(config.head_dim));
  if (!config.mla || config.rope.scaling != RopeScaling::yarn) return plain;
  const double m = yarn_m(config.rope.mscale_all_dim, config.rope.factor);
  return plain * m * m;
}

}  // namespace assay::engine
