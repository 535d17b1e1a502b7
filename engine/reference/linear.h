// y = W x + b in the arithmetic that a numerics mode prescribes, one output at a time.
//
//   fp32         exact weights and inputs, double sums
//   bf16         weights and inputs rounded to bf16, double sums
//   fp8          FP8 weights: w8a8 as below; other weights as in fp32
//   fp8_weights  inputs rounded to bf16; FP8 weights exact with their scales, others to bf16
//
// w8a8 (DeepSeek-V3 inference/kernel.py act_quant, fp8_gemm): per row and block of 128 columns
//   a = max(max|x|, 1e-4), s = a / 448 (ue8m0: the smallest power of two not below it),
//   q = e4m3(x / s); acc += (dot(q, w) * s) * weight_scale, block after block, all in fp32,
//   the dot product exact and then rounded to fp32.
#pragma once

#include <vector>

#include "engine/checkpoint/tensor.h"
#include "engine/engine.h"
#include "engine/reference/formula.h"
#include "engine/reference/matrix.h"

namespace assay::engine::reference {

struct QuantizedRow {
  std::vector<uint8_t> bytes;  // one per column
  std::vector<float> scales;   // one per block of 128 columns; the last block may be shorter
};
QuantizedRow quantize_activation(const float* x, int64_t n, bool ue8m0, const Formula& formula);

struct Arithmetic {
  Numerics numerics = Numerics::fp32;
  bool ue8m0 = false;           // scale_fmt of the checkpoint
  bool bf16_attention = false;  // attention.h
  Formula formula = {};
};

// A weight, dequantised once. The TensorView must outlive it.
class Linear {
 public:
  Linear() = default;
  Linear(const TensorView& weight, const Arithmetic& arithmetic, const TensorView& bias = {});

  int64_t rows() const { return weight_.rows(); }
  int64_t cols() const { return weight_.cols(); }
  explicit operator bool() const { return static_cast<bool>(weight_); }
  // x has cols(), y rows() elements.
  void apply(const double* x, double* y) const;
  // Element as the numerics mode sees it (absorbed attention).
  double at(int64_t row, int64_t col) const {
    return values_[static_cast<size_t>(row * cols() + col)];
  }

 private:
  void apply_fp8(const double* x, double* y) const;

  TensorView weight_;
  Arithmetic arithmetic_;
  std::vector<double> values_, bias_;
};

}  // namespace assay::engine::reference
