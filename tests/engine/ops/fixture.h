// Random tensors, exact double products and the list of backends, for the tests of the ops.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/checkpoint/tensor.h"
#include "engine/ops/cpu/backends.h"
#include "engine/ops/ops.h"

namespace assay::engine::ops {

// An fp32 matrix with its own memory.
struct Dense {
  std::vector<float> value;
  int64_t rows = 0, cols = 0;

  Dense(int64_t r, int64_t c, float fill = 0) : value(static_cast<size_t>(r * c), fill), rows(r), cols(c) {}
  float* row(int64_t i) { return value.data() + i * cols; }
  const float* row(int64_t i) const { return value.data() + i * cols; }
  Rows view() { return {value.data(), rows, cols, cols}; }
  ConstRows view() const { return {value.data(), rows, cols, cols}; }
};

inline Dense random_dense(int64_t rows, int64_t cols, uint64_t seed, double spread = 1) {
  Dense out(rows, cols);
  Random random(seed, 1);
  for (float& v : out.value) v = static_cast<float>(random.normal() * spread);
  return out;
}

// A weight tensor of any dtype with its own memory and, for e4m3, block scales.
struct Weights {
  TensorView view;
  std::vector<std::byte> bytes;
  std::vector<float> scale;
  std::vector<double> exact;  // what the tensor means, [rows * cols]
  std::vector<double> raw;    // e4m3: without the scale

  double scale_at(int64_t r, int64_t c) const {
    if (scale.empty()) return 1;
    return scale[static_cast<size_t>(r / 128 * view.scale_cols + c / 128)];
  }
};

inline std::unique_ptr<Weights> random_weights(DType dtype, int64_t rows, int64_t cols,
                                               uint64_t seed) {
  auto w = std::make_unique<Weights>();
  Random random(seed, 2);
  w->view.name = "w";
  w->view.dtype = dtype;
  w->view.rank = 2;
  w->view.shape = {rows, cols};
  w->bytes.resize(static_cast<size_t>(rows * cols * dtype_bytes(dtype)));
  w->view.data = w->bytes.data();
  if (dtype == DType::f8_e4m3) {
    w->view.block = 128;
    w->view.scale_rows = (rows + 127) / 128;
    w->view.scale_cols = (cols + 127) / 128;
    for (int64_t i = 0; i < w->view.scale_rows * w->view.scale_cols; ++i) {
      w->scale.push_back(static_cast<float>(0.001 + 0.01 * random.uniform()));
    }
    w->view.scale = w->scale.data();
  }
  for (int64_t i = 0; i < rows * cols; ++i) {
    const auto x = static_cast<float>(random.normal() * (dtype == DType::f8_e4m3 ? 60 : 0.5));
    std::byte* to = w->bytes.data() + i * dtype_bytes(dtype);
    double value = x;
    if (dtype == DType::f32) {
      std::memcpy(to, &x, 4);
    } else if (dtype == DType::bf16) {
      const uint16_t h = float_to_bf16(x);
      std::memcpy(to, &h, 2);
      value = bf16_to_float(h);
    } else if (dtype == DType::f16) {
      const auto h = static_cast<uint16_t>((random.next_u32() & 0x83ffu) | 0x3000u);
      std::memcpy(to, &h, 2);
      value = f16_to_float(h);
    } else {
      const uint8_t b = float_to_e4m3(x);
      *to = static_cast<std::byte>(b);
      value = e4m3_to_float(b);
    }
    w->raw.push_back(value);
    // The dequantised value is defined as one fp32 multiplication.
    w->exact.push_back(w->scale.empty() ? value
                                        : static_cast<float>(value) *
                                              static_cast<float>(w->scale_at(i / cols, i % cols)));
  }
  return w;
}

struct Exact {
  double value = 0;
  double magnitude = 0;  // sum of |terms|: errors are a multiple of it
};

// One output of y = x W^T in exact arithmetic on the operands that `numerics` prescribes.
inline Exact exact_output(const Weights& w, int64_t n, const float* x, Numerics numerics,
                          Role role, bool ue8m0 = false) {
  const int64_t k = w.view.cols();
  // w8a8 rounds nothing that has no block scales.
  const bool exact_type = numerics == Numerics::fp8 && w.view.dtype != DType::f8_e4m3;
  const bool fp32 = numerics == Numerics::fp32 || role == Role::fp32 || exact_type;
  const bool scaled = w.view.dtype == DType::f8_e4m3 && role == Role::linear && !fp32 &&
                      numerics != Numerics::bf16;
  Exact out;
  for (int64_t begin = 0; begin < k; begin += 128) {
    const int64_t end = std::min(k, begin + 128);
    float amax = 1e-4f;
    for (int64_t i = begin; i < end; ++i) amax = std::max(amax, std::fabs(x[i]));
    float s = amax / 448.0f;
    if (ue8m0) s = static_cast<float>(std::exp2(std::ceil(std::log2(static_cast<double>(s)))));
    for (int64_t i = begin; i < end; ++i) {
      double a = x[i], b = w.exact[static_cast<size_t>(n * k + i)];
      if (scaled) {
        b = w.raw[static_cast<size_t>(n * k + i)] * w.scale_at(n, i);
        a = numerics == Numerics::fp8
                ? static_cast<double>(e4m3_to_float(float_to_e4m3(x[i] / s))) * s
                : static_cast<double>(round_to_bf16(x[i]));
      } else if (!fp32) {
        a = round_to_bf16(x[i]);
        b = round_to_bf16(static_cast<float>(b));
      }
      out.value += a * b;
      out.magnitude += std::fabs(a * b);
    }
  }
  return out;
}

// Bound of an fp32 sum of k products, any order: |error| <= (k + extra) u sum |terms| (Higham,
// Accuracy and Stability, 3.1), u = 2^-24; doubled so that second-order terms are covered.
inline double sum_bound(int64_t k, double magnitude) {
  return 2.0 * static_cast<double>(k + 8) * std::exp2(-24) * magnitude + 1e-30;
}

struct BackendCase {
  std::string name;
  Kernels kernels = Kernels::reference;
  const KernelTable* table = nullptr;  // instead of the one that `kernels` names
  bool cuda = false;                   // the CUDA backend over the emulated device
  bool tuned = false;                  // with the kernels of sm_90a
};
inline void PrintTo(const BackendCase& c, std::ostream* os) { *os << c.name; }

// Every backend that can run here.
std::vector<BackendCase> backend_cases();
std::unique_ptr<Backend> make_backend(const BackendCase& c, Numerics numerics, const Workers& workers,
                                      bool ue8m0 = false);

class OpsTest : public testing::TestWithParam<BackendCase> {
 protected:
  std::unique_ptr<Backend> backend(Numerics numerics, bool ue8m0 = false) {
    return make_backend(GetParam(), numerics, workers_, ue8m0);
  }
  // Emulated instructions take microseconds: smaller shapes.
  bool emulated() const { return GetParam().table != nullptr || GetParam().cuda; }
  Workers workers_{2};
};

}  // namespace assay::engine::ops
