// Softmax attention of one tile of query rows over the vector abstraction V.
//
//   out = sum_j softmax_j(scale * q . k_j) v_j, online (Milakov & Gimelshein 2018) over blocks of 64
//   positions at absolute multiples of 64, ascending:
//     m' = max(m, max_j s_j);  a = e^(m - m');  l = l a + sum_j e^(s_j - m');  o = o a + sum_j ... v_j
//
// Per block, keys are gathered through the slots and transposed to panels [dimension][positions], so
// that scores and outputs are the same register tile as a matrix product. fp32 throughout, whatever
// the KV type: positions a row does not see get probability 0, which leaves its sums as they are.
#pragma once

#include "engine/ops/cpu/product_kernels.h"
#include "engine/ops/ops.h"

namespace assay::engine::ops {

// Where the parts of the scratch memory begin.
template <class V>
struct AttentionScratch {
  static constexpr int kRows = V::kAttentionRows;
  int dim, value_columns;  // value_dim padded to whole panels
  float *query, *key, *value, *score, *out, *maximum, *sum;

  AttentionScratch(int key_dim, int shared_dim, int value_dim, float* base)
      : dim(key_dim + shared_dim),
        value_columns((value_dim + kPanel<V> - 1) / kPanel<V> * kPanel<V>),
        query(base),
        key(query + kRows * static_cast<int64_t>(padded(dim))),
        value(key + kAttentionBlock * static_cast<int64_t>(padded(dim))),
        score(value + kAttentionBlock * static_cast<int64_t>(value_columns)),
        out(score + kRows * kAttentionBlock),
        maximum(out + kRows * static_cast<int64_t>(value_columns)),
        sum(maximum + kRows) {}
  int64_t floats() const { return sum + kRows - query; }
  // Whole vectors, so that every part stays aligned.
  static int padded(int n) { return (n + 15) / 16 * 16; }
};

template <class V>
int64_t attention_scratch(int key_dim, int shared_dim, int value_dim) {
  alignas(64) static float base;
  return AttentionScratch<V>(key_dim, shared_dim, value_dim, &base).floats();
}

// kLanes consecutive elements; `n` of them exist.
template <class V>
inline typename V::F load_kv(const void* base, bool bf16, int64_t at, int n) {
  if (bf16) {
    const uint16_t* p = static_cast<const uint16_t*>(base) + at;
    if (n >= V::kLanes) return V::load_bf16(p);
    uint16_t buffer[V::kLanes] = {};
    for (int i = 0; i < n; ++i) buffer[i] = p[i];
    return V::load_bf16(buffer);
  }
  const float* p = static_cast<const float*>(base) + at;
  return n >= V::kLanes ? V::load(p) : load_some<V>(p, n);
}

// Dimensions [0, dim) of `count` keys to rows first_dim.. of the transposed block
// [panel of positions][dimension][panel]; positions beyond count are zero.
template <class V>
inline void gather_keys(const void* base, bool bf16, int64_t stride, const int32_t* slots, int count,
                        int dim, int first_dim, int all_dims, float* out) {
  for (int j = 0; j < kAttentionBlock; j += V::kLanes) {
    float* to = out + (j / kPanel<V> * static_cast<int64_t>(all_dims) + first_dim) * kPanel<V> +
                j % kPanel<V>;
    for (int d = 0; d < dim; d += V::kLanes) {
      typename V::F in[V::kLanes];
      for (int i = 0; i < V::kLanes; ++i) {
        in[i] = j + i < count ? load_kv<V>(base, bf16, slots[j + i] * stride + d, dim - d) : V::zero();
      }
      V::transpose(in);
      for (int i = 0; i < V::kLanes && d + i < dim; ++i) {
        V::store(to + static_cast<int64_t>(d + i) * kPanel<V>, in[i]);
      }
    }
  }
}

// Values to [panel of dimensions][position][panel], zeros beyond value_dim.
template <class V>
inline void gather_values(const AttentionTile& t, const int32_t* slots, int count, float* out) {
  const int padded = (t.value_dim + kPanel<V> - 1) / kPanel<V> * kPanel<V>;
  for (int j = 0; j < count; ++j) {
    for (int d = 0; d < padded; d += V::kLanes) {
      float* to = out + (d / kPanel<V> * static_cast<int64_t>(kAttentionBlock) + j) * kPanel<V> +
                  d % kPanel<V>;
      V::store(to, d < t.value_dim ? load_kv<V>(t.value, t.bf16, slots[j] * t.value_stride + d,
                                                t.value_dim - d)
                                   : V::zero());
    }
  }
}

// Scores of one row to probabilities, and its running maximum, sum and output to the new maximum.
template <class V>
inline void soften(float* score, int visible, float scale, float* maximum, float* sum, float* out,
                   int columns) {
  using F = typename V::F;
  constexpr int kVectors = kAttentionBlock / V::kLanes;
  F s[kVectors];
  if (visible < kAttentionBlock) {
    for (int j = visible < 0 ? 0 : visible; j < kAttentionBlock; ++j) score[j] = -__builtin_inff();
  }
  F top = V::set1(*maximum);
  for (int i = 0; i < kVectors; ++i) {
    s[i] = V::mul(V::load(score + i * V::kLanes), V::set1(scale));
    top = V::max(top, s[i]);
  }
  const float m = V::maximum(top);
  F total = V::zero();
  for (int i = 0; i < kVectors; ++i) {
    const F p = vector_exp<V>(V::sub(s[i], V::set1(m)));
    V::store(score + i * V::kLanes, p);
    total = V::add(total, p);
  }
  const float rescale = V::first(vector_exp<V>(V::set1(*maximum - m)));
  *sum = *sum * rescale + V::sum(total);
  *maximum = m;
  if (rescale != 1.0f) {
    for (int d = 0; d < columns; d += V::kLanes) {
      V::store(out + d, V::mul(V::load(out + d), V::set1(rescale)));
    }
  }
}

template <class V>
void attention(const AttentionTile& t) {
  constexpr int kRows = V::kTileRows;
  using Step = Fp32Step<V>;
  const AttentionScratch<V> w(t.key_dim, t.shared_dim, t.value_dim, t.scratch);

  // Queries interleaved [tile][dimension][row in tile]: a step reads its rows side by side.
  for (int r = 0; r < t.rows; ++r) {
    float* to = w.query + static_cast<int64_t>(r / kRows) * kRows * w.dim + r % kRows;
    for (int d = 0; d < w.dim; ++d) to[d * kRows] = t.query[r][d];
    w.maximum[r] = -__builtin_inff();
    w.sum[r] = 0;
    for (int d = 0; d < w.value_columns; d += V::kLanes) {
      V::store(w.out + static_cast<int64_t>(r) * w.value_columns + d, V::zero());
    }
  }

  int first = 0;  // rows before it see nothing of this block
  for (int64_t begin = 0; begin < t.positions; begin += kAttentionBlock) {
    while (t.length[first] <= begin) ++first;
    const int first_tile = first / kRows * kRows;
    const int64_t left = t.positions - begin;
    const int count = left < kAttentionBlock ? static_cast<int>(left) : kAttentionBlock;
    const int32_t* slots = t.slots + begin;
    gather_keys<V>(t.key, t.bf16, t.key_stride, slots, count, t.key_dim, 0, w.dim, w.key);
    gather_keys<V>(t.shared, t.bf16, t.shared_stride, slots, count, t.shared_dim, t.key_dim, w.dim,
                   w.key);
    gather_values<V>(t, slots, count, w.value);

    NextWeights nothing;  // keys and values are copies in cache
    for (int p = 0; p < kAttentionBlock / kPanel<V>; ++p) {
      for (int r = first_tile; r < t.rows; r += kRows) {
        tile_product_rows<V, Step, kRows, 1, kRows, false>(
            t.rows - r, w.query + static_cast<int64_t>(r) * w.dim,
            w.key + static_cast<int64_t>(p) * w.dim * kPanel<V>, w.dim,
            w.score + r * kAttentionBlock + p * kPanel<V>, static_cast<int64_t>(kAttentionBlock),
            true, static_cast<const float*>(nullptr), static_cast<const float*>(nullptr),
            int64_t{0}, nothing);
      }
    }
    for (int r = first_tile; r < t.rows; ++r) {
      const int64_t visible = t.length[r] - begin;
      soften<V>(w.score + r * kAttentionBlock,
                visible < kAttentionBlock ? static_cast<int>(visible) : kAttentionBlock, t.scale,
                &w.maximum[r], &w.sum[r], w.out + static_cast<int64_t>(r) * w.value_columns,
                w.value_columns);
    }
    for (int d = 0; d < w.value_columns; d += kPanel<V>) {
      for (int r = first_tile; r < t.rows; r += kRows) {
        tile_product_rows<V, Step, kRows, kAttentionBlock, 1, false>(
            t.rows - r, w.score + r * kAttentionBlock,
            w.value + static_cast<int64_t>(d) * kAttentionBlock, count,
            w.out + static_cast<int64_t>(r) * w.value_columns + d,
            static_cast<int64_t>(w.value_columns), false, static_cast<const float*>(nullptr),
            static_cast<const float*>(nullptr), int64_t{0}, nothing);
      }
    }
  }

  for (int r = 0; r < t.rows; ++r) {
    const auto sum = V::set1(w.sum[r]);
    for (int d = 0; d < t.value_dim; d += V::kLanes) {
      const float* from = w.out + static_cast<int64_t>(r) * w.value_columns + d;
      store_some<V>(t.out[r] + d, V::div(V::load(from), sum), t.value_dim - d);
    }
  }
}

}  // namespace assay::engine::ops
