// The vector abstraction with one lane and no fused operations: plain C++, runs anywhere.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "engine/ops/cpu/vector_math.h"

namespace assay::engine::ops {

struct Scalar {
  using F = float;
  static F set1(float x) { return x; }
  static F zero() { return 0.0f; }
  static F add(F a, F b) { return a + b; }
  static F sub(F a, F b) { return a - b; }
  static F mul(F a, F b) { return a * b; }
  static F div(F a, F b) { return a / b; }
  static F fma(F a, F b, F c) { return a * b + c; }   // two roundings
  static F fnma(F a, F b, F c) { return c - a * b; }  // two roundings
  static F max(F a, F b) { return a > b ? a : b; }
  static F min(F a, F b) { return a < b ? a : b; }
  static F zero_where_less(F x, F limit, F value) { return x < limit ? 0.0f : value; }
  // 2^n where `shifted` holds the integer n in the low bits of 1.5 * 2^23 + n.
  static F power_of_two(F shifted) {
    return std::bit_cast<float>((std::bit_cast<uint32_t>(shifted) << 23) + 0x3f800000u);
  }
};

inline float exp_f32(float x) { return vector_exp<Scalar>(x); }
inline float silu_f32(float x) { return vector_silu<Scalar>(x); }

// Natural logarithm in double from basic operations only, |relative error| < 1e-14 for normal
// x > 0: x = 2^e m, m in [sqrt(1/2), sqrt(2)), ln m = 2 atanh((m - 1) / (m + 1)).
inline double log_f64(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);  // exact
  if (m < 0.70710678118654752440) {
    m *= 2;
    --exponent;
  }
  const double t = (m - 1) / (m + 1), t2 = t * t;
  double series = 0;  // t2 <= 0.0295: the first dropped term is below 1e-17
  for (int k = 21; k >= 1; k -= 2) series = series * t2 + 1.0 / k;
  return 2 * t * series + exponent * 0.69314718055994530942;
}

}  // namespace assay::engine::ops
