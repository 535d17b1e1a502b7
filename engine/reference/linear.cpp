#include "engine/reference/linear.h"

#include <algorithm>
#include <cmath>

namespace assay::engine::reference {

namespace {

bool rounds_to_bf16(Numerics numerics) {
  return numerics == Numerics::bf16 || numerics == Numerics::fp8_weights;
}

// Exact values: an FP8 weight times its scale is not rounded to fp32.
std::vector<double> exact_values(const TensorView& t) {
  std::vector<double> out;
  std::vector<float> row(static_cast<size_t>(t.cols()));
  for (int64_t r = 0; r < t.rows(); ++r) {
    if (t.dtype != DType::f8_e4m3) {
      dequantize_row(t, r, row.data());
      out.insert(out.end(), row.begin(), row.end());
      continue;
    }
    const auto* bytes = reinterpret_cast<const uint8_t*>(t.data) + r * t.cols();
    for (int64_t c = 0; c < t.cols(); ++c)
      out.push_back(static_cast<double>(e4m3_to_float(bytes[c])) *
                    static_cast<double>(t.scale[r / t.block * t.scale_cols + c / t.block]));
  }
  return out;
}

}  // namespace

QuantizedRow quantize_activation(const float* x, int64_t n, bool ue8m0, const Formula& formula) {
  constexpr int64_t kBlock = 128;
  QuantizedRow out;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = std::min(n, begin + kBlock);
    float amax = 0;
    for (int64_t i = begin; i < end; ++i) amax = std::max(amax, std::fabs(x[i]));
    if (formula.clamp_amax) amax = std::max(amax, 1e-4f);
    float scale = amax / 448.0f;
    if (ue8m0 && formula.ue8m0_activations) {
      int exponent;
      const float fraction = std::frexp(scale, &exponent);  // scale = fraction * 2^exponent
      scale = std::ldexp(1.0f, fraction == 0.5f ? exponent - 1 : exponent);
    }
    out.scales.push_back(scale);
    for (int64_t i = begin; i < end; ++i) out.bytes.push_back(float_to_e4m3(x[i] / scale));
  }
  return out;
}

Linear::Linear(const TensorView& weight, const Arithmetic& arithmetic, const TensorView& bias)
    : weight_(weight),
      arithmetic_(arithmetic),
      values_(exact_values(weight)),
      bias_(exact_values(bias)) {
  const bool keep = weight.dtype == DType::f8_e4m3 && arithmetic.numerics == Numerics::fp8_weights;
  if (rounds_to_bf16(arithmetic.numerics) && !keep)
    for (double& value : values_) value = round_to_bf16(static_cast<float>(value));
}

void Linear::apply(const double* x, double* y) const {
  if (weight_.dtype == DType::f8_e4m3 && arithmetic_.numerics == Numerics::fp8) {
    apply_fp8(x, y);
  } else {
    std::vector<double> input(x, x + cols());
    if (rounds_to_bf16(arithmetic_.numerics))
      for (double& value : input) value = round_to_bf16(static_cast<float>(value));
    for (int64_t r = 0; r < rows(); ++r) {
      double sum = 0;
      for (int64_t c = 0; c < cols(); ++c) sum += at(r, c) * input[static_cast<size_t>(c)];
      y[r] = sum;
    }
  }
  for (size_t r = 0; r < bias_.size(); ++r) y[r] += bias_[r];
}

void Linear::apply_fp8(const double* x, double* y) const {
  const std::vector<float> input(x, x + cols());
  const QuantizedRow q =
      quantize_activation(input.data(), cols(), arithmetic_.ue8m0, arithmetic_.formula);
  const auto* bytes = reinterpret_cast<const uint8_t*>(weight_.data);
  for (int64_t r = 0; r < rows(); ++r) {
    float sum = 0;
    for (int64_t b = 0; b < weight_.scale_cols; ++b) {
      const int64_t end = std::min(cols(), (b + 1) * weight_.block);
      double dot = 0;  // exact: products and sums of e4m3 values fit 53 bits
      for (int64_t c = b * weight_.block; c < end; ++c)
        dot += static_cast<double>(e4m3_to_float(bytes[r * cols() + c])) *
               static_cast<double>(e4m3_to_float(q.bytes[static_cast<size_t>(c)]));
      const float scaled = static_cast<float>(dot) * q.scales[static_cast<size_t>(b)];
      sum += scaled * weight_.scale[r / weight_.block * weight_.scale_cols + b];
    }
    y[r] = static_cast<double>(sum);
  }
}

}  // namespace assay::engine::reference
