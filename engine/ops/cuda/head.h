// Log-softmax over the vocabulary, a slice of columns at a time, so that rows x vocabulary is never in
// memory: the product writes the logits of a slice, the reduction folds them into each row's state.
//
// Slices begin at absolute multiples of kHeadColumns and are folded in ascending order; within a
// slice every thread takes columns in ascending order and a fixed tree adds the threads. Bits do not
// depend on the number of rows. Ties of the maximum go to the lowest token.
#pragma once

#include "engine/ops/cuda/rowwise.h"

namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE {

inline constexpr int kHeadColumns = 8192;

struct HeadState {
  double sum;  // of e^(logit - maximum)
  float maximum;
  int32_t index;
};

struct HeadArgs {
  const float* logits;  // [rows][stride]
  int64_t stride;
  int first, columns;   // of the slice
  HeadState* state;     // [rows]
  const int32_t *first_target, *target;  // first_target[rows + 1]
  float* logprob;       // [targets]
};
// Grid: rows.
ASSAY_KERNEL head_kernel(HeadArgs a) {
  __shared__ double scratch[kRowThreads / 32];
  __shared__ float top[kRowThreads / 32];
  __shared__ int32_t top_index[kRowThreads / 32];
  const float* logits = a.logits + blockIdx.x * a.stride;
  const int t = static_cast<int>(threadIdx.x);
  float best = -INFINITY;
  int32_t index = a.columns;
  for (int c = t; c < a.columns; c += kRowThreads) {
    if (logits[c] > best || index == a.columns) {
      best = logits[c];
      index = c;
    }
  }
  const auto better = [](float x, int32_t i, float y, int32_t j) { return x > y || (x == y && i < j); };
  for (int mask = 16; mask > 0; mask /= 2) {
    const float other = __shfl_xor_sync(0xffffffffu, best, mask);
    const int32_t other_index = __shfl_xor_sync(0xffffffffu, index, mask);
    if (better(other, other_index, best, index)) {
      best = other;
      index = other_index;
    }
  }
  if (t % 32 == 0) {
    top[t / 32] = best;
    top_index[t / 32] = index;
  }
  __syncthreads();
  for (int w = 0; w < kRowThreads / 32; ++w) {
    if (better(top[w], top_index[w], best, index)) {
      best = top[w];
      index = top_index[w];
    }
  }
  double sum = 0;
  for (int c = t; c < a.columns; c += kRowThreads) {
    sum += static_cast<double>(exponential(logits[c] - best));
  }
  sum = block_sum(sum, scratch);
  for (int i = a.first_target[blockIdx.x] + t; i < a.first_target[blockIdx.x + 1]; i += kRowThreads) {
    const int column = a.target[i] - a.first;
    if (column >= 0 && column < a.columns) a.logprob[i] = logits[column];
  }
  if (t != 0) return;
  HeadState state = a.first == 0 ? HeadState{0, -INFINITY, 0} : a.state[blockIdx.x];
  if (best > state.maximum) {  // ties: the lower index stays
    state.sum = state.sum * static_cast<double>(exponential(state.maximum - best)) + sum;
    state.maximum = best;
    state.index = a.first + index;
  } else {
    state.sum += sum * static_cast<double>(exponential(best - state.maximum));
  }
  a.state[blockIdx.x] = state;
}

struct HeadEndArgs {
  const HeadState* state;
  const int32_t* first_target;
  float* logprob;
  int32_t* argmax;
  float* argmax_logprob;
};
// Grid: rows.
ASSAY_KERNEL head_end_kernel(HeadEndArgs a) {
  const HeadState state = a.state[blockIdx.x];
  const double log_sum = state.maximum + log(state.sum);
  for (int i = a.first_target[blockIdx.x] + static_cast<int>(threadIdx.x);
       i < a.first_target[blockIdx.x + 1]; i += static_cast<int>(blockDim.x)) {
    a.logprob[i] = static_cast<float>(a.logprob[i] - log_sum);
  }
  if (threadIdx.x != 0) return;
  a.argmax[blockIdx.x] = state.index;
  a.argmax_logprob[blockIdx.x] = static_cast<float>(state.maximum - log_sum);
}

}  // namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE
