// Matrix products of every backend against exact arithmetic on the operands the mode prescribes.
#include <algorithm>

#include "tests/engine/ops/fixture.h"

namespace assay::engine::ops {
namespace {

using LinearTest = OpsTest;

struct Shape {
  int64_t rows, n, k;
};
// Odd everywhere: one row, one output, K below a vector, across K blocks, across row blocks.
const Shape kShapes[] = {{1, 1, 1},    {1, 17, 130}, {2, 33, 257}, {3, 5, 7},      {7, 100, 129},
                         {13, 9, 300}, {5, 300, 64}, {31, 48, 513}, {200, 40, 136}, {1, 520, 1031}};

TEST_P(LinearTest, MatchesExactProducts) {
  for (const Numerics numerics :
       {Numerics::fp32, Numerics::bf16, Numerics::fp8, Numerics::fp8_weights}) {
    const auto ops = backend(numerics);
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16, DType::f8_e4m3}) {
      for (const Role role : {Role::linear, Role::fp32, Role::head}) {
        uint64_t seed = 1;
        for (const Shape& shape : kShapes) {
          const bool large = shape.rows * shape.n * shape.k > 100000;
          if (large && (emulated() || role != Role::linear)) continue;
          const auto w = random_weights(dtype, shape.n, shape.k, ++seed);
          const Dense x = random_dense(shape.rows, shape.k, ++seed);
          const auto matrix = ops->prepare({&w->view, 1}, Stacking::rows, role);
          ASSERT_EQ(matrix->n, shape.n);
          ASSERT_EQ(matrix->k, shape.k);
          Dense out(shape.rows, shape.n, NAN);
          ops->linear(*matrix, x.view(), nullptr, out.view());
          for (int64_t i = 0; i < shape.rows; ++i) {
            for (int64_t n = 0; n < shape.n; ++n) {
              const Exact exact = exact_output(*w, n, x.row(i), numerics, role);
              ASSERT_NEAR(out.row(i)[n], exact.value, sum_bound(shape.k, exact.magnitude))
                  << numerics_name(numerics) << " " << dtype_name(dtype) << " role "
                  << static_cast<int>(role) << " row " << i << " output " << n << " of "
                  << shape.rows << "x" << shape.n << "x" << shape.k;
            }
          }
        }
      }
    }
  }
}

TEST_P(LinearTest, StacksTensorsAndAddsBias) {
  for (const Numerics numerics : {Numerics::bf16, Numerics::fp8_weights}) {
    const auto ops = backend(numerics);
    const int64_t k = 200;
    // Scale blocks start anew in each tensor; the middle one has none.
    const auto a = random_weights(DType::f8_e4m3, 130, k, 1);
    const auto b = random_weights(DType::bf16, 21, k, 2);
    const auto c = random_weights(DType::f8_e4m3, 70, k, 3);
    const std::vector<TensorView> views = {a->view, b->view, c->view};
    const auto matrix = ops->prepare(views, Stacking::rows, Role::linear);
    const Dense x = random_dense(9, k, 4), bias = random_dense(1, 221, 5);
    Dense out(9, 221);
    ops->linear(*matrix, x.view(), bias.row(0), out.view());
    int64_t column = 0;
    for (const Weights* w : {a.get(), b.get(), c.get()}) {
      for (int64_t n = 0; n < w->view.rows(); ++n, ++column) {
        for (int64_t i = 0; i < x.rows; ++i) {
          const Exact exact = exact_output(*w, n, x.row(i), numerics, Role::linear);
          ASSERT_NEAR(out.row(i)[column], exact.value + bias.row(0)[column],
                      sum_bound(k + 1, exact.magnitude + std::fabs(bias.row(0)[column])))
              << column;
        }
      }
    }
  }
}

double exact_silu(double x) { return x / (1 + std::exp(-x)); }

TEST_P(LinearTest, SwigluMatches) {
  for (const Numerics numerics : {Numerics::fp32, Numerics::bf16, Numerics::fp8_weights, Numerics::fp8}) {
    const auto ops = backend(numerics);
    for (const DType dtype : {DType::bf16, DType::f8_e4m3}) {
      for (const int64_t width : {1, 7, 136, 150}) {
        for (const int64_t rows : {1, 20}) {
          const int64_t k = 140;
          const auto gate = random_weights(dtype, width, k, 7), up = random_weights(dtype, width, k, 8);
          const std::vector<TensorView> views = {gate->view, up->view};
          const auto matrix = ops->prepare(views, Stacking::gate_up, Role::linear);
          EXPECT_EQ(matrix->n, 2 * width);
          const Dense x = random_dense(rows, k, 9, 0.3);
          Dense out(rows, width);
          ops->linear_swiglu(*matrix, x.view(), out.view());
          for (int64_t i = 0; i < rows; ++i) {
            for (int64_t n = 0; n < width; ++n) {
              const Exact g = exact_output(*gate, n, x.row(i), numerics, Role::linear);
              const Exact u = exact_output(*up, n, x.row(i), numerics, Role::linear);
              // |silu'| <= 1.1; silu itself is good to 4 units in the last place.
              const double silu = exact_silu(g.value);
              const double bound = 1.1 * sum_bound(k, g.magnitude) * std::fabs(u.value) +
                                   sum_bound(k, u.magnitude) * std::fabs(silu) +
                                   std::exp2(-21) * std::fabs(silu * u.value);
              ASSERT_NEAR(out.row(i)[n], silu * u.value, bound + 1e-30);
            }
          }
        }
      }
    }
  }
}

