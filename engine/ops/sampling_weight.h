// The arithmetic of sampling (sampling.h), shared by host and device: the same bits on both.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define ASSAY_SAMPLING_FUNCTION __host__ __device__ inline
#else
#define ASSAY_SAMPLING_FUNCTION inline
#endif

namespace assay::engine::ops {

inline constexpr int kWeightBits = 43;  // of the heaviest token; 2^20 tokens add up to less than 2^64

// round(e^x 2^43) for x <= 0; 0 for NaN. e^x = 2^n e^r, |r| <= ln 2 / 2, by 14 terms of its series
// (the next is 4e-18), plain multiplications and additions; ln 2 in two parts of which the first
// times n is exact (fdlibm, e_exp.c).
ASSAY_SAMPLING_FUNCTION uint64_t sampling_weight(double x) {
  if (!(x > -31)) return 0;
  const double shifted = x * 1.44269504088896338700e+00 + 0x1.8p52;
  const double n = shifted - 0x1.8p52;
  const double r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
  double p = 1.0 / 6227020800;
  p = p * r + 1.0 / 479001600;
  p = p * r + 1.0 / 39916800;
  p = p * r + 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const uint64_t exponent = static_cast<uint64_t>(1023 + kWeightBits + static_cast<int>(n)) << 52;
  double power;
  memcpy(&power, &exponent, sizeof power);
  return static_cast<uint64_t>(p * power + 0.5);
}

// The least weight of kept tokens.
ASSAY_SAMPLING_FUNCTION uint64_t kept_weight(double top_p, uint64_t all) {
  return static_cast<uint64_t>(top_p * static_cast<double>(all));
}

// number / 2^53 of `weight`, rounded down: less than `weight`.
ASSAY_SAMPLING_FUNCTION uint64_t drawn_weight(uint64_t number, uint64_t weight) {
#if defined(__CUDA_ARCH__)
  return __umul64hi(number << 11, weight);
#else
  // (high 2^32 + low) (h 2^32 + l) without the products' lower 64 bits.
  const uint64_t fraction = number << 11;
  const uint64_t high = fraction >> 32, low = fraction & 0xffffffffu;
  const uint64_t h = weight >> 32, l = weight & 0xffffffffu;
  const uint64_t middle = high * l + (low * l >> 32);
  return high * h + (middle >> 32) + ((low * h + (middle & 0xffffffffu)) >> 32);
#endif
}

}  // namespace assay::engine::ops
