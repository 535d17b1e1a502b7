#include "engine/checkpoint/tensor.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "base/error.h"

namespace assay::engine {

namespace {

// Values of all 256 E4M3 bytes: 1 sign, 4 exponent (bias 7), 3 mantissa bits; no infinities.
constexpr std::array<float, 256> make_e4m3_table() {
  std::array<float, 256> table{};
  for (int byte = 0; byte < 256; ++byte) {
    const int exponent = (byte >> 3) & 15, mantissa = byte & 7;
    float value = static_cast<float>(exponent == 0 ? mantissa : 8 + mantissa) / 512.0f;
    for (int e = 1; e < exponent; ++e) value *= 2;
    if ((byte & 0x7f) == 0x7f) value = std::numeric_limits<float>::quiet_NaN();
    table[static_cast<size_t>(byte)] = byte & 0x80 ? -value : value;
  }
  return table;
}
constexpr std::array<float, 256> kE4m3 = make_e4m3_table();

template <class T>
T element(const std::byte* data, int64_t i) {
  T value;
  std::memcpy(&value, data + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

// Index of the first of n elements whose bits satisfy (bits & mask) == mask, or n. Tested in chunks
// without a branch per element, in integers of the elements' own width (what vectorises best), so that
// whole checkpoints are scanned at memory speed.
template <class T>
int64_t first_with_mask(const std::byte* data, int64_t n, T mask) {
  constexpr int64_t kChunk = 4096;
  for (int64_t begin = 0; begin < n; begin += kChunk) {
    const int64_t end = std::min(n, begin + kChunk);
    T any = 0;
    for (int64_t i = begin; i < end; ++i) {
      any = static_cast<T>(any | static_cast<T>((element<T>(data, i) & mask) == mask));
    }
    if (any == 0) continue;
    for (int64_t i = begin; i < end; ++i)
      if ((element<T>(data, i) & mask) == mask) return i;
  }
  return n;
}

// Of n elements that begin at `data`.
int64_t first_not_finite(DType dtype, const std::byte* data, int64_t n) {
  switch (dtype) {
    case DType::f32:
      return first_with_mask<uint32_t>(data, n, 0x7f800000u);
    case DType::bf16:
      return first_with_mask<uint16_t>(data, n, 0x7f80);
    case DType::f16:
      return first_with_mask<uint16_t>(data, n, 0x7c00);
    case DType::f8_e4m3:
      return first_with_mask<uint8_t>(data, n, 0x7f);
  }
  return n;
}

int64_t first_not_finite(const TensorView& t, const Workers* workers) {
  constexpr int64_t kPiece = int64_t{1} << 18;  // elements
  const int64_t n = t.elements();
  if (workers == nullptr || n <= kPiece) return first_not_finite(t.dtype, t.data, n);
  std::atomic<int64_t> first{n};
  workers->for_ranges(n, kPiece, [&](int64_t begin, int64_t end) {
    const int64_t bad =
        begin + first_not_finite(t.dtype, t.data + begin * dtype_bytes(t.dtype), end - begin);
    if (bad == end) return;
    int64_t known = first;
    while (bad < known && !first.compare_exchange_weak(known, bad)) {
    }
  });
  return first;
}

std::string position(const TensorView& t, int64_t index, int64_t cols) {
  if (t.rank == 1) return "[" + std::to_string(index) + "]";
  return "[" + std::to_string(index / cols) + ", " + std::to_string(index % cols) + "]";
}

}  // namespace

std::string_view dtype_name(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "F32";
    case DType::bf16:
      return "BF16";
    case DType::f16:
      return "F16";
    case DType::f8_e4m3:
      return "F8_E4M3";
  }
  return "?";
}

int64_t dtype_bytes(DType dtype) {
  return dtype == DType::f32 ? 4 : dtype == DType::f8_e4m3 ? 1 : 2;
}

float bf16_to_float(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

float f16_to_float(uint16_t bits) {
  const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  float value;
  if (exponent == 31)
    value =
        mantissa ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
  else if (exponent == 0)
    value = std::ldexp(static_cast<float>(mantissa), -24);
  else
    value = std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
  return bits & 0x8000 ? -value : value;
}

float e4m3_to_float(uint8_t bits) { return kE4m3[bits]; }

uint16_t float_to_bf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

float round_to_bf16(float x) { return bf16_to_float(float_to_bf16(x)); }

uint8_t float_to_e4m3(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const auto sign = static_cast<uint8_t>((bits >> 24) & 0x80);
  if (std::isnan(x)) return sign | 0x7f;
  const float magnitude = std::fabs(x);
  if (magnitude >= 448.0f) return sign | 0x7e;
  // Below 2^-6 the grid is even, 2^-9 apart; the product is exact and 8 is the first normal byte.
  if (magnitude < 0x1p-6f) return sign | static_cast<uint8_t>(std::nearbyint(magnitude * 512.0f));
  uint32_t u = std::bit_cast<uint32_t>(magnitude);
  u += 0x7ffffu + ((u >> 20) & 1);  // round the 23-bit mantissa to 3 bits, ties to even
  const uint32_t byte = (u >> 20) - ((127 - 7) << 3);
  return sign | static_cast<uint8_t>(std::min<uint32_t>(byte, 0x7e));
}

void dequantize_row(const TensorView& t, int64_t row, float* out) {
  const int64_t cols = t.cols();
  const std::byte* data = t.data + row * cols * dtype_bytes(t.dtype);
  switch (t.dtype) {
    case DType::f32:
      std::memcpy(out, data, static_cast<size_t>(cols) * sizeof(float));
      return;
    case DType::bf16:
      for (int64_t c = 0; c < cols; ++c) out[c] = bf16_to_float(element<uint16_t>(data, c));
      return;
    case DType::f16:
      for (int64_t c = 0; c < cols; ++c) out[c] = f16_to_float(element<uint16_t>(data, c));
      return;
    case DType::f8_e4m3: {
      if (!t.scale) throw_internal("FP8 tensor without scales", std::string(t.name));
      const float* scale = t.scale + (row / t.block) * t.scale_cols;
      for (int64_t c = 0; c < cols; ++c)
        out[c] = e4m3_to_float(element<uint8_t>(data, c)) * scale[c / t.block];
      return;
    }
  }
}

void dequantize(const TensorView& tensor, float* out) {
  for (int64_t r = 0; r < tensor.rows(); ++r) dequantize_row(tensor, r, out + r * tensor.cols());
}

DequantizedSlice dequantize_slice(const TensorView& tensor, int64_t first_row, int64_t n,
                                  bool transpose) {
  if (first_row < 0 || n <= 0 || first_row + n > tensor.rows())
    throw_internal("rows outside the tensor", std::string(tensor.name));
  const int64_t cols = tensor.cols();
  DequantizedSlice out;
  out.values.resize(static_cast<size_t>(n * cols));
  std::vector<float> row(static_cast<size_t>(cols));
  for (int64_t r = 0; r < n; ++r) {
    dequantize_row(tensor, first_row + r, row.data());
    for (int64_t c = 0; c < cols; ++c)
      out.values[static_cast<size_t>(transpose ? c * n + r : r * cols + c)] =
          row[static_cast<size_t>(c)];
  }
  out.view.name = tensor.name;
  out.view.rank = 2;
  out.view.shape = {transpose ? cols : n, transpose ? n : cols};
  out.view.data = reinterpret_cast<const std::byte*>(out.values.data());
  return out;
}

void check_finite(const TensorView& t, bool ue8m0_scales, std::string_view where,
                  int64_t first_row, const Workers* workers) {
  const auto fail = [&](const std::string& what, const std::string& tensor) {
    throw_bad_input(what, std::string(where) + ": tensor " + tensor,
                    "the checkpoint is damaged or diverged; fetch or save it again");
  };
  const int64_t bad = first_not_finite(t, workers);
  if (bad < t.elements())
    fail((t.dtype == DType::f8_e4m3 ? "NaN byte at " : "NaN or infinity at ") +
             position(t, bad + first_row * t.cols(), t.cols()),
         std::string(t.name));
  for (int64_t i = 0; t.scale && i < t.scale_rows * t.scale_cols; ++i) {
    const float s = t.scale[i];
    const std::string place =
        "[" + std::to_string(i / t.scale_cols) + ", " + std::to_string(i % t.scale_cols) + "]";
    const std::string name = std::string(t.name) + "_scale_inv";
    if (!std::isfinite(s)) fail("scale at " + place + " is not finite", name);
    if (s <= 0) fail("scale at " + place + " is " + (s == 0 ? "zero" : "negative"), name);
    if (!std::isfinite(s * 448.0f)) fail("scale at " + place + " overflows its block", name);
    int exponent;
    if (ue8m0_scales && std::frexp(s, &exponent) != 0.5f)
      fail("scale at " + place + " is no power of two, but scale_fmt is ue8m0", name);
  }
}

}  // namespace assay::engine
