// Portable kernels: 4 lanes by the compiler's vector types, tiles of 4 x 8, no fused multiply-add.
// No instruction-set flags: runs on every processor the program is compiled for.
#include "engine/checkpoint/tensor.h"
#include "engine/ops/cpu/make_table.h"

namespace assay::engine::ops {

namespace {

struct Portable {
  using F = float __attribute__((vector_size(16)));
  using I = uint32_t __attribute__((vector_size(16)));
  static constexpr int kLanes = 4;
  static constexpr int kTileRows = 4;
  static constexpr int kAttentionRows = 64;

  template <class To, class From>
  static To bits(From v) {
    To out;
    __builtin_memcpy(&out, &v, sizeof out);
    return out;
  }
  static F load(const float* p) {
    F v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
  static void store(float* p, F v) { __builtin_memcpy(p, &v, sizeof v); }
  static F set1(float x) { return F{x, x, x, x}; }
  static F zero() { return F{}; }
  static F add(F a, F b) { return a + b; }
  static F sub(F a, F b) { return a - b; }
  static F mul(F a, F b) { return a * b; }
  static F div(F a, F b) { return a / b; }
  static F fma(F a, F b, F c) { return a * b + c; }   // two roundings
  static F fnma(F a, F b, F c) { return c - a * b; }  // two roundings
  static F select(I mask, F yes, F no) {
    return bits<F>((bits<I>(yes) & mask) | (bits<I>(no) & ~mask));
  }
  static F max(F a, F b) { return select(bits<I>(a > b), a, b); }
  static F min(F a, F b) { return select(bits<I>(a < b), a, b); }
  static F abs(F a) { return bits<F>(bits<I>(a) & 0x7fffffffu); }
  static F zero_where_less(F x, F limit, F value) {
    return bits<F>(bits<I>(value) & ~bits<I>(x < limit));
  }
  static F power_of_two(F shifted) { return bits<F>((bits<I>(shifted) << 23) + 0x3f800000u); }
  static float first(F v) { return v[0]; }
  static float maximum(F v) {
    const float a = v[0] > v[2] ? v[0] : v[2], b = v[1] > v[3] ? v[1] : v[3];
    return a > b ? a : b;
  }
  static float sum(F v) { return (v[0] + v[2]) + (v[1] + v[3]); }
  static void transpose(F (&v)[4]) {
    for (int i = 0; i < 4; ++i) {
      for (int j = 0; j < i; ++j) {
        const float t = v[i][j];
        v[i][j] = v[j][i];
        v[j][i] = t;
      }
    }
  }

  static I round_bf16(F v) { return bits<I>(v) + 0x7fffu + ((bits<I>(v) >> 16) & 1u); }
  static F load_bf16(const uint16_t* p) {
    return bits<F>(I{p[0], p[1], p[2], p[3]} << 16);
  }
  static void store_bf16(uint16_t* p, F v) {
    const I rounded = round_bf16(v) >> 16;
    for (int i = 0; i < kLanes; ++i) p[i] = static_cast<uint16_t>(rounded[i]);
  }
  static void load_pairs(const uint16_t* p, F& even, F& odd) {
    I w;
    __builtin_memcpy(&w, p, sizeof w);  // little-endian pairs
    even = bits<F>(w << 16);
    odd = bits<F>(w & 0xffff0000u);
  }

  static F round_e4m3(F v) {
    for (int i = 0; i < kLanes; ++i) v[i] = e4m3_to_float(float_to_e4m3(v[i]));
    return v;
  }
  static constexpr int e4m3_index(int output, int k) { return k * 2 * kLanes + output; }
  // fp32 bits of e4m3: the exponent moves by 120; subnormals are counted in units of 2^-9.
  static F load_e4m3(const uint8_t* p) {
    const I byte{p[0], p[1], p[2], p[3]};
    const I magnitude = byte & 0x7fu;
    const F normal = bits<F>((magnitude << 20) + (120u << 23));
    const F subnormal = bits<F>((magnitude << 20) + (121u << 23)) - 0.015625f;
    const F value = select(bits<I>(magnitude < 8u), subnormal, normal);
    return bits<F>(bits<I>(value) | ((byte & 0x80u) << 24));
  }
  static void convert_e4m3(const uint8_t* p, float* out) {
    for (int i = 0; i < 4 * kLanes; i += kLanes) store(out + i, load_e4m3(p + i));
  }

  using Bf16Step = Fp32Step<Portable>;
  static void store_operand(float* p, F v) { store(p, bits<F>(round_bf16(v) & 0xffff0000u)); }
  using ThinBf16Operand = ThinBf16<Portable>;
  struct ThinE4m3 {
    using Step = Fp32Step<Portable>;
    static constexpr int64_t kBytes = 1;
    static constexpr int kSteps = 2;
    static void load(const uint8_t* p, F (&w)[2][2]) {
      for (int i = 0; i < 4; ++i) w[i / 2][i % 2] = load_e4m3(p + i * kLanes);
    }
  };
};

}  // namespace

const KernelTable& portable_kernels() {
  static constexpr KernelTable kTable = make_table<Portable>("portable");
  return kTable;
}

}  // namespace assay::engine::ops
