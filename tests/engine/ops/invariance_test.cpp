// A row's bits do not depend on what else is in the call or on the number of threads.
#include <algorithm>

#include "tests/engine/ops/fixture.h"

namespace assay::engine::ops {
namespace {

using InvarianceTest = OpsTest;

TEST_P(InvarianceTest, LinearRows) {
  for (const Numerics numerics :
       {Numerics::fp32, Numerics::bf16, Numerics::fp8, Numerics::fp8_weights}) {
    for (const DType dtype : {DType::bf16, DType::f8_e4m3, DType::f32}) {
      const auto ops = backend(numerics);
      const int64_t rows = emulated() ? 20 : 230, k = 390, n = emulated() ? 40 : 150;
      const auto a = random_weights(dtype, n, k, 1), b = random_weights(dtype, n, k, 2);
      const std::vector<TensorView> pair = {a->view, b->view};
      const auto linear = ops->prepare(pair, Stacking::rows, Role::linear);
      const auto gated = ops->prepare(pair, Stacking::gate_up, Role::linear);
      const Dense x = random_dense(rows, k, 3), bias = random_dense(1, 2 * n, 4);
      Dense want(rows, 2 * n), want_gated(rows, n);
      ops->linear(*linear, x.view(), bias.row(0), want.view());
      ops->linear_swiglu(*gated, x.view(), want_gated.view());
      for (const int threads : {1, 3}) {
        const Workers workers(threads);
        const auto other = make_backend(GetParam(), numerics, workers);
        for (const int64_t count : {1, 2, 5, 7, 13, 229}) {
          for (const int64_t begin : {int64_t{0}, int64_t{1}, rows / 2, rows - count}) {
            if (begin < 0 || begin + count > rows) continue;
            Dense out(count, 2 * n), gate(count, n);
            const ConstRows part(x.row(begin), count, k, k);
            other->linear(*linear, part, bias.row(0), out.view());
            other->linear_swiglu(*gated, part, gate.view());
            ASSERT_EQ(0, std::memcmp(out.row(0), want.row(begin), count * 2 * n * sizeof(float)))
                << numerics_name(numerics) << " " << dtype_name(dtype) << " rows " << begin << "+"
                << count;
            ASSERT_EQ(0, std::memcmp(gate.row(0), want_gated.row(begin), count * n * sizeof(float)));
          }
        }
      }
    }
  }
}

// Several K blocks, more rows than one worker takes, few rows: all in the same order.
TEST_P(InvarianceTest, DeepRows) {
  if (emulated()) GTEST_SKIP() << "too slow by emulation; the same templates as avx512";
  const int64_t rows = 530, k = 2700, n = 70;
  const Dense x = random_dense(rows, k, 5);
  for (const auto& [numerics, dtype] : {std::pair{Numerics::bf16, DType::bf16},
                                        {Numerics::fp8_weights, DType::f8_e4m3},
                                        {Numerics::fp8, DType::f8_e4m3}}) {
    const auto w = random_weights(dtype, n, k, 6);
    const auto ops = backend(numerics);
    const auto matrix = ops->prepare({&w->view, 1}, Stacking::rows, Role::linear);
    Dense want(rows, n);
    ops->linear(*matrix, x.view(), nullptr, want.view());
    for (const int64_t i : {int64_t{0}, rows - 1}) {
      for (int64_t o = 0; o < n; ++o) {
        const Exact exact = exact_output(*w, o, x.row(i), numerics, Role::linear);
        ASSERT_NEAR(want.row(i)[o], exact.value, sum_bound(k, exact.magnitude)) << o;
      }
    }
    for (const int threads : {1, 3}) {
      const Workers workers(threads);
      const auto other = make_backend(GetParam(), numerics, workers);
      for (const int64_t count : {1, 17, 65, 260}) {
        Dense out(count, n);
        const int64_t begin = rows - count;
        other->linear(*matrix, {x.row(begin), count, k, k}, nullptr, out.view());
        ASSERT_EQ(0, std::memcmp(out.row(0), want.row(begin), count * n * sizeof(float)))
            << numerics_name(numerics) << " " << count << " rows, " << threads << " threads";
      }
    }
  }
}

// Operands and products below the normal range may count as zero (VDPBF16PS, TDPBF16PS): each of the
// k terms is then off by less than the smallest normal number times the other operand, or than that
// number where the product itself is flushed.
TEST_P(InvarianceTest, SubnormalOperandsCostNoMoreThanThemselves) {
  const auto ops = backend(Numerics::bf16);
  const int64_t k = 64, n = 33;
  auto w = random_weights(DType::bf16, n, k, 7);
  Dense x = random_dense(3, k, 8);
  for (int64_t i = 0; i < k; i += 3) x.row(0)[i] *= 0x1p-127f;           // subnormal activations
  for (int64_t i = 0; i < k; ++i) x.row(1)[i] *= 0x1p-120f;              // subnormal products
  for (int64_t i = 0; i < n * k; i += 5) {
    const uint16_t tiny = static_cast<uint16_t>(i % 127 + 1);            // subnormal weights
    std::memcpy(w->bytes.data() + 2 * i, &tiny, 2);
    w->exact[static_cast<size_t>(i)] = bf16_to_float(tiny);
  }
  const auto matrix = ops->prepare({&w->view, 1}, Stacking::rows, Role::linear);
  Dense out(3, n);
  ops->linear(*matrix, x.view(), nullptr, out.view());
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t o = 0; o < n; ++o) {
      const Exact exact = exact_output(*w, o, x.row(i), Numerics::bf16, Role::linear);
      double largest = 1;
      for (int64_t c = 0; c < k; ++c) {
        largest = std::max({largest, std::fabs(w->exact[static_cast<size_t>(o * k + c)]),
                            static_cast<double>(std::fabs(x.row(i)[c]))});
      }
      // Products, the sums of their two halves and the running sum are flushed at most once a term.
      const double flushed = 4 * static_cast<double>(k) * 0x1p-126 * largest;
      ASSERT_LE(std::fabs(out.row(i)[o] - exact.value),
                2.0 * (k + 8) * std::exp2(-24) * exact.magnitude + flushed);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, InvarianceTest, testing::ValuesIn(backend_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace assay::engine::ops