TEST_P(LinearTest, SlicesAndTransposes) {
  for (const Numerics numerics : {Numerics::fp32, Numerics::bf16, Numerics::fp8}) {
    const auto ops = backend(numerics);
    for (const DType dtype : {DType::bf16, DType::f8_e4m3}) {
      const auto w = random_weights(dtype, 290, 70, 11);
      for (const bool transpose : {false, true}) {
        const int64_t first = 120, n = 33;
        const auto matrix = ops->prepare_slice(w->view, first, n, transpose, Role::linear);
        ASSERT_EQ(matrix->n, transpose ? 70 : n);
        ASSERT_EQ(matrix->k, transpose ? n : 70);
        const Dense x = random_dense(4, matrix->k, 12);
        Dense out(4, matrix->n);
        ops->linear(*matrix, x.view(), nullptr, out.view());
        for (int64_t i = 0; i < 4; ++i) {
          for (int64_t o = 0; o < matrix->n; ++o) {
            double value = 0, magnitude = 0;
            for (int64_t c = 0; c < matrix->k; ++c) {
              double b = w->exact[static_cast<size_t>(transpose ? (first + c) * 70 + o
                                                                : (first + o) * 70 + c)];
              double a = x.row(i)[c];
              if (numerics != Numerics::fp32) {
                a = round_to_bf16(static_cast<float>(a));
                b = round_to_bf16(static_cast<float>(b));
              }
              value += a * b;
              magnitude += std::fabs(a * b);
            }
            ASSERT_NEAR(out.row(i)[o], value, sum_bound(matrix->k, magnitude));
          }
        }
      }
    }
  }
}

TEST_P(LinearTest, HeadsUseTheirOwnColumns) {
  const auto ops = backend(Numerics::bf16);
  const int heads = 3;
  const int64_t k = 20, n = 37, stride = 29;
  const auto w = random_weights(DType::bf16, heads * n, k, 13);
  std::vector<std::unique_ptr<Matrix>> matrices;
  for (int h = 0; h < heads; ++h) {
    matrices.push_back(ops->prepare_slice(w->view, h * n, n, false, Role::linear));
  }
  for (const int64_t rows : {1, 11}) {
    const Dense x = random_dense(rows, heads * stride, 14);
    Dense out(rows, heads * (n + 2), 5);
    ops->linear_heads(matrices, x.view(), stride, out.view(), n + 2);
    for (int64_t i = 0; i < rows; ++i) {
      for (int h = 0; h < heads; ++h) {
        for (int64_t o = 0; o < n; ++o) {
          const Exact exact =
              exact_output(*w, h * n + o, x.row(i) + h * stride, Numerics::bf16, Role::linear);
          ASSERT_NEAR(out.row(i)[h * (n + 2) + o], exact.value, sum_bound(k, exact.magnitude));
        }
        EXPECT_EQ(out.row(i)[h * (n + 2) + n], 5) << "wrote beside the head";
      }
    }
  }
}

// Every finite e4m3 value, as a weight, comes out exactly, alone (thin) and in a block of rows.
TEST_P(LinearTest, AllE4m3WeightsAreExact) {
  auto w = random_weights(DType::f8_e4m3, 256, 2, 15);
  std::fill(w->scale.begin(), w->scale.end(), 1.0f);
  for (int b = 0; b < 256; ++b) {
    const int byte = (b & 0x7f) == 0x7f ? 0 : b;
    w->bytes[2 * b] = static_cast<std::byte>(byte);
    w->bytes[2 * b + 1] = static_cast<std::byte>(byte ^ 0x80);
  }
  for (const Numerics numerics : {Numerics::fp8_weights, Numerics::bf16, Numerics::fp32}) {
    const auto ops = backend(numerics);
    const auto matrix = ops->prepare({&w->view, 1}, Stacking::rows, Role::linear);
    for (const int64_t rows : {1, 2, 3, 25}) {
      Dense x(rows, 2), out(rows, 256);
      for (int64_t i = 0; i < rows; ++i) x.row(i)[i % 2] = 1;
      ops->linear(*matrix, x.view(), nullptr, out.view());
      for (int64_t i = 0; i < rows; ++i) {
        for (int b = 0; b < 256; ++b) {
          const auto byte = static_cast<uint8_t>(w->bytes[2 * b + i % 2]);
          ASSERT_EQ(out.row(i)[b], e4m3_to_float(byte)) << b;
        }
      }
    }
  }
}

// "Converting first" is a bf16 tensor of the same unscaled values, multiplied block by block.
TEST_P(LinearTest, BlockScaledEqualsConvertedFirst) {
  const auto ops = backend(Numerics::fp8_weights), bf16 = backend(Numerics::bf16);
  const auto w = random_weights(DType::f8_e4m3, 40, 128, 16);
  auto converted = random_weights(DType::bf16, 40, 128, 17);
  for (int64_t i = 0; i < 40 * 128; ++i) {
    const uint16_t h = float_to_bf16(static_cast<float>(w->raw[i]));
    std::memcpy(converted->bytes.data() + 2 * i, &h, 2);
  }
  const auto a = ops->prepare({&w->view, 1}, Stacking::rows, Role::linear);
  const auto b = bf16->prepare({&converted->view, 1}, Stacking::rows, Role::linear);
  for (const int64_t rows : {1, 30}) {
    const Dense x = random_dense(rows, 128, 18);
    Dense out(rows, 40), unscaled(rows, 40);
    ops->linear(*a, x.view(), nullptr, out.view());
    bf16->linear(*b, x.view(), nullptr, unscaled.view());
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t n = 0; n < 40; ++n) {
        ASSERT_EQ(out.row(i)[n], unscaled.row(i)[n] * static_cast<float>(w->scale_at(n, 0)));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, LinearTest, testing::ValuesIn(backend_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace assay::engine::ops
