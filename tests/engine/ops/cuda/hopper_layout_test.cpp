// The index arithmetic of the sm_90a kernels against the PTX manual's figures, and the order of
// tiles.
#include "engine/ops/cuda/hopper/layout.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>

namespace assay::engine::ops {
namespace {

// PTX manual, "Matrix descriptor": matrix-descriptor-encode(x) = (x & 0x3FFFF) >> 4 in bits 0-13
// (start), 16-29 (leading), 32-45 (stride); bits 62-63 swizzle mode 1 = 128 bytes. By hand, for a
// start of 0x400, leading 16, stride 1024: 0x40 | 1 << 16 | 0x40 << 32 | 1 << 62.
TEST(HopperLayout, MatrixDescriptor) {
  EXPECT_EQ(hopper::matrix_descriptor(0x400), 0x4000004000010040u);
  EXPECT_EQ(hopper::matrix_descriptor(0), 0x4000004000010000u);
  // The last byte that a block of sm_90 has: 227 KiB.
  EXPECT_EQ(hopper::matrix_descriptor(227 * 1024 - 16), 0x4000004000010000u | 0x38bfu);
  // Half an atom along k: 64 bytes are 4 units.
  EXPECT_EQ(hopper::matrix_descriptor(0x400 + 2 * hopper::kInstructionBytesOfK),
            0x4000004000010044u);
}

// PTX manual, figure "WGMMA .m64nNk16 register fragment layout for accumulator matrix D".
TEST(HopperLayout, AccumulatorFragments) {
  struct Entry {
    int thread, reg, row, column;
  };
  const Entry figure[] = {
      {0, 0, 0, 0},    {0, 1, 0, 1},    {1, 0, 0, 2},    {3, 1, 0, 7},       {4, 0, 1, 0},
      {31, 0, 7, 6},   {31, 1, 7, 7},   {0, 2, 8, 0},    {0, 3, 8, 1},       {31, 3, 15, 7},
      {0, 4, 0, 8},    {0, 6, 8, 8},    {32, 0, 16, 0},  {64, 0, 32, 0},     {96, 0, 48, 0},
      {127, 3, 63, 7}, {0, 60, 0, 120}, {3, 61, 0, 127}, {127, 63, 63, 127},
  };
  for (const Entry& e : figure) {
    EXPECT_EQ(hopper::accumulator_row(e.thread, e.reg), e.row) << e.thread << ' ' << e.reg;
    EXPECT_EQ(hopper::accumulator_column(e.thread, e.reg), e.column) << e.thread << ' ' << e.reg;
  }
  std::set<std::pair<int, int>> seen;
  for (int t = 0; t < 128; ++t) {
    for (int i = 0; i < hopper::kAccumulators; ++i) {
      seen.insert({hopper::accumulator_row(t, i), hopper::accumulator_column(t, i)});
    }
  }
  EXPECT_EQ(seen.size(), 64u * 128);
}

// PTX manual, figure "WGMMA .m64nNk16 register fragment layout for matrix A": a thread of a quad has, of 16
// columns, these four; it finds those of four instructions in 16 bytes.
TEST(HopperLayout, WeightsForRegisters) {
  const int figure[4][4] = {{0, 1, 8, 9}, {2, 3, 10, 11}, {4, 5, 12, 13}, {6, 7, 14, 15}};
  std::set<int> seen;
  for (int thread = 0; thread < 4; ++thread) {
    for (int instruction = 0; instruction < 4; ++instruction) {
      for (int i = 0; i < 4; ++i) {
        const int column = hopper::mixed_column(thread * 16 + instruction * 4 + i);
        EXPECT_EQ(column, instruction * 16 + figure[thread][i]);
        seen.insert(column);
      }
    }
  }
  EXPECT_EQ(seen.size(), 64u);
}

// Whatever the shape: every tile once, and never more than 16 row tiles at a time.
TEST(HopperLayout, TilesAreVisitedOnce) {
  for (const int rows : {1, 5, 16, 17, 32, 50}) {
    for (const int columns : {1, 3, 56}) {
      std::set<std::pair<int, int>> seen;
      int before = 0;
      for (int64_t i = 0; i < int64_t{rows} * columns; ++i) {
        const hopper::Tile tile = hopper::tile_at(i, rows, columns);
        ASSERT_TRUE(tile.row >= 0 && tile.row < rows && tile.column >= 0 && tile.column < columns);
        ASSERT_TRUE(seen.insert({tile.row, tile.column}).second);
        ASSERT_GE(tile.row / hopper::kGroup, before);
        before = tile.row / hopper::kGroup;
      }
    }
  }
}

}  // namespace
}  // namespace assay::engine::ops
