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

INSTANTIATE_TEST_SUITE_P(Backends, InvarianceTest, testing::ValuesIn(backend_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace assay::engine::ops
