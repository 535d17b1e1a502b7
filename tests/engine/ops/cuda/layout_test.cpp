// The index arithmetic of the CUDA kernels, exhaustively: every element covered exactly once, banks,
// scale layouts as cuBLASLt's manual states them.
#include "engine/ops/cuda/layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "engine/ops/cuda/packing.h"
#include "tests/engine/ops/fixture.h"

namespace assay::engine::ops {
namespace {

TEST(CudaLayout, SwizzleIsABijectionWithoutBankConflicts) {
  const int rows = 128;
  std::set<int> seen;
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < layout::kChunks; ++c) {
      const int at = layout::swizzled_chunk(r, c);
      ASSERT_TRUE(at >= 0 && at < rows * layout::kChunks);
      ASSERT_TRUE(seen.insert(at).second);
    }
  }
  // A phase of ldmatrix reads one chunk of 8 consecutive rows: 8 x 16 bytes in 8 x 4 banks.
  for (int r = 0; r < rows; r += 8) {
    for (int c = 0; c < layout::kChunks; ++c) {
      std::set<int> banks;
      for (int i = 0; i < 8; ++i) banks.insert(layout::swizzled_chunk(r + i, c) % 8);
      ASSERT_EQ(banks.size(), 8u);
    }
  }
  // A quarter warp stores the 8 chunks of one row.
  for (int r = 0; r < rows; ++r) {
    std::set<int> banks;
    for (int c = 0; c < layout::kChunks; ++c) banks.insert(layout::swizzled_chunk(r, c) % 8);
    ASSERT_EQ(banks.size(), 8u);
  }
}

TEST(CudaLayout, FragmentsCoverATileOnce) {
  std::set<std::pair<int, int>> accumulator, a, b;
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      accumulator.insert({layout::accumulator_row(lane, i), layout::accumulator_column(lane, i)});
    }
    a.insert({layout::a_row(lane), layout::a_half(lane)});
    b.insert({layout::b_row(lane), layout::b_half(lane)});
  }
  EXPECT_EQ(accumulator.size(), 16u * 8);
  EXPECT_EQ(a.size(), 32u);
  EXPECT_EQ(b.size(), 32u);
  // Matrix m of an x4 load goes to register m: rows 0-7, rows 8-15, then the second half of k.
  for (int lane = 0; lane < 32; ++lane) {
    const int m = lane / 8;
    EXPECT_EQ(layout::a_row(lane) / 8, m % 2);
    EXPECT_EQ(layout::a_half(lane), m / 2);
    EXPECT_EQ(layout::b_half(lane), m % 2);  // b0, b1 of a tile side by side
    EXPECT_EQ(layout::b_row(lane) / 8, m / 2);
  }
}

TEST(CudaLayout, GateAndUpAlternate) {
  for (const int64_t outputs : {8, 24, 1000}) {
    std::set<int64_t> rows;
    for (int64_t c = 0; c < outputs; ++c) {
      const int64_t gate = layout::gate_up_row(c, 0), up = layout::gate_up_row(c, 1);
      EXPECT_EQ(up, gate + layout::kGranule);
      EXPECT_TRUE(rows.insert(gate).second && rows.insert(up).second);
    }
    EXPECT_EQ(*rows.rbegin() + 1, 2 * outputs);
  }
}

