// Routing, the order of entries by expert, and the combination of the experts' outputs.
//
// An entry is a (row, choice) pair, numbered row * top_k + choice, choices in ascending expert order.
// Entries are sorted by expert (a stable sort: rows ascend within an expert); a tile of the grouped
// products covers entries of one expert. Nothing of this returns to the host.
#pragma once

#include "engine/ops/cuda/product.h"

namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE {

struct RouteArgs {
  const float* logits;
  int64_t stride;
  const float* bias;  // [experts] or null
  int experts, groups, kept_groups, top_k;
  bool softmax, grouped, top2_sum, normalise;
  double epsilon, scaling;
  int32_t* expert;  // [rows][top_k], ascending within a row
  float* weight;
};

// Larger value first, equal values: lower index first.
__device__ inline bool precedes(float a, int i, float b, int j) { return a > b || (a == b && i < j); }

// The index of the largest of values[0 .. n), NaN left out, ties to the lowest; by one warp, the same in
// all lanes.
__device__ inline int warp_argmax(const float* values, int n) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float best = -INFINITY;
  int index = n;
  for (int e = lane; e < n; e += 32) {
    if (isnan(values[e])) continue;
    if (index == n || precedes(values[e], e, best, index)) {
      best = values[e];
      index = e;
    }
  }
  for (int mask = 16; mask > 0; mask /= 2) {
    const float other = __shfl_xor_sync(0xffffffffu, best, mask);
    const int other_index = __shfl_xor_sync(0xffffffffu, index, mask);
    if (other_index < n && (index == n || precedes(other, other_index, best, index))) {
      best = other;
      index = other_index;
    }
  }
  return index < n ? index : 0;  // logits that are NaN: an expert that exists, the output is NaN anyway
}

// From logits to chosen experts (ops.h: Router): one warp a row. Scores in double, selection in fp32.
// Shared: experts doubles, experts + groups floats, top_k ints.
ASSAY_KERNEL route_kernel(RouteArgs a) {
  const float* logits = a.logits + blockIdx.x * a.stride;
  auto* score = reinterpret_cast<double*>(shared_memory());
  auto* choice = reinterpret_cast<float*>(score + a.experts);
  float* rating = choice + a.experts;
  auto* chosen = reinterpret_cast<int32_t*>(rating + a.groups);
  const int lane = static_cast<int>(threadIdx.x);
  if (a.softmax) {
    double top = -INFINITY;
    for (int e = lane; e < a.experts; e += 32) top = fmax(top, static_cast<double>(logits[e]));
    for (int mask = 16; mask > 0; mask /= 2) top = fmax(top, __shfl_xor_sync(0xffffffffu, top, mask));
    double sum = 0;
    for (int e = lane; e < a.experts; e += 32) sum += score[e] = exp(logits[e] - top);
    for (int mask = 16; mask > 0; mask /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, mask);
    for (int e = lane; e < a.experts; e += 32) score[e] /= sum;
  } else {
    for (int e = lane; e < a.experts; e += 32) score[e] = 1 / (1 + exp(-static_cast<double>(logits[e])));
  }
  for (int e = lane; e < a.experts; e += 32) {
    choice[e] = static_cast<float>(score[e]) + (a.bias != nullptr ? a.bias[e] : 0.0f);
  }
  __syncwarp();
  if (a.grouped && a.kept_groups < a.groups) {
    const int size = a.experts / a.groups;
    for (int g = lane; g < a.groups; g += 32) {
      float first = -INFINITY, second = -INFINITY;
      for (int e = g * size; e < (g + 1) * size; ++e) {
        if (choice[e] > first) {
          second = first;
          first = choice[e];
        } else {
          second = fmaxf(second, choice[e]);
        }
      }
      rating[g] = a.top2_sum && size > 1 ? first + second : first;
    }
    __syncwarp();
    // Groups are dropped from the worst on: what remains are the best, ties to the lowest index.
    for (int dropped = 0; dropped < a.groups - a.kept_groups; ++dropped) {
      if (lane == 0) {
        int worst = -1;
        for (int g = 0; g < a.groups; ++g) {
          if (isnan(rating[g])) continue;  // dropped before
          if (worst < 0 || precedes(rating[worst], worst, rating[g], g)) worst = g;
        }
        if (worst >= 0) rating[worst] = NAN;
      }
      __syncwarp();
    }
    for (int e = lane; e < a.experts; e += 32) {
      if (isnan(rating[e / size])) choice[e] = -INFINITY;
    }
    __syncwarp();
  }
  double sum = 0;
  for (int j = 0; j < a.top_k; ++j) {
    const int e = warp_argmax(choice, a.experts);
    __syncwarp();
    sum += score[e];  // in order of decreasing choice
    if (lane == 0) {
      chosen[j] = e;
      choice[e] = NAN;  // not again
    }
    __syncwarp();
  }
  const double factor = a.normalise ? a.scaling / (sum + a.epsilon) : a.scaling;
  for (int j = lane; j < a.top_k; j += 32) {
    int place = 0;
    for (int other = 0; other < a.top_k; ++other) place += chosen[other] < chosen[j];
    const int64_t at = static_cast<int64_t>(blockIdx.x) * a.top_k + place;
    a.expert[at] = chosen[j];
    a.weight[at] = static_cast<float>(score[chosen[j]] * factor);
  }
}

struct CountUpArgs {
  int32_t* out;
  int64_t n;
};
ASSAY_KERNEL count_up_kernel(CountUpArgs a) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < a.n) a.out[i] = static_cast<int32_t>(i);
}

struct TilePlanArgs {
  const int32_t* sorted;  // experts of the entries, ascending
  int32_t entries;
  int experts, tile_rows, most_tiles;
  RowTile* tiles;
  int32_t* tile_count;
};
inline constexpr int kPlanThreads = 1024;
// The tiles of the grouped products: experts ascending. One block; thread e plans experts e, e + 1024...
// Shared: experts + 1 ints.
ASSAY_KERNEL tile_plan_kernel(TilePlanArgs a) {
  auto* begin = reinterpret_cast<int32_t*>(shared_memory());
  for (int e = static_cast<int>(threadIdx.x); e <= a.experts; e += kPlanThreads) {
    int32_t low = 0, high = a.entries;  // the first entry whose expert is not below e
    while (low < high) {
      const int32_t middle = low + (high - low) / 2;
      if (a.sorted[middle] < e) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    begin[e] = low;
  }
  __syncthreads();
  for (int e = static_cast<int>(threadIdx.x); e < a.experts; e += kPlanThreads) {
    int32_t tile = 0;
    for (int before = 0; before < e; ++before) {
      tile += static_cast<int32_t>(layout::divide_up(begin[before + 1] - begin[before], a.tile_rows));
    }
    for (int32_t row = begin[e]; row < begin[e + 1]; row += a.tile_rows) {
      const int32_t last = row + a.tile_rows < begin[e + 1] ? row + a.tile_rows : begin[e + 1];
      a.tiles[tile++] = {e, row, last};
    }
    if (e == a.experts - 1) *a.tile_count = tile;
  }
}

struct RankArgs {
  const int32_t* expert;  // by entry
  int32_t n, top_k;
  int32_t* sorted;        // by place: the expert
  int32_t *row, *place;   // as in EntryArgs
};
// What a sort and entry_kernel find, of few entries in one launch: an entry's place is the number of those
// before it. Shared: an int a thread.
ASSAY_KERNEL rank_kernel(RankArgs a) {
  auto* experts = reinterpret_cast<int32_t*>(shared_memory());
  const auto t = static_cast<int32_t>(threadIdx.x), threads = static_cast<int32_t>(blockDim.x);
  const int32_t entry = static_cast<int32_t>(blockIdx.x) * threads + t;
  const int32_t own = entry < a.n ? a.expert[entry] : 0;
  int32_t place = 0;
  for (int32_t first = 0; first < a.n; first += threads) {
    __syncthreads();  // those before have been read
    if (first + t < a.n) experts[t] = a.expert[first + t];
    __syncthreads();
    const int32_t count = a.n - first < threads ? a.n - first : threads;
    for (int32_t i = 0; i < count; ++i) {
      place += experts[i] < own || (experts[i] == own && first + i < entry);
    }
  }
  if (entry >= a.n) return;
  a.sorted[place] = own;
  a.row[place] = entry / a.top_k;
  a.place[entry] = place;
}

struct EntryArgs {
  const int32_t* entry;  // by place
  int32_t n, top_k;
  int32_t* row;          // by place: the entry's row
  int32_t* place;        // by entry
};
ASSAY_KERNEL entry_kernel(EntryArgs a) {
  const int64_t p = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (p >= a.n) return;
  a.row[p] = a.entry[p] / a.top_k;
  a.place[a.entry[p]] = static_cast<int32_t>(p);
}

struct CombineArgs {
  const float* y;        // by place
  int64_t y_stride;
  const int32_t* place;  // by entry
  const float* weight;   // by entry
  int top_k, cols;
  float* out;
  int64_t out_stride;
};
// out[row] = sum of weight * y over the row's entries, ascending expert, fused multiply-adds. Grid: rows.
ASSAY_KERNEL combine_kernel(CombineArgs a) {
  float* out = a.out + blockIdx.x * a.out_stride;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * a.top_k;
  for (int c = static_cast<int>(threadIdx.x); c < a.cols; c += static_cast<int>(blockDim.x)) {
    float sum = 0;
    for (int j = 0; j < a.top_k; ++j) {
      sum = fmaf(a.weight[first + j], a.y[a.place[first + j] * a.y_stride + c], sum);
    }
    out[c] = sum;
  }
}

}  // namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE
