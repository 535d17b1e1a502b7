// The vector abstraction of AVX-512 (F, BW, VL, DQ, VBMI, VNNI, BF16): 16 lanes, tiles of 12 x 32.
//
// For the translation units that are compiled with those flags (avx512.cpp, amx.cpp; room.cmake):
// everything has internal linkage, so that each has its own copy.
#pragma once

#include <immintrin.h>

#include "engine/ops/cpu/e4m3_to_bf16.h"
#include "engine/ops/cpu/make_table.h"

namespace assay::engine::ops {

namespace {

struct Avx512 {
  using F = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kTileRows = 12;
  static constexpr int kAttentionRows = 96;

  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static F set1(float x) { return _mm512_set1_ps(x); }
  static F zero() { return _mm512_setzero_ps(); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F fnma(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  static F abs(F a) {
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(0x7fffffff)));
  }
  static F zero_where_less(F x, F limit, F value) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, limit, _CMP_NLT_UQ), value);
  }
  static F power_of_two(F shifted) {
    const __m512i n = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(n, _mm512_set1_epi32(0x3f800000)));
  }
  static float first(F v) { return _mm512_cvtss_f32(v); }
  static float maximum(F v) {
    __m256 m = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
  }
  static float sum(F v) {
    __m256 s = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
  }
  // 4 x 4 within 128-bit sections, then the sections.
  static void transpose(F (&v)[16]) {
    F t[16], u[16];
    for (int i = 0; i < 16; i += 2) {
      t[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
      t[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
      u[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
      u[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
      u[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
      u[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    // u[4g + c], section s: column 4s + c of rows 4g .. 4g+3.
    for (int c = 0; c < 4; ++c) {
      const F a = _mm512_shuffle_f32x4(u[c], u[4 + c], 0x44);       // sections 0 1 | 0 1
      const F b = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0x44);
      const F d = _mm512_shuffle_f32x4(u[c], u[4 + c], 0xee);       // sections 2 3 | 2 3
      const F e = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0xee);
      v[c] = _mm512_shuffle_f32x4(a, b, 0x88);
      v[4 + c] = _mm512_shuffle_f32x4(a, b, 0xdd);
      v[8 + c] = _mm512_shuffle_f32x4(d, e, 0x88);
      v[12 + c] = _mm512_shuffle_f32x4(d, e, 0xdd);
    }
  }

  // Nearest bf16 in the upper halves, ties to even. Not VCVTNEPS2BF16, which flushes subnormals:
  // stored values are the same for every instruction set.
  static __m512i round_bf16(F v) {
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    return _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
  }
  static F load_bf16(const uint16_t* p) {
    const __m256i h = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
  }
  static void store_bf16(uint16_t* p, F v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtepi32_epi16(_mm512_srli_epi32(round_bf16(v), 16)));
  }
  static void load_pairs(const uint16_t* p, F& even, F& odd) {
    const __m512i w = _mm512_loadu_si512(p);
    even = _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
    odd = _mm512_castsi512_ps(
        _mm512_and_si512(w, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
  }

  static F round_e4m3(F v) {
    const __m512i sign = _mm512_and_si512(_mm512_castps_si512(v),
                                          _mm512_set1_epi32(static_cast<int>(0x80000000u)));
    const F magnitude = min(abs(v), set1(448.0f));
    // Normal results keep three fraction bits; below 2^-6 the step is 2^-9.
    const __m512i bits = _mm512_castps_si512(magnitude);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 20), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_and_si512(
        _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7ffff)), odd),
        _mm512_set1_epi32(static_cast<int>(0xfff00000u)));
    const F magic = set1(24576.0f);  // 1.5 * 2^23 units of 2^-9
    const F small = sub(add(magnitude, magic), magic);
    const __mmask16 is_small = _mm512_cmp_ps_mask(magnitude, set1(0.015625f), _CMP_LT_OQ);
    const F value = _mm512_mask_mov_ps(_mm512_castsi512_ps(rounded), is_small, small);
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(value), sign));
  }

  // --- bf16 pairs -------------------------------------------------------------------------------
  struct Bf16Step {
    using Activation = uint16_t;
    using Weight = uint16_t;
    using X = __m512i;
    static constexpr int kColumns = 2;
    static X weight(const uint16_t* p) { return _mm512_loadu_si512(p); }
    static X activation(const uint16_t* p) {
      int pair;
      __builtin_memcpy(&pair, p, 4);
      return _mm512_set1_epi32(pair);
    }
    static F multiply_add(X a, X b, F c) {
      return _mm512_dpbf16_ps(c, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
    }
  };
  static void store_operand(uint16_t* p, F v) { store_bf16(p, v); }

  static constexpr int e4m3_index(int output, int k) { return e4m3_pair_index(output, k); }
  static void load_e4m3(const uint8_t* p, __m512i& low, __m512i& high) {
    const __m512i q = _mm512_loadu_si512(p);
    const __m512i l = _mm512_permutex2var_epi8(_mm512_load_si512(kE4m3Tables.low), q,
                                               _mm512_load_si512(kE4m3Tables.low + 64));
    const __m512i h = _mm512_permutex2var_epi8(_mm512_load_si512(kE4m3Tables.high), q,
                                               _mm512_load_si512(kE4m3Tables.high + 64));
    // h | (q & 0x80)
    const __m512i signed_h =
        _mm512_ternarylogic_epi32(h, q, _mm512_set1_epi8(static_cast<char>(0x80)), 0xf8);
    low = _mm512_unpacklo_epi8(l, signed_h);
    high = _mm512_unpackhi_epi8(l, signed_h);
  }
  static void convert_e4m3(const uint8_t* p, uint16_t* out) {
    __m512i low, high;
    load_e4m3(p, low, high);
    _mm512_storeu_si512(out, low);
    _mm512_storeu_si512(out + 32, high);
  }
  struct ThinBf16Operand {
    using Step = Bf16Step;
    static constexpr int64_t kBytes = 2;
    static constexpr int kSteps = 1;
    static void load(const uint8_t* p, __m512i (&w)[1][2]) {
      w[0][0] = _mm512_loadu_si512(p);
      w[0][1] = _mm512_loadu_si512(p + 64);
    }
  };
  struct ThinE4m3 {
    using Step = Bf16Step;
    static constexpr int64_t kBytes = 1;
    static constexpr int kSteps = 1;
    static void load(const uint8_t* p, __m512i (&w)[1][2]) { load_e4m3(p, w[0][0], w[0][1]); }
  };

  // --- limits -----------------------------------------------------------------------------------
  static double busy_bf16(int64_t rounds) {
    F acc[kChains];
    for (auto& a : acc) a = set1(1.0f);
    __m512i x = _mm512_set1_epi32(0x3c003c00);
    opaque(x);
    for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
      for (auto& a : acc) a = Bf16Step::multiply_add(x, x, a);
    }
    for (auto& a : acc) opaque(a);
    return 4.0 * kLanes * kChains * static_cast<double>(rounds);
  }
  static double busy_int8(int64_t rounds) {
    __m512i acc[kChains], x = _mm512_set1_epi8(1);
    for (auto& a : acc) a = _mm512_setzero_si512();
    opaque(x);
    for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
      for (auto& a : acc) a = _mm512_dpbusd_epi32(a, x, x);
    }
    for (auto& a : acc) opaque(a);
    return 128.0 * kChains * static_cast<double>(rounds);
  }
  static constexpr auto kBusyBf16 = busy_bf16;
  static constexpr auto kBusyInt8 = busy_int8;
};

}  // namespace

}  // namespace assay::engine::ops
