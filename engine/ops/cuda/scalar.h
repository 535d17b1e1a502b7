// Scalar arithmetic of the kernels: number formats and elementary functions, the same bits on the
// device and on the host (every rounding is written out; no library function, no contraction).
#pragma once

#include <cstdint>

#include "engine/ops/cuda/device.h"

namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE {

inline constexpr float kLargest = 0x1.fffffep127f;

__device__ inline float bf16_value(uint32_t bits) { return __uint_as_float(bits << 16); }

// Nearest bf16, ties to even; NaN stays NaN.
__device__ inline uint32_t bf16_bits(float x) {
  const uint32_t bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return bits >> 16 | 0x40u;
  return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}
__device__ inline uint32_t bf16_pair(float low, float high) {
  return bf16_bits(low) | bf16_bits(high) << 16;
}

// e4m3 (no NaN) to bf16 bits, exact: exponent and fraction moved into a float's place are the value
// times 2^-120, subnormals included, and so is the product with 2^120.
__device__ inline uint32_t e4m3_to_bf16(uint32_t byte) {
  const float magnitude = __uint_as_float((byte & 0x7fu) << 20) * 0x1p120f;
  return __float_as_uint(magnitude) >> 16 | (byte & 0x80u) << 8;
}

// The nearest e4m3 value, ties to even, saturating at 448: a multiple of 2^-9, above 2^-6 of an
// eighth of the power of two below. NaN stays NaN.
__device__ inline float round_to_e4m3(float x) {
  const float magnitude = fabsf(x);
  uint32_t exponent = __float_as_uint(magnitude) >> 23;
  exponent = exponent < 121u ? 121u : exponent;          // 2^-6
  const float quantum = __uint_as_float((exponent - 3u) << 23);
  const float inverse = __uint_as_float((257u - exponent) << 23);
  const float rounded = rintf(magnitude * inverse) * quantum;
  return copysignf(rounded > 448.0f ? 448.0f : rounded, x);
}

// The byte of an e4m3 value: times 2^-120 its exponent and fraction are a float's, subnormals
// included.
__device__ inline uint32_t e4m3_bits(float x) {
  const uint32_t bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fu;
  return __float_as_uint(fabsf(x) * 0x1p-120f) >> 20 | (bits >> 24 & 0x80u);
}

// Scale of a block of activations whose largest magnitude is amax (numerics: FP8).
__device__ inline float block_scale(float amax, bool ue8m0) {
  const float scale = fmaxf(amax, 1e-4f) / 448.0f;
  if (!ue8m0) return scale;
  const uint32_t bits = __float_as_uint(scale);  // a normal number: at least 2.2e-7
  return __uint_as_float((bits + 0x7fffffu) & 0x7f800000u);
}

// e^x: the polynomial of engine/ops/cpu/vector_math.h, |error| <= 2 units in the last place;
// 0 below -87.3; NaN stays NaN.
__device__ inline float exponential(float x) {
  if (!(x >= -87.3f)) return x < -87.3f ? 0.0f : x;
  const float clamped = fminf(x, 88.0f);
  const float shifted = fmaf(clamped, 1.44269504088896341f, 12582912.0f);
  const float n = shifted - 12582912.0f;
  float r = fmaf(-n, 0.693359375f, clamped);
  r = fmaf(-n, -2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = fmaf(p, r, 1.3981999507e-3f);
  p = fmaf(p, r, 8.3334519073e-3f);
  p = fmaf(p, r, 4.1665795894e-2f);
  p = fmaf(p, r, 1.6666665459e-1f);
  p = fmaf(p, r, 5.0000001201e-1f);
  p = fmaf(p, r * r, r) + 1.0f;
  return p * __uint_as_float((__float_as_uint(shifted) << 23) + 0x3f800000u);
}

__device__ inline float silu(float x) { return x / (1.0f + exponential(-x)); }

}  // namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE
