// Index arithmetic of the CUDA kernels: tiles, swizzled shared memory, packed weights, scale layouts.
//
// Pure constexpr functions, shared by kernels, host packing and tests, which check them exhaustively
// on the host (tests/engine/ops/cuda/layout_test.cpp).
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define ASSAY_HOST_DEVICE __host__ __device__
#else
#define ASSAY_HOST_DEVICE
#endif

namespace assay::engine::ops::layout {

ASSAY_HOST_DEVICE constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
ASSAY_HOST_DEVICE constexpr int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

// --- packed weights ---------------------------------------------------------------------------
// Rows of a weight come in granules of 8, the columns of one mma tile. Of two stacked matrices for
// SwiGLU, granules alternate, gate before up: the thread that holds a gate's sum holds its up's.
inline constexpr int kGranule = 8;

// Columns (k) that one scale covers, of activations and of weights.
inline constexpr int kScaleBlock = 128;

// k as stored: whole steps of every product kernel; zeros fill what is beyond k.
inline constexpr int kStep = 64;
ASSAY_HOST_DEVICE constexpr int64_t padded_k(int64_t k, bool scaled) {
  return round_up(k, scaled ? kScaleBlock : kStep);
}

// Packed row of output c of the gate (half 0) or up (half 1) matrix.
ASSAY_HOST_DEVICE constexpr int64_t gate_up_row(int64_t c, int half) {
  return (c / kGranule * 2 + half) * kGranule + c % kGranule;
}

// --- shared memory ------------------------------------------------------------------------------
// A tile row is 64 bf16 = 8 chunks of 16 bytes = all 32 banks once. Chunk c of row r lies at
// c ^ (r % 8), so that the 8 rows of an ldmatrix phase touch every bank once, as do the 8 chunks of a
// row that a quarter warp stores.
inline constexpr int kChunks = kStep / 8;
ASSAY_HOST_DEVICE constexpr int swizzled_chunk(int row, int chunk) {
  return row * kChunks + (chunk ^ (row % 8));
}
// The same of rows that are several times as wide: `pitch` chunks a row, a multiple of 8. Chunks are
// swizzled within each 8.
ASSAY_HOST_DEVICE constexpr int swizzled_chunk(int row, int chunk, int pitch) {
  return row * pitch + (chunk ^ (row % 8));
}

// --- fragments of mma.m16n8k16 (PTX manual) ------------------------------------------------------
// Element i of lane l's accumulator.
ASSAY_HOST_DEVICE constexpr int accumulator_row(int lane, int i) { return lane / 4 + i / 2 * 8; }
ASSAY_HOST_DEVICE constexpr int accumulator_column(int lane, int i) { return lane % 4 * 2 + i % 2; }
// ldmatrix.x4 of an A tile: row and 8-wide k half that lane l names.
ASSAY_HOST_DEVICE constexpr int a_row(int lane) { return lane % 16; }
ASSAY_HOST_DEVICE constexpr int a_half(int lane) { return lane / 16; }
// ldmatrix.x4 of two neighbouring B tiles, stored [column][k]: registers b0, b1 of the first, then of
// the second.
ASSAY_HOST_DEVICE constexpr int b_row(int lane) { return lane % 8 + lane / 16 * 8; }
ASSAY_HOST_DEVICE constexpr int b_half(int lane) { return lane / 8 % 2; }

// --- scales -------------------------------------------------------------------------------------
// Activation scales are [blocks of k][rows padded to 4], rows contiguous: what cuBLASLt calls VEC128
// (with the weight as A and the tokens as B) and wants; weight scales for cuBLASLt (BLK128x128) have
// a stride of blocks of k rounded up to 4 between blocks of 128 rows. Manual, "3.1.4.5 1D and 2D
// Block Scaling for FP8".
ASSAY_HOST_DEVICE constexpr int64_t activation_scale_stride(int64_t rows) { return round_up(rows, 4); }
ASSAY_HOST_DEVICE constexpr int64_t activation_scale_at(int64_t row, int64_t block, int64_t rows) {
  return block * activation_scale_stride(rows) + row;
}
ASSAY_HOST_DEVICE constexpr int64_t cublaslt_weight_scale_stride(int64_t k) {
  return round_up(divide_up(k, kScaleBlock), 4);
}
ASSAY_HOST_DEVICE constexpr int64_t cublaslt_weight_scale_at(int64_t row, int64_t block, int64_t k) {
  return row / kScaleBlock * cublaslt_weight_scale_stride(k) + block;
}

// --- experts ------------------------------------------------------------------------------------
// Row tiles of all experts together, at most: every expert may have one that is not full.
ASSAY_HOST_DEVICE constexpr int64_t most_tiles(int64_t entries, int64_t experts, int64_t tile_rows) {
  const int64_t with_rows = entries < experts ? entries : experts;
  return (entries - with_rows) / tile_rows + with_rows;
}

}  // namespace assay::engine::ops::layout
