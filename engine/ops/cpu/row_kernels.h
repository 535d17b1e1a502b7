// Row-wise inner loops over the vector abstraction V.
#pragma once

#include "engine/ops/cpu/product_kernels.h"

namespace assay::engine::ops {

// Four partial sums of squares per lane, added in a fixed order: relative error of the mean at most
// (n / (4 * lanes) + 8) * 2^-24.
template <class V>
void rms_norm(const float* x, const float* weight, double eps, float* out, int64_t n) {
  using F = typename V::F;
  F square[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
  int64_t i = 0;
  for (; i + 4 * V::kLanes <= n; i += 4 * V::kLanes) {
    for (int j = 0; j < 4; ++j) {
      const F v = V::load(x + i + j * V::kLanes);
      square[j] = V::fma(v, v, square[j]);
    }
  }
  for (; i < n; i += V::kLanes) {
    const int left = static_cast<int>(n - i);
    const F v = left >= V::kLanes ? V::load(x + i) : load_some<V>(x + i, left);
    square[0] = V::fma(v, v, square[0]);
  }
  const double sum = V::sum(V::add(V::add(square[0], square[1]), V::add(square[2], square[3])));
  const double mean = sum / static_cast<double>(n) + eps;
  // Squares that overflow would turn the row into zeros; NaN is seen at the end.
  const F factor = V::set1(mean <= 3.4028234663852886e38 ? static_cast<float>(1 / __builtin_sqrt(mean))
                                                         : __builtin_nanf(""));
  for (i = 0; i + V::kLanes <= n; i += V::kLanes) {
    V::store(out + i, V::mul(V::mul(V::load(x + i), factor), V::load(weight + i)));
  }
  if (i < n) {
    const int left = static_cast<int>(n - i);
    const F v = V::mul(V::mul(load_some<V>(x + i, left), factor), load_some<V>(weight + i, left));
    store_some<V>(out + i, v, left);
  }
}

template <class V>
void to_bf16(const float* x, uint16_t* out, int64_t n) {
  int64_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) V::store_bf16(out + i, V::load(x + i));
  if (i < n) {
    uint16_t buffer[V::kLanes];
    V::store_bf16(buffer, load_some<V>(x + i, static_cast<int>(n - i)));
    for (int64_t j = i; j < n; ++j) out[j] = buffer[j - i];
  }
}

template <class V>
void add_scaled(float* accumulator, float factor, const float* x, int64_t n) {
  const auto f = V::set1(factor);
  int64_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) {
    V::store(accumulator + i, V::fma(f, V::load(x + i), V::load(accumulator + i)));
  }
  if (i < n) {
    const int left = static_cast<int>(n - i);
    const auto v = V::fma(f, load_some<V>(x + i, left), load_some<V>(accumulator + i, left));
    store_some<V>(accumulator + i, v, left);
  }
}

// out[row_of[r]] += weight[r] * sums of row r: one expert's share of its tokens.
template <class V>
void accumulate_rows(const float* sums, int sum_rows, int rows, int64_t columns,
                     const int32_t* row_of, const float* weight, float* out, int64_t stride) {
  const int64_t panel = static_cast<int64_t>(sum_rows) * kPanel<V>;
  for (int r = 0; r < rows; ++r) {
    const float* from = sums + r * kPanel<V>;
    float* to = out + row_of[r] * stride;
    for (int64_t c = 0; c < columns; c += kPanel<V>, from += panel) {
      add_scaled<V>(to + c, weight[r], from, columns - c < kPanel<V> ? columns - c : kPanel<V>);
    }
  }
}

template <class V>
void add(float* accumulator, const float* x, int64_t n) {
  add_scaled<V>(accumulator, 1.0f, x, n);  // 1 * x is exact
}

}  // namespace assay::engine::ops