// cuBLAS manual, 3.1.4.5: VEC128 scales of an N-major operand are [N x L], N contiguous, L =
// ceil(K / 128); BLK128x128 scales are K-major with L rounded up to 4 between blocks of rows.
TEST(CudaLayout, ScalesAreCublasLts) {
  for (const int64_t rows : {1, 3, 4, 5, 130, 4096}) {
    std::set<int64_t> seen;
    for (int64_t block = 0; block < 7; ++block) {
      for (int64_t row = 0; row < rows; ++row) {
        const int64_t at = layout::activation_scale_at(row, block, rows);
        EXPECT_EQ(at % layout::activation_scale_stride(rows), row);
        EXPECT_EQ(at / layout::activation_scale_stride(rows), block);
        EXPECT_TRUE(seen.insert(at).second);
      }
    }
    EXPECT_EQ(layout::activation_scale_stride(rows) * 4 % 16, 0);
  }
  // DeepSeek's weight_scale_inv is usable as it lies where ceil(K / 128) % 4 == 0: every V3 shape,
  // not V2-Lite's 1408.
  for (const int64_t k : {7168, 2048, 512, 1536, 16384, 18432}) {
    EXPECT_EQ(layout::cublaslt_weight_scale_stride(k), k / 128);
  }
  EXPECT_EQ(layout::cublaslt_weight_scale_stride(1408), 12);
  EXPECT_EQ(layout::cublaslt_weight_scale_at(300, 5, 1408), 2 * 12 + 5);
}

TEST(CudaLayout, MostTilesIsTheMaximum) {
  // Over every way to spread entries over experts, for small numbers.
  for (int entries = 0; entries <= 9; ++entries) {
    for (int tile : {1, 2, 4}) {
      int64_t most = 0;
      for (int a = 0; a <= entries; ++a) {
        for (int b = 0; a + b <= entries; ++b) {
          const int c = entries - a - b;
          most = std::max(most, layout::divide_up(a, tile) + layout::divide_up(b, tile) +
                                    layout::divide_up(c, tile));
        }
      }
      EXPECT_EQ(layout::most_tiles(entries, 3, tile), most) << entries << " by " << tile;
    }
  }
}

// Every element of the tensors is where the kernels look for it, and all else is zero.
TEST(CudaLayout, PackedWeights) {
  const Workers workers(1);
  for (const DType dtype : {DType::bf16, DType::f8_e4m3, DType::f32}) {
    for (const auto& [rows, cols] : {std::pair{1, 1}, {13, 70}, {136, 200}, {260, 128}}) {
      const auto a = random_weights(dtype, rows, cols, 1), b = random_weights(dtype, rows, cols, 2);
      const TensorView both[] = {a->view, b->view};
      for (const Stacking stacking : {Stacking::rows, Stacking::gate_up}) {
        const Numerics numerics = dtype == DType::f32    ? Numerics::fp32
                                  : dtype == DType::bf16 ? Numerics::bf16
                                                         : Numerics::fp8;
        const auto parts = pack_parts(workers, numerics, both, stacking, Role::linear);
        const bool gate_up = stacking == Stacking::gate_up;
        ASSERT_EQ(parts.size(), gate_up ? 1u : 2u);
        for (size_t half = 0; half < 2; ++half) {
          const HostPart& part = parts[gate_up ? 0 : half];
          const Weights& w = half == 0 ? *a : *b;
          EXPECT_EQ(part.first_output, gate_up ? 0 : static_cast<int64_t>(half) * rows);
          EXPECT_EQ(part.outputs, rows);
          EXPECT_EQ(part.padded_k % (dtype == DType::f8_e4m3 ? 128 : 64), 0);
          for (int64_t r = 0; r < rows; ++r) {
            const int64_t at = gate_up ? layout::gate_up_row(r, static_cast<int>(half)) : r;
            ASSERT_LT(at, part.rows);
            const std::byte* row = part.weights.data() + at * part.padded_k * part.element_bytes();
            const auto bytes = static_cast<size_t>(cols * part.element_bytes());
            ASSERT_EQ(0, std::memcmp(row, w.bytes.data() + static_cast<size_t>(r) * bytes, bytes));
            for (size_t i = bytes; i < static_cast<size_t>(part.padded_k * part.element_bytes()); ++i) {
              ASSERT_EQ(row[i], std::byte{0});
            }
            if (dtype != DType::f8_e4m3) continue;
            for (int64_t c = 0; c < cols; ++c) {
              ASSERT_EQ(part.scale[static_cast<size_t>(at / 8 * part.blocks() + c / 128)],
                        static_cast<float>(w.scale_at(r, c)));
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace assay::engine::ops
