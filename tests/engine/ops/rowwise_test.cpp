// Norms, sums, rounding, rotation, embedding; elementary functions.
#include <algorithm>
#include <limits>

#include "engine/ops/cpu/scalar.h"
#include "tests/engine/ops/fixture.h"

namespace assay::engine::ops {
namespace {

using RowwiseTest = OpsTest;

TEST_P(RowwiseTest, RmsNorm) {
  const auto ops = backend(Numerics::bf16);
  for (const int64_t cols : {1, 5, 64, 130, 1031}) {
    Dense x = random_dense(19, cols, 1, 3), w = random_dense(1, cols, 2), out(19, cols);
    ops->rms_norm(x.view(), w.row(0), 1e-5, out.view());
    for (int64_t i = 0; i < x.rows; ++i) {
      double square = 0;
      for (int64_t c = 0; c < cols; ++c) square += static_cast<double>(x.row(i)[c]) * x.row(i)[c];
      const double factor = 1 / std::sqrt(square / cols + 1e-5);
      for (int64_t c = 0; c < cols; ++c) {
        const double want = x.row(i)[c] * factor * w.row(0)[c];
        ASSERT_NEAR(out.row(i)[c], want, (cols + 8) * std::exp2(-24) * std::fabs(want) + 1e-30);
      }
    }
    Dense in_place = x;
    ops->rms_norm(in_place.view(), w.row(0), 1e-5, in_place.view());
    EXPECT_EQ(in_place.value, out.value);
    if (cols >= 64) {  // heads of 20 columns, 30 apart: columns between stay
      Dense heads = x;
      ops->head_norm(heads.view(), 2, 30, 20, w.row(0), 1e-5);
      Dense part(1, 20);
      for (int64_t i = 0; i < x.rows; ++i) {
        for (int h = 0; h < 2; ++h) {
          ops->rms_norm(ConstRows(x.row(i) + 30 * h, 1, 20, 20), w.row(0), 1e-5, part.view());
          ASSERT_EQ(0, std::memcmp(part.row(0), heads.row(i) + 30 * h, 20 * sizeof(float)));
        }
        ASSERT_EQ(heads.row(i)[25], x.row(i)[25]);
      }
    }
  }
}

TEST_P(RowwiseTest, AddAndRound) {
  const auto ops = backend(Numerics::bf16);
  for (const int64_t cols : {1, 13, 64}) {
    Dense a = random_dense(9, cols, 3), b = random_dense(9, cols, 4), sum = a;
    ops->add(sum.view(), b.view());
    std::vector<uint16_t> half(9 * cols);
    ops->to_bf16(a.view(), half.data(), cols);
    for (int64_t i = 0; i < 9 * cols; ++i) {
      EXPECT_EQ(sum.value[i], a.value[i] + b.value[i]);
      EXPECT_EQ(half[i], float_to_bf16(a.value[i]));
    }
  }
}

// Every sign, exponent and upper fraction, with lower bits that round down, tie and round up.
TEST_P(RowwiseTest, Bf16RoundingIsExhaustive) {
  const auto ops = backend(Numerics::bf16);
  Dense x(256, 256 * 6);
  int64_t at = 0;
  for (uint32_t upper = 0; upper < 65536; ++upper) {
    for (const uint32_t lower : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      float v = 0;
      const uint32_t bits = upper << 16 | lower;
      std::memcpy(&v, &bits, 4);
      x.value[at++] = std::isnan(v) ? 0 : v;
    }
  }
  std::vector<uint16_t> half(x.value.size());
  ops->to_bf16(x.view(), half.data(), x.cols);
  for (size_t i = 0; i < half.size(); ++i) ASSERT_EQ(half[i], float_to_bf16(x.value[i])) << x.value[i];
}

TEST_P(RowwiseTest, RopeRotatesPairs) {
  const auto ops = backend(Numerics::bf16);
  for (const bool interleaved : {false, true}) {
    RopeTable table;
    table.inverse_frequency = {1.0, 0.1, 0.003};
    table.multiplier = 1.25;
    table.interleaved = interleaved;
    const std::vector<int32_t> positions = {0, 1, 1, 5, 100000};
    const Dense x = random_dense(5, 2 * 10, 5);
    Dense out = x;
    ops->rope(out.view(), 2, 10, 3, 6, positions.data(), table);
    for (int64_t i = 0; i < 5; ++i) {
      for (int h = 0; h < 2; ++h) {
        const float* before = x.row(i) + 10 * h;
        const float* after = out.row(i) + 10 * h;
        for (int c = 0; c < 10; ++c) {
          if (c < 3 || c >= 9) {
            ASSERT_EQ(after[c], before[c]);
          }
        }
        for (int p = 0; p < 3; ++p) {
          const int a = 3 + (interleaved ? 2 * p : p), b = 3 + (interleaved ? 2 * p + 1 : p + 3);
          const double angle = positions[i] * table.inverse_frequency[p];
          const double c = 1.25 * std::cos(angle), s = 1.25 * std::sin(angle);
          ASSERT_NEAR(after[a], before[a] * c - before[b] * s, 1e-6);
          ASSERT_NEAR(after[b], before[a] * s + before[b] * c, 1e-6);
        }
      }
    }
  }
}

TEST_P(RowwiseTest, EmbedWidensEveryType) {
  const auto ops = backend(Numerics::bf16);
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    const auto table = random_weights(dtype, 11, 7, 6);
    const std::vector<TokenId> ids = {10, 0, 3, 3};
    Dense out(4, 7);
    ops->embed(table->view, ids, out.view());
    for (size_t i = 0; i < ids.size(); ++i) {
      for (int c = 0; c < 7; ++c) EXPECT_EQ(out.row(i)[c], table->exact[ids[i] * 7 + c]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, RowwiseTest, testing::ValuesIn(backend_cases()),
                         [](const auto& info) { return info.param.name; });

TEST(Elementary, ExpWithinTwoUnits) {
  for (int i = -873000; i <= 880000; i += 7) {
    const auto x = static_cast<float>(i * 1e-4);
    const double want = std::exp(static_cast<double>(x));
    const double unit = std::exp2(std::floor(std::log2(want)) - 23);
    ASSERT_LE(std::fabs(exp_f32(x) - want), 2 * unit) << x;
  }
  EXPECT_EQ(exp_f32(0), 1.0f);
  EXPECT_EQ(exp_f32(-88.0f), 0.0f);
  EXPECT_EQ(exp_f32(-std::numeric_limits<float>::infinity()), 0.0f);
  EXPECT_TRUE(std::isfinite(exp_f32(1000)));
}

TEST(Elementary, LogInDouble) {
  for (double x = 1e-300; x < 1e300; x *= 1.37) {
    const double want = std::log(x);
    ASSERT_NEAR(log_f64(x), want, 1e-14 * std::max(1.0, std::fabs(want))) << x;
  }
}

}  // namespace
}  // namespace assay::engine::ops
