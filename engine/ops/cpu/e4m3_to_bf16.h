// Tables and order of bytes with which AVX-512 VBMI turns e4m3 weights into pairs of bf16.
//
// A bf16 is two bytes, each a function of the e4m3's lower seven bits: two lookups in 128 entries
// (vpermi2b), the sign ORed into the upper byte, and an interleave within 128-bit sections put 64
// weights into two vectors of pairs. Exact for every finite value, subnormals included.
#pragma once

#include <cstdint>

namespace assay::engine::ops {

// bf16 bits of the non-negative e4m3 `code` (0..126; 127, NaN, never reaches a kernel).
constexpr uint16_t e4m3_code_to_bf16(int code) {
  const int exponent = code >> 3, fraction = code & 7;
  if (exponent > 0) return static_cast<uint16_t>((exponent + 120) << 7 | fraction << 4);
  if (fraction == 0) return 0;
  const int top = fraction >= 4 ? 2 : fraction >= 2 ? 1 : 0;  // fraction * 2^-9
  return static_cast<uint16_t>((127 - 9 + top) << 7 | ((fraction << (7 - top)) & 0x7f));
}

struct E4m3Tables {
  alignas(64) uint8_t low[128] = {};
  alignas(64) uint8_t high[128] = {};
  constexpr E4m3Tables() {
    for (int code = 0; code < 128; ++code) {
      low[code] = static_cast<uint8_t>(e4m3_code_to_bf16(code) & 0xff);
      high[code] = static_cast<uint8_t>(e4m3_code_to_bf16(code) >> 8);
    }
  }
};
inline constexpr E4m3Tables kE4m3Tables;

// Where output j (of 32) at k (of 2) lies among the 64 bytes of a pair of k's, so that the lower
// interleave holds outputs 0..15 and the upper one 16..31, each as pairs in order.
constexpr int e4m3_pair_index(int j, int k) {
  return j % 16 / 4 * 16 + j / 16 * 8 + j % 4 * 2 + k;
}

}  // namespace assay::engine::ops
