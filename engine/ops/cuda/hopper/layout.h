// Index arithmetic of the sm_90a kernels: shared-memory matrices as WGMMA and TMA want them,
// fragments, the order of tiles. Pure constexpr functions, shared by kernel, tests and the tests'
// emulation of the instructions (tests/engine/ops/cuda/hopper_layout_test.cpp holds the PTX
// manual's tables).
#pragma once

#include <cstdint>

#include "engine/ops/cuda/layout.h"

namespace assay::engine::ops::hopper {

// One tile: 128 rows x 128 columns by two warpgroups of 64 rows; a stage is 128 bytes of k of both
// operands.
inline constexpr int kTileRows = 128, kTileColumns = 128, kStageBytesOfK = 128;
inline constexpr int kWarpgroupRows = 64, kConsumers = kTileRows / kWarpgroupRows;
inline constexpr int kOperandBytes = kTileRows * kStageBytesOfK;  // of one operand in a stage
inline constexpr int kStages = 6;
inline constexpr int kThreads = 128 * (kConsumers + 1);  // and one warpgroup that only loads
// Stages, two barriers each, and room to align the first stage.
inline constexpr int kAlignment = 1024;
inline constexpr int kSharedBytes = kStages * (2 * kOperandBytes + 16) + kAlignment;
static_assert(kSharedBytes <= 227 * 1024, "what a block of sm_90 may have");

// What the kernels of sm_90a multiply: bf16 by bf16, e4m3 by e4m3 (product.h), bf16 activations by e4m3
// weights (mixed_product.h).
enum class TunedOperands { bf16, e4m3, mixed };

// Mixed: a stage is 128 of k, e4m3 weights and two boxes of 64 bf16 activations.
inline constexpr int kMixedK = 128, kMixedHalf = 64, kMixedStages = 4;
inline constexpr int kMixedStageBytes = 3 * kOperandBytes;
inline constexpr int kMixedSharedBytes = kMixedStages * (kMixedStageBytes + 16) + kAlignment;
static_assert(kMixedSharedBytes <= 227 * 1024, "what a block of sm_90 may have");
ASSAY_HOST_DEVICE constexpr int shared_bytes(TunedOperands operands) {
  return operands == TunedOperands::mixed ? kMixedSharedBytes : kSharedBytes;
}
// Weights wait so that a thread of a quad finds what it has of four instructions of 16 k in 16 consecutive bytes:
// byte `place` of a row's 64 is column mixed_column(place) of them. PTX manual, "WGMMA .m64nNk16: A fragment":
// thread t has columns 2 (t % 4) + {0, 1} and 8 more.
ASSAY_HOST_DEVICE constexpr int mixed_column(int place) {
  const int thread = place / 16, instruction = place % 16 / 4, element = place % 4;
  return instruction * 16 + element / 2 * 8 + thread * 2 + element % 2;
}

// Within atoms of 8 rows of 128 bytes, 16-byte chunk c of row r lies at chunk c xor r (TMA's
// SWIZZLE_128B; WGMMA undoes it): the hardware does both, the kernel only keeps atoms aligned.

// --- WGMMA matrix descriptor (PTX manual, "Matrix descriptor")
// ------------------------------------------ bits 0-13 start address / 16; 16-29 leading byte
// offset / 16 (unused for swizzled K-major: 1); 32-45 stride byte offset / 16 (between atoms of 8
// rows: 1024); 49-51 base offset (0: atoms are aligned); 62-63 swizzle, 1 = 128 bytes.
ASSAY_HOST_DEVICE constexpr uint64_t matrix_descriptor(uint32_t address) {
  return static_cast<uint64_t>(address >> 4 & 0x3fffu) | uint64_t{1} << 16 |
         uint64_t{1024 >> 4} << 32 | uint64_t{1} << 62;
}
// One instruction covers 32 bytes of k (32 e4m3 or 16 bf16): the start advances by that much.
inline constexpr int kInstructionBytesOfK = 32;

// --- accumulators of wgmma.m64n128 (PTX manual, "WGMMA .m64nNk: D fragment")
// ------------------------------ Register i of thread t of the warpgroup.
inline constexpr int kAccumulators = kWarpgroupRows * kTileColumns / 128;
ASSAY_HOST_DEVICE constexpr int accumulator_row(int t, int i) {
  return t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8;
}
ASSAY_HOST_DEVICE constexpr int accumulator_column(int t, int i) {
  return i / 4 * 8 + t % 4 * 2 + i % 2;
}

// --- order of tiles
// --------------------------------------------------------------------------------------- Blocks
// that run together should share operands in L2: 16 row tiles at a time, rows fastest within them.
inline constexpr int kGroup = 16;
struct Tile {
  int row, column;
};
ASSAY_HOST_DEVICE constexpr Tile tile_at(int64_t index, int row_tiles, int column_tiles) {
  const int64_t in_group = static_cast<int64_t>(kGroup) * column_tiles;
  const int first = static_cast<int>(index / in_group) * kGroup;
  const int rows = row_tiles - first < kGroup ? row_tiles - first : kGroup;
  const int64_t rest = index % in_group;
  return {first + static_cast<int>(rest % rows), static_cast<int>(rest / rows)};
}

}  // namespace assay::engine::ops::hopper
