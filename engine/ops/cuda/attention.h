// Attention over slots (ops.h: Attention), online softmax over blocks of 64 positions at absolute
// multiples of 64, ascending.
//
//   m' = max(m, max_j s_j);  a = e^(m - m');  l = l a + sum_j e^(s_j - m');  o = o a + sum_j ... v_j
//
// A block of 128 threads takes 16 (query row, head) pairs that share a KV head, consecutive rows of
// one segment. Per 64 positions: keys come through shared memory in slices of 32 dimensions (two
// threads a position, eight pairs each); the four warps soften four pairs each; values are read once
// for all 16 pairs, one thread a dimension. fp32 throughout, whatever the KV type; dimensions and
// positions ascend; a pair's result does not depend on the others in its tile.
//
// Covers expanded MLA, absorbed MLA and grouped queries. For keys and values in fp32 (numerics fp32)
// and shapes that attention_tensor.h has no room for. Never run on hardware so far (docs/gpu.md).
#pragma once

#include "engine/ops/cuda/attention_tiles.h"
#include "engine/ops/cuda/layout.h"
#include "engine/ops/cuda/scalar.h"

namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE {

inline constexpr int kPairs = 16, kKvBlock = 64, kSlice = 32, kAttentionThreads = 128;

struct AttentionArgs {
  const float* query;
  int64_t query_stride;
  const void *key, *shared, *value;
  int64_t key_stride, key_head_stride, shared_stride, value_stride, value_head_stride;  // elements
  int key_dim, shared_dim, value_dim;
  float scale;
  const PairTile* tiles;
  const int32_t* slots;
  float* out;
  int64_t out_stride;
};

inline int attention_shared_bytes(int key_dim, int shared_dim, int value_dim) {
  const int dim = key_dim + shared_dim;
  return static_cast<int>(sizeof(float)) *
         (kPairs * dim + kKvBlock * (kSlice + 1) + kPairs * kKvBlock + kPairs * value_dim + 3 * kPairs);
}

template <bool kBf16>
__device__ inline float kv_element(const void* base, int64_t at) {
  return kBf16 ? bf16_value(static_cast<const uint16_t*>(base)[at]) : static_cast<const float*>(base)[at];
}

template <bool kBf16>
ASSAY_KERNEL __launch_bounds__(kAttentionThreads) attention_kernel(AttentionArgs a) {
  const PairTile tile = a.tiles[blockIdx.x];
  const int t = static_cast<int>(threadIdx.x), lane = t % 32, warp = t / 32;
  const int dim = a.key_dim + a.shared_dim, pairs = tile.last - tile.first;
  const int32_t* slots = a.slots + tile.slots;

  auto* query = reinterpret_cast<float*>(shared_memory());  // [dim][pair]
  float* key = query + kPairs * dim;                        // [position][dimension of the slice]
  float* score = key + kKvBlock * (kSlice + 1);             // [position][pair], then probabilities
  float* out = score + kPairs * kKvBlock;                   // [dimension][pair]
  float* maximum = out + kPairs * a.value_dim;              // [pair]
  float* sum = maximum + kPairs;
  float* rescale = sum + kPairs;

  for (int i = t; i < kPairs * dim; i += kAttentionThreads) {
    const int pair = i / dim, d = i % dim;
    float q = 0;
    if (pair < pairs) {
      const int64_t row = tile.row + (tile.first + pair) / tile.group;
      const int head = tile.first_head + (tile.first + pair) % tile.group;
      q = a.query[row * a.query_stride + static_cast<int64_t>(head) * dim + d];
    }
    query[d * kPairs + pair] = q;
  }
  for (int i = t; i < kPairs * a.value_dim; i += kAttentionThreads) out[i] = 0;
  if (t < kPairs) {
    maximum[t] = -INFINITY;
    sum[t] = 0;
  }

  // Positions that the last pair sees.
  const int64_t positions = static_cast<int64_t>(tile.position) + (tile.last - 1) / tile.group + 1;
  for (int64_t begin = 0; begin < positions; begin += kKvBlock) {
    const int64_t left = positions - begin;
    const int count = left < kKvBlock ? static_cast<int>(left) : kKvBlock;

    const int position = t % kKvBlock, first_pair = t / kKvBlock * (kPairs / 2);
    float dot[kPairs / 2] = {};
    for (int slice = 0; slice < dim; slice += kSlice) {
      const int width = dim - slice < kSlice ? dim - slice : kSlice;
      __syncthreads();  // the slice before has been read, and all of the block before
      for (int i = t; i < count * kSlice; i += kAttentionThreads) {
        const int j = i / kSlice, d = i % kSlice;
        if (d >= width) continue;
        const int64_t slot = slots[begin + j];
        key[j * (kSlice + 1) + d] =
            slice + d < a.key_dim
                ? kv_element<kBf16>(a.key, slot * a.key_stride + tile.kv_head * a.key_head_stride + slice + d)
                : kv_element<kBf16>(a.shared, slot * a.shared_stride + slice + d - a.key_dim);
      }
      __syncthreads();
      if (position >= count) continue;
      for (int d = 0; d < width; ++d) {
        const float k = key[position * (kSlice + 1) + d];
        ASSAY_UNROLL
        for (int i = 0; i < kPairs / 2; ++i) {
          dot[i] = fmaf(query[(slice + d) * kPairs + first_pair + i], k, dot[i]);
        }
      }
    }
    ASSAY_UNROLL
    for (int i = 0; i < kPairs / 2; ++i) {
      const int pair = first_pair + i;
      // Row (first + pair) / group sees positions up to its own.
      const int64_t own = static_cast<int64_t>(tile.position) + (tile.first + pair) / tile.group;
      const bool visible = pair < pairs && begin + position <= own;
      score[position * kPairs + pair] = visible ? dot[i] * a.scale : -INFINITY;
    }
    __syncthreads();

    for (int pair = warp; pair < kPairs; pair += kAttentionThreads / 32) {
      const float low = score[lane * kPairs + pair], high = score[(lane + 32) * kPairs + pair];
      float top = fmaxf(low, high);
      for (int mask = 16; mask > 0; mask /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, mask));
      const float before = maximum[pair];
      top = fmaxf(top, before);
      // A row that sees nothing of this block (or does not exist) keeps what it has.
      const bool nothing = top == -INFINITY;
      const float p_low = nothing ? 0.0f : exponential(low - top);
      const float p_high = nothing ? 0.0f : exponential(high - top);
      score[lane * kPairs + pair] = p_low;
      score[(lane + 32) * kPairs + pair] = p_high;
      float add = p_low + p_high;
      for (int mask = 16; mask > 0; mask /= 2) add += __shfl_xor_sync(0xffffffffu, add, mask);
      if (lane == 0) {
        const float factor = nothing ? 1.0f : exponential(before - top);
        rescale[pair] = factor;
        sum[pair] = sum[pair] * factor + add;
        maximum[pair] = top;
      }
    }
    __syncthreads();

    for (int d = t; d < a.value_dim; d += kAttentionThreads) {
      float o[kPairs];
      ASSAY_UNROLL
      for (int pair = 0; pair < kPairs; ++pair) o[pair] = out[d * kPairs + pair] * rescale[pair];
      for (int j = 0; j < count; ++j) {
        const float v = kv_element<kBf16>(
            a.value, slots[begin + j] * a.value_stride + tile.kv_head * a.value_head_stride + d);
        ASSAY_UNROLL
        for (int pair = 0; pair < kPairs; ++pair) o[pair] = fmaf(score[j * kPairs + pair], v, o[pair]);
      }
      ASSAY_UNROLL
      for (int pair = 0; pair < kPairs; ++pair) out[d * kPairs + pair] = o[pair];
    }
  }
  __syncthreads();
  for (int i = t; i < pairs * a.value_dim; i += kAttentionThreads) {
    const int pair = i / a.value_dim, d = i % a.value_dim;
    const int64_t row = tile.row + (tile.first + pair) / tile.group;
    const int head = tile.first_head + (tile.first + pair) % tile.group;
    a.out[row * a.out_stride + static_cast<int64_t>(head) * a.value_dim + d] =
        out[d * kPairs + pair] / sum[pair];
  }
}

}  // namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE
