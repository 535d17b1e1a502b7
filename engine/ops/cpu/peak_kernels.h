// Loops that do nothing but reach an instruction set's limits, over the vector abstraction V.
#pragma once

#include "engine/ops/cpu/product_kernels.h"

namespace assay::engine::ops {

// The compiler must believe that a value is used and may have changed. (An emulated vector, which is
// no register, goes through memory.)
template <class T>
inline void opaque(T& value) {
#if defined(__x86_64__)
  if constexpr (!__is_class(T)) {
    asm volatile("" : "+v"(value));
    return;
  }
#endif
  asm volatile("" : "+m"(value));
}

// Independent chains: 12 hide a latency of 4 at two a cycle, with room to spare.
inline constexpr int kChains = 12;

template <class V>
double busy_fp32(int64_t rounds) {
  typename V::F acc[kChains], x = V::set1(0.999f), y = V::set1(1e-3f);
  for (auto& a : acc) a = V::set1(1.0f);
  opaque(x);
  opaque(y);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) acc[c] = V::fma(acc[c], x, y);
  }
  for (auto& a : acc) opaque(a);
  return 2.0 * V::kLanes * kChains * static_cast<double>(rounds);
}

// Four independent streams through `bytes` (a multiple of 4 * kLanes * 16).
template <class V>
void read_memory(const void* data, size_t bytes) {
  const auto* p = static_cast<const float*>(data);
  const size_t quarter = bytes / 16;
  typename V::F sum[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
  for (size_t i = 0; i < quarter; i += V::kLanes) {
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) sum[s] = V::max(sum[s], V::load(p + s * quarter + i));
  }
  for (auto& s : sum) opaque(s);
}

}  // namespace assay::engine::ops
