// AVX2 + FMA + F16C kernels: 8 lanes, tiles of 6 x 16. Compiled with -mavx2 -mfma -mf16c (room.cmake).
//
// bf16 operands are multiplied as fp32: a bf16 is the upper half of a float, so two vectors of
// weights come out of one load by a shift and a mask, and products of bf16 are exact in fp32.
// e4m3 becomes fp16 by shifting (subnormals included), then fp32 by vcvtph2ps, times 2^8 for the
// difference of the exponent biases: exact for all 254 finite values.
#include <immintrin.h>

#include "engine/ops/cpu/make_table.h"

namespace assay::engine::ops {

namespace {

struct Avx2 {
  using F = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kTileRows = 6;
  static constexpr int kAttentionRows = 96;

  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, F v) { _mm256_storeu_ps(p, v); }
  static F set1(float x) { return _mm256_set1_ps(x); }
  static F zero() { return _mm256_setzero_ps(); }
  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F div(F a, F b) { return _mm256_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F fnma(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }
  static F max(F a, F b) { return _mm256_max_ps(a, b); }
  static F min(F a, F b) { return _mm256_min_ps(a, b); }
  static F abs(F a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
  static F zero_where_less(F x, F limit, F value) {
    return _mm256_andnot_ps(_mm256_cmp_ps(x, limit, _CMP_LT_OQ), value);
  }
  static F power_of_two(F shifted) {
    const __m256i n = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(n, _mm256_set1_epi32(0x3f800000)));
  }
  static float first(F v) { return _mm256_cvtss_f32(v); }
  static float maximum(F v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
  }
  static float sum(F v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
  }
  static void transpose(F (&v)[8]) {
    F t[8], u[8];
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
      t[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
      u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
      u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
      u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
      u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; ++i) {
      v[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
      v[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
  }

  // Nearest bf16 in the upper halves, ties to even (NaN has no place in activations).
  static __m256i round_bf16(F v) {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
  }
  static F load_bf16(const uint16_t* p) {
    const __m128i h = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
  }
  static void store_bf16(uint16_t* p, F v) {
    const __m256i h = _mm256_srli_epi32(round_bf16(v), 16);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(h, h), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
  }
  static void load_pairs(const uint16_t* p, F& even, F& odd) {
    const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    even = _mm256_castsi256_ps(_mm256_slli_epi32(w, 16));
    odd = _mm256_castsi256_ps(_mm256_and_si256(w, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
  }

  static F round_e4m3(F v) {
    const F sign = _mm256_and_ps(v, _mm256_set1_ps(-0.0f));
    const F magnitude = _mm256_min_ps(abs(v), _mm256_set1_ps(448.0f));
    // Normal results keep three fraction bits; below 2^-6 the step is 2^-9.
    const __m256i bits = _mm256_castps_si256(magnitude);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 20), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_and_si256(
        _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7ffff)), odd),
        _mm256_set1_epi32(static_cast<int>(0xfff00000u)));
    const F magic = _mm256_set1_ps(24576.0f);  // 1.5 * 2^23 units of 2^-9
    const F small = _mm256_sub_ps(_mm256_add_ps(magnitude, magic), magic);
    const F is_small = _mm256_cmp_ps(magnitude, _mm256_set1_ps(0.015625f), _CMP_LT_OQ);
    return _mm256_or_ps(sign, _mm256_blendv_ps(_mm256_castsi256_ps(rounded), small, is_small));
  }
  static constexpr int e4m3_index(int output, int k) { return k * 2 * kLanes + output; }
  // One k of a panel: 16 e4m3 to two vectors.
  static void load_e4m3(const uint8_t* p, F& low, F& high) {
    const __m256i words = _mm256_slli_epi16(
        _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 8);
    const __m256i half = _mm256_and_si256(_mm256_srai_epi16(words, 1),
                                          _mm256_set1_epi16(static_cast<int16_t>(0xbf80)));
    const F bias = _mm256_set1_ps(256.0f);
    low = _mm256_mul_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(half)), bias);
    high = _mm256_mul_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(half, 1)), bias);
  }
  static void convert_e4m3(const uint8_t* p, float* out) {
    for (int k = 0; k < 2; ++k) {
      F low, high;
      load_e4m3(p + k * 16, low, high);
      store(out + k * 16, low);
      store(out + k * 16 + 8, high);
    }
  }

  using Bf16Step = Fp32Step<Avx2>;
  static void store_operand(float* p, F v) {
    const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
    store(p, _mm256_castsi256_ps(_mm256_and_si256(round_bf16(v), upper)));
  }
  using ThinBf16Operand = ThinBf16<Avx2>;
  struct ThinE4m3 {
    using Step = Fp32Step<Avx2>;
    static constexpr int64_t kBytes = 1;
    static constexpr int kSteps = 2;
    static void load(const uint8_t* p, F (&w)[2][2]) {
      load_e4m3(p, w[0][0], w[0][1]);
      load_e4m3(p + 16, w[1][0], w[1][1]);
    }
  };

  // 32 products of unsigned and signed bytes, added in pairs with saturation: what AVX2 has for int8.
  static double busy_int8(int64_t rounds) {
    __m256i acc[kChains], x = _mm256_set1_epi8(1);
    for (auto& a : acc) a = _mm256_set1_epi8(1);
    opaque(x);
    for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
      for (auto& a : acc) a = _mm256_maddubs_epi16(a, x);
    }
    for (auto& a : acc) opaque(a);
    return 64.0 * kChains * static_cast<double>(rounds);
  }
  static constexpr auto kBusyInt8 = busy_int8;
};

}  // namespace

const KernelTable& avx2_kernels() {
  static constexpr KernelTable kTable = make_table<Avx2>("avx2");
  return kTable;
}

}  // namespace assay::engine::ops
