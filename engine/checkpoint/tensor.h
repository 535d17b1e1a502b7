// A tensor of a checkpoint as it lies in the mapped file, and conversion of its elements to float.
//
// A TensorView owns nothing: it is valid while its Checkpoint lives. Conversion is exact: every
// F32, BF16, F16 and E4M3 value is a float. All functions are pure and thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/workers.h"

namespace assay::engine {

enum class DType : uint8_t { f32, bf16, f16, f8_e4m3 };
std::string_view dtype_name(DType dtype);  // as in safetensors: "F32", "BF16", "F16", "F8_E4M3"
int64_t dtype_bytes(DType dtype);

struct TensorView {
  std::string_view name;
  DType dtype = DType::f32;
  int rank = 0;                     // 1 or 2; 0: no such tensor
  std::array<int64_t, 2> shape{};   // row-major; a vector of n is {n, 1}
  const std::byte* data = nullptr;  // aligned to the element size

  // F8_E4M3 only: value(r, c) = e4m3(r, c) * scale[(r / block) * scale_cols + c / block].
  const float* scale = nullptr;  // [scale_rows, scale_cols] = ceil(shape / block)
  int64_t scale_rows = 0, scale_cols = 0, block = 0;

  // Where `data` comes from, for readers that stream: file number and byte offset in it.
  int shard = 0;
  uint64_t offset = 0;

  explicit operator bool() const { return rank > 0; }
  int64_t rows() const { return shape[0]; }
  int64_t cols() const { return shape[1]; }
  int64_t elements() const { return shape[0] * shape[1]; }
  size_t bytes() const { return static_cast<size_t>(elements() * dtype_bytes(dtype)); }
};

float bf16_to_float(uint16_t bits);
float f16_to_float(uint16_t bits);
float e4m3_to_float(uint8_t bits);  // 0x7f and 0xff are NaN; there are no infinities
uint16_t float_to_bf16(float x);    // nearest, ties to even; NaN stays NaN
uint8_t float_to_e4m3(float x);     // nearest, ties to even, saturating at +-448; NaN -> 0x7f|sign
// The nearest bf16 value as a float.
float round_to_bf16(float x);

// One row (of a vector: the element) dequantised: scale applied, one fp32 multiplication each.
void dequantize_row(const TensorView& tensor, int64_t row, float* out);
// The whole tensor, row-major, elements() floats.
void dequantize(const TensorView& tensor, float* out);

// A part of a tensor, dequantised: an F32 matrix that owns its elements (move it, do not copy it).
struct DequantizedSlice {
  DequantizedSlice() = default;
  DequantizedSlice(DequantizedSlice&&) = default;
  DequantizedSlice& operator=(DequantizedSlice&&) = default;
  std::vector<float> values;
  TensorView view;  // of `values`
};
// Rows [first_row, first_row + n), [n, cols], or their transpose, [cols, n].
DequantizedSlice dequantize_slice(const TensorView& tensor, int64_t first_row, int64_t n,
                                  bool transpose);

// Throws bad_input naming tensor and position of the first element that is NaN or infinite, e4m3
// NaN bytes included, or of the first scale that is NaN, infinite, zero or negative; ue8m0: that is
// not a power of two. Reads the whole tensor. `where` names the file; `first_row` is the row that a
// view of a part of a tensor begins with. With `workers` the tensor is read by all of them.
void check_finite(const TensorView& tensor, bool ue8m0_scales, std::string_view where,
                  int64_t first_row = 0, const Workers* workers = nullptr);

}  // namespace assay::engine
