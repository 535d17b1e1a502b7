// The next token on the device, as engine/ops/sampling.h defines it: weights are integers, so that any
// order of adding gives the token that the host would choose.
#pragma once

#include "engine/ops/cuda/rowwise.h"
#include "engine/ops/sampling.h"

namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE {

// 0, 1, .. of every row: what is sorted beside the logits. Grid: row, blocks of columns.
struct ColumnArgs {
  int32_t* out;
  int columns;
};
ASSAY_KERNEL column_kernel(ColumnArgs a) {
  const int column = static_cast<int>(blockIdx.y * kRowThreads + threadIdx.x);
  if (column < a.columns) a.out[static_cast<int64_t>(blockIdx.x) * a.columns + column] = column;
}

struct SampleArgs {
  const float* logits;        // [rows][columns]
  const float* ranked;        // [rows][columns], highest first, ties by id; for draws with top_p < 1
  const int32_t* ranked_ids;  // [rows][columns]
  int columns;
  const Draw* draws;
  Choice* out;
};

inline constexpr int kSampleTile = 4 * kRowThreads;
// The first place in `logits` at which the weights up to and with it exceed `limit`, and what they
// weigh; the last place where they never do. The same in all threads.
struct Passed {
  int place;
  uint64_t weight;
};
__device__ inline Passed pass_weight(const float* logits, int columns, double largest,
                                     double temperature, uint64_t limit, uint64_t* tile,
                                     uint64_t* scratch) {
  uint64_t passed = 0;
  for (int first = 0; first < columns; first += kSampleTile) {
    uint64_t sum = 0;
    for (int i = static_cast<int>(threadIdx.x); i < kSampleTile; i += kRowThreads) {
      const int c = first + i;
      tile[i] = c < columns ? sampling_weight((logits[c] - largest) / temperature) : 0;
      sum += tile[i];
    }
    sum = block_sum(sum, scratch);  // and everybody sees the tile
    if (passed + sum > limit) {
      int i = 0;
      for (; passed + tile[i] <= limit; ++i) passed += tile[i];
      return {first + i, passed + tile[i]};
    }
    passed += sum;
  }
  return {columns - 1, passed};
}

// Grid: rows.
ASSAY_KERNEL sample_kernel(SampleArgs a) {
  __shared__ uint64_t scratch[kRowThreads / 32];
  __shared__ float top[kRowThreads / 32];
  __shared__ uint64_t tile[kSampleTile];
  const int64_t row = blockIdx.x;
  const float* logits = a.logits + row * a.columns;
  const Draw draw = a.draws[row];
  const int t = static_cast<int>(threadIdx.x);

  float best = -INFINITY;
  uint64_t odd = 0;  // logits that are not finite
  for (int c = t; c < a.columns; c += kRowThreads) {
    best = fmaxf(best, logits[c]);
    odd += !(fabsf(logits[c]) <= kLargest);
  }
  for (int mask = 16; mask > 0; mask /= 2) {
    best = fmaxf(best, __shfl_xor_sync(0xffffffffu, best, mask));
  }
  if (t % 32 == 0) top[t / 32] = best;
  odd = block_sum(odd, scratch);
  if (odd > 0) {
    if (t == 0) a.out[row] = {0, NAN};
    return;
  }
  for (int w = 0; w < kRowThreads / 32; ++w) best = fmaxf(best, top[w]);
  const double largest = best;

  uint64_t kept = 0, at_one = 0;
  for (int c = t; c < a.columns; c += kRowThreads) {
    const double distance = logits[c] - largest;
    kept += sampling_weight(distance / draw.temperature);
    at_one += sampling_weight(distance);
  }
  kept = block_sum(kept, scratch);
  at_one = block_sum(at_one, scratch);
  const bool ranks = draw.top_p < 1;
  const float* order = ranks ? a.ranked + row * a.columns : logits;
  if (ranks) {
    const uint64_t wanted = kept_weight(draw.top_p, kept);
    kept = pass_weight(order, a.columns, largest, draw.temperature, wanted > 0 ? wanted - 1 : 0, tile,
                       scratch)
               .weight;
    __syncthreads();  // the tile has been read
  }
  const int place = pass_weight(order, a.columns, largest, draw.temperature,
                                drawn_weight(draw.number, kept), tile, scratch)
                        .place;
  if (t != 0) return;
  const double weight = static_cast<double>(at_one) * (1.0 / (uint64_t{1} << kWeightBits));
  a.out[row] = {ranks ? a.ranked_ids[row * a.columns + place] : place,
                static_cast<float>(order[place] - largest - log(weight))};
}

}  // namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE
