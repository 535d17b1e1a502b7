// Row-wise kernels: norms, rotation, conversions, copies, and the operands of matrix products.
//
// One block a row (or a row and head) of a fixed number of threads; sums are taken per thread in
// ascending order, then in one fixed tree, so bits do not depend on the number of rows.
#pragma once

#include "engine/ops/cuda/layout.h"
#include "engine/ops/cuda/scalar.h"

namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE {

inline constexpr int kRowThreads = 256;

// The sum over the block's threads, the same in all of them. `scratch`: kRowThreads / 32 values.
template <class T>
__device__ inline T block_sum(T x, T* scratch) {
  for (int mask = 16; mask > 0; mask /= 2) x += __shfl_xor_sync(0xffffffffu, x, mask);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  if (threadIdx.x % 32 == 0) scratch[warp] = x;
  __syncthreads();
  T sum = 0;
  for (int w = 0; w < kRowThreads / 32; ++w) sum += scratch[w];
  __syncthreads();
  return sum;
}

// --- norms ----------------------------------------------------------------------------------------
struct NormArgs {
  const float* x;
  int64_t stride, head_stride;
  const float* weight;
  double eps;
  float* out;
  int64_t out_stride, out_head_stride;
  int cols;
};
// x / sqrt(mean(x^2) + eps) * weight. Grid: rows x heads.
ASSAY_KERNEL norm_kernel(NormArgs a) {
  __shared__ double scratch[kRowThreads / 32];
  const float* x = a.x + blockIdx.x * a.stride + blockIdx.y * a.head_stride;
  float* out = a.out + blockIdx.x * a.out_stride + blockIdx.y * a.out_head_stride;
  double square = 0;
  for (int c = static_cast<int>(threadIdx.x); c < a.cols; c += kRowThreads) {
    square += static_cast<double>(x[c]) * x[c];
  }
  const double mean = block_sum(square, scratch) / a.cols + a.eps;
  // As on the CPU: squares that overflow fp32 give NaN, which is seen at the end.
  const float factor = mean <= static_cast<double>(kLargest) ? static_cast<float>(1 / sqrt(mean)) : NAN;
  for (int c = static_cast<int>(threadIdx.x); c < a.cols; c += kRowThreads) {
    out[c] = x[c] * factor * a.weight[c];
  }
}

// --- rotation -------------------------------------------------------------------------------------
struct RopeArgs {
  float* x;  // first rotated column of the first head
  int64_t stride, head_stride;
  int heads, pairs;
  bool interleaved;
  const int32_t* positions;
  const double* inverse_frequency;
  double multiplier;
};
inline constexpr int kMostPairs = 512;
// Grid: rows.
ASSAY_KERNEL rope_kernel(RopeArgs a) {
  __shared__ float cosine[kMostPairs], sine[kMostPairs];
  for (int p = static_cast<int>(threadIdx.x); p < a.pairs; p += kRowThreads) {
    const double angle = static_cast<double>(a.positions[blockIdx.x]) * a.inverse_frequency[p];
    cosine[p] = static_cast<float>(cos(angle) * a.multiplier);
    sine[p] = static_cast<float>(sin(angle) * a.multiplier);
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < a.heads * a.pairs; i += kRowThreads) {
    const int p = i % a.pairs;
    float* v = a.x + blockIdx.x * a.stride + i / a.pairs * a.head_stride;
    float& first = a.interleaved ? v[2 * p] : v[p];
    float& second = a.interleaved ? v[2 * p + 1] : v[p + a.pairs];
    const float x = first, y = second;
    first = x * cosine[p] - y * sine[p];
    second = x * sine[p] + y * cosine[p];
  }
}

// --- elementwise ----------------------------------------------------------------------------------
struct AddArgs {
  float* accumulator;
  int64_t stride;
  const float* x;
  int64_t x_stride;
  int cols;
};
ASSAY_KERNEL add_kernel(AddArgs a) {
  float* to = a.accumulator + blockIdx.x * a.stride;
  const float* from = a.x + blockIdx.x * a.x_stride;
  for (int c = static_cast<int>(threadIdx.x); c < a.cols; c += kRowThreads) to[c] += from[c];
}

struct FiniteArgs {
  const float* x;
  int64_t stride;
  int cols;
  int32_t* overflow;  // gets `number` where an element is NaN or infinite, unless it has one
  int32_t number;     // not negative
};
ASSAY_KERNEL clear_kernel(FiniteArgs a) { *a.overflow = -1; }
ASSAY_KERNEL finite_kernel(FiniteArgs a) {
  const float* x = a.x + blockIdx.x * a.stride;
  bool any = false;
  for (int c = static_cast<int>(threadIdx.x); c < a.cols; c += kRowThreads) any |= !(fabsf(x[c]) <= kLargest);
  if (any && *a.overflow < 0) *a.overflow = a.number;  // whoever writes, writes this
}

struct Bf16Args {
  float* wide;
  int64_t stride;
  uint16_t* half;
  int64_t half_stride;
  int cols;
};
ASSAY_KERNEL to_bf16_kernel(Bf16Args a) {
  const float* from = a.wide + blockIdx.x * a.stride;
  uint16_t* to = a.half + blockIdx.x * a.half_stride;
  for (int c = static_cast<int>(threadIdx.x); c < a.cols; c += kRowThreads) {
    to[c] = static_cast<uint16_t>(bf16_bits(from[c]));
  }
}
ASSAY_KERNEL from_bf16_kernel(Bf16Args a) {
  float* to = a.wide + blockIdx.x * a.stride;
  const uint16_t* from = a.half + blockIdx.x * a.half_stride;
  for (int c = static_cast<int>(threadIdx.x); c < a.cols; c += kRowThreads) to[c] = bf16_value(from[c]);
}

struct CopyArgs {
  const unsigned char* from;
  int64_t from_stride;
  const int32_t* from_rows;  // null: row i
  unsigned char* to;
  int64_t to_stride;
  const int32_t* to_rows;
  int64_t units;  // of 4 or 2 bytes
};
// Grid: rows. Unit: an integer type that all addresses and strides are multiples of.
template <class Unit>
ASSAY_KERNEL copy_kernel(CopyArgs a) {
  // (blockIdx is unsigned: it must not decide on the type of a row that may be negative.)
  const int64_t row = blockIdx.x;
  const int64_t from_row = a.from_rows == nullptr ? row : int64_t{a.from_rows[row]};
  const int64_t to_row = a.to_rows == nullptr ? row : int64_t{a.to_rows[row]};
  if (from_row < 0 || to_row < 0) return;
  const auto* from = reinterpret_cast<const Unit*>(a.from + from_row * a.from_stride);
  auto* to = reinterpret_cast<Unit*>(a.to + to_row * a.to_stride);
  for (int64_t c = threadIdx.x; c < a.units; c += kRowThreads) to[c] = from[c];
}

// --- operands of matrix products
// -------------------------------------------------------------------- e4m3: the quantised value,
// as bf16 (exact); e4m3_bytes: as it is.
enum class Operand { f32, bf16, e4m3, e4m3_bytes };

struct OperandArgs {
  const float* x;
  int64_t stride, head_stride;
  const int32_t* rows;  // row of x for each row of the operand; null: row i
  int k, padded_k;
  void* out;            // [heads][rows][padded_k]
  float* scale;         // quantised: [heads][padded_k / 128][rows padded to 4]
  bool ue8m0;
};
// Gathers rows and rounds or quantises them, DeepSeek's 1 x 128: one warp a block of 128 columns, four
// neighbours a lane. Columns beyond k are zeros. Grid: rows x heads.
template <Operand kOperand>
ASSAY_KERNEL operand_kernel(OperandArgs a) {
  const int64_t row = a.rows == nullptr ? int64_t{blockIdx.x} : int64_t{a.rows[blockIdx.x]};
  const float* x = a.x + row * a.stride + blockIdx.y * a.head_stride;
  const int64_t to = (static_cast<int64_t>(blockIdx.y) * gridDim.x + blockIdx.x) * a.padded_k;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int block = static_cast<int>(threadIdx.x) / 32; block * 128 < a.padded_k;
       block += kRowThreads / 32) {
    const int first = block * 128 + lane * 4;
    float v[4];
    for (int i = 0; i < 4; ++i) v[i] = first + i < a.k ? x[first + i] : 0.0f;
    if (kOperand == Operand::e4m3 || kOperand == Operand::e4m3_bytes) {
      float amax = 0;
      for (int i = 0; i < 4; ++i) amax = fmaxf(amax, fabsf(v[i]));
      for (int mask = 16; mask > 0; mask /= 2) {
        amax = fmaxf(amax, __shfl_xor_sync(0xffffffffu, amax, mask));
      }
      const float scale = block_scale(amax, a.ue8m0);
      for (int i = 0; i < 4; ++i) v[i] = round_to_e4m3(v[i] / scale);
      if (lane == 0) {
        const int64_t blocks = a.padded_k / 128, rows = gridDim.x;
        a.scale[blockIdx.y * blocks * layout::activation_scale_stride(rows) +
                layout::activation_scale_at(blockIdx.x, block, rows)] = scale;
      }
    }
    if (first >= a.padded_k) continue;  // the second half of a last block of 64
    if (kOperand == Operand::f32) {
      auto* out = static_cast<float*>(a.out) + to + first;
      for (int i = 0; i < 4; ++i) out[i] = v[i];
    } else if (kOperand == Operand::e4m3_bytes) {
      uint32_t four = 0;
      for (int i = 0; i < 4; ++i) four |= e4m3_bits(v[i]) << 8 * i;
      *reinterpret_cast<uint32_t*>(static_cast<unsigned char*>(a.out) + to + first) = four;
    } else {
      auto* out = reinterpret_cast<uint32_t*>(static_cast<uint16_t*>(a.out) + to + first);
      out[0] = bf16_pair(v[0], v[1]);
      out[1] = bf16_pair(v[2], v[3]);
    }
  }
}

}  // namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE
