// The AVX-512 kernels through an emulation of their instructions, lane by lane in plain C++.
//
// The kernel templates, packing, byte order and tables are those of avx512.cpp; what is emulated is
// the vector abstraction. VDPBF16PS after Intel's manual: the pair's second product is added first,
// each as a fused multiply-add to nearest even, subnormal inputs and results taken as zero.
#include "tests/engine/ops/emulated_avx512.h"

#include <cmath>
#include <cstring>

#include "engine/checkpoint/tensor.h"
#include "engine/ops/cpu/e4m3_to_bf16.h"
#include "engine/ops/cpu/make_table.h"
#include "engine/ops/cpu/scalar.h"

namespace assay::engine::ops {

namespace {

float flush(float x) { return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }

struct Emulated {
  static constexpr int kLanes = 16;
  static constexpr int kTileRows = 3;  // 12 in avx512.cpp: a parameter, small here to compile fast
  static constexpr int kAttentionRows = 24;
  struct F {
    float v[kLanes];
  };

  template <class Op>
  static F each(const Op& op) {
    F out;
    for (int i = 0; i < kLanes; ++i) out.v[i] = op(i);
    return out;
  }
  static F load(const float* p) {
    return each([&](int i) { return p[i]; });
  }
  static void store(float* p, const F& v) { std::memcpy(p, v.v, sizeof v.v); }
  static F set1(float x) {
    return each([&](int) { return x; });
  }
  static F zero() { return set1(0); }
  [[gnu::noinline]] static F add(F a, F b) {
    return each([&](int i) { return a.v[i] + b.v[i]; });
  }
  [[gnu::noinline]] static F sub(F a, F b) {
    return each([&](int i) { return a.v[i] - b.v[i]; });
  }
  [[gnu::noinline]] static F mul(F a, F b) {
    return each([&](int i) { return a.v[i] * b.v[i]; });
  }
  [[gnu::noinline]] static F div(F a, F b) {
    return each([&](int i) { return a.v[i] / b.v[i]; });
  }
  [[gnu::noinline]] static F fma(F a, F b, F c) {
    return each([&](int i) { return std::fma(a.v[i], b.v[i], c.v[i]); });
  }
  [[gnu::noinline]] static F fnma(F a, F b, F c) {
    return each([&](int i) { return std::fma(-a.v[i], b.v[i], c.v[i]); });
  }
  [[gnu::noinline]] static F max(F a, F b) {
    return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  [[gnu::noinline]] static F min(F a, F b) {
    return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  static F abs(F a) {
    return each([&](int i) { return std::fabs(a.v[i]); });
  }
  static F zero_where_less(F x, F limit, F value) {
    return each([&](int i) { return x.v[i] < limit.v[i] ? 0.0f : value.v[i]; });
  }
  static F power_of_two(F shifted) {
    return each([&](int i) { return Scalar::power_of_two(shifted.v[i]); });
  }
  static float first(F v) { return v.v[0]; }
  static float maximum(F v) {
    float m = v.v[0];
    for (const float x : v.v) m = std::fmax(m, x);
    return m;
  }
  static float sum(F v) {  // halves onto each other, as the shuffles do
    for (int n = kLanes / 2; n > 0; n /= 2) {
      for (int i = 0; i < n; ++i) v.v[i] += v.v[i + n];
    }
    return v.v[0];
  }
  static void transpose(F (&v)[kLanes]) {
    for (int i = 0; i < kLanes; ++i) {
      for (int j = 0; j < i; ++j) std::swap(v[i].v[j], v[j].v[i]);
    }
  }
  static F load_bf16(const uint16_t* p) {
    return each([&](int i) { return bf16_to_float(p[i]); });
  }
  static void store_bf16(uint16_t* p, F v) {
    for (int i = 0; i < kLanes; ++i) p[i] = float_to_bf16(v.v[i]);
  }
  static void load_pairs(const uint16_t* p, F& even, F& odd) {
    even = each([&](int i) { return bf16_to_float(p[2 * i]); });
    odd = each([&](int i) { return bf16_to_float(p[2 * i + 1]); });
  }
  static F round_e4m3(F v) {
    return each([&](int i) { return e4m3_to_float(float_to_e4m3(v.v[i])); });
  }

  struct Pairs {
    uint16_t v[2 * kLanes];
  };
  struct Bf16Step {
    using Activation = uint16_t;
    using Weight = uint16_t;
    using X = Pairs;
    static constexpr int kColumns = 2;
    static X weight(const uint16_t* p) {
      X out;
      std::memcpy(out.v, p, sizeof out.v);
      return out;
    }
    static X activation(const uint16_t* p) {
      X out;
      for (int i = 0; i < 2 * kLanes; ++i) out.v[i] = p[i % 2];
      return out;
    }
    [[gnu::noinline]] static F multiply_add(const X& a, const X& b, F c) {
      for (int i = 0; i < kLanes; ++i) {
        for (const int j : {2 * i + 1, 2 * i}) {
          c.v[i] = flush(std::fma(flush(bf16_to_float(a.v[j])), flush(bf16_to_float(b.v[j])),
                                  flush(c.v[i])));
        }
      }
      return c;
    }
  };
  static void store_operand(uint16_t* p, F v) { store_bf16(p, v); }

  static constexpr int e4m3_index(int output, int k) { return e4m3_pair_index(output, k); }
  static void load_e4m3(const uint8_t* q, Pairs& low, Pairs& high) {
    uint8_t l[64], h[64];
    for (int i = 0; i < 64; ++i) {
      l[i] = kE4m3Tables.low[q[i] & 0x7f];
      h[i] = static_cast<uint8_t>(kE4m3Tables.high[q[i] & 0x7f] | (q[i] & 0x80));
    }
    for (int section = 0; section < 4; ++section) {  // vpunpcklbw, vpunpckhbw
      for (int i = 0; i < 8; ++i) {
        const int a = 16 * section + i, b = a + 8;
        low.v[8 * section + i] = static_cast<uint16_t>(l[a] | h[a] << 8);
        high.v[8 * section + i] = static_cast<uint16_t>(l[b] | h[b] << 8);
      }
    }
  }
  static void convert_e4m3(const uint8_t* p, uint16_t* out) {
    Pairs low, high;
    load_e4m3(p, low, high);
    std::memcpy(out, low.v, sizeof low.v);
    std::memcpy(out + 32, high.v, sizeof high.v);
  }
  struct ThinBf16Operand {
    using Step = Bf16Step;
    static constexpr int64_t kBytes = 2;
    static constexpr int kSteps = 1;
    static void load(const uint8_t* p, Pairs (&w)[1][2]) {
      std::memcpy(w[0][0].v, p, 64);
      std::memcpy(w[0][1].v, p + 64, 64);
    }
  };
  struct ThinE4m3 {
    using Step = Bf16Step;
    static constexpr int64_t kBytes = 1;
    static constexpr int kSteps = 1;
    static void load(const uint8_t* p, Pairs (&w)[1][2]) { load_e4m3(p, w[0][0], w[0][1]); }
  };
};

}  // namespace

const KernelTable& emulated_avx512_kernels() {
  static constexpr KernelTable kTable = make_table<Emulated>("avx512-emulated");
  return kTable;
}

}  // namespace assay::engine::ops
