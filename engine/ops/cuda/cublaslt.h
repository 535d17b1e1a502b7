// cuBLASLt, for comparison: the best of its algorithms for a product's shape, in our operands' formats.
//
// The library is loaded when asked for (linking it costs a quarter of a second at every start). In every
// build; without CUDA it is never there. Never run on hardware so far (docs/gpu.md).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace assay::engine::ops {

class CublasLt {
 public:
  virtual ~CublasLt() = default;
  // Seconds of one product out[rows, n] = x[rows, k] W[n, k]^T, bf16 out, of the fastest of the algorithms
  // that the library proposes; absent where it proposes none.
  // e4m3 with fp32 scales per 1 x 128 of x and 128 x 128 of W (compute capability 9.0, CUDA 12.9).
  virtual std::optional<double> fp8_seconds(int64_t rows, int64_t n, int64_t k) = 0;
  virtual std::optional<double> bf16_seconds(int64_t rows, int64_t n, int64_t k) = 0;
};

// Null, and `why`, where the library can't be loaded.
std::unique_ptr<CublasLt> open_cublaslt(int device, std::string& why);

}  // namespace assay::engine::ops
