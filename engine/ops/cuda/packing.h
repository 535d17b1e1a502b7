// Weights as the CUDA kernels want them, made on the host. Plain C++, needs no CUDA.
//
// A matrix is one part per tensor (or one for both of a gate_up stack), because tensors of a stack
// may differ in precision. A part's rows are granules of 8 (layout.h), k padded with zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/workers.h"
#include "engine/checkpoint/tensor.h"
#include "engine/ops/ops.h"

namespace assay::engine::ops {

enum class DeviceStorage : uint8_t { f32, bf16, e4m3 };

struct HostPart {
  DeviceStorage storage = DeviceStorage::f32;
  bool quantised = false;    // e4m3: activations are quantised, too
  bool gate_up = false;
  int64_t first_output = 0;  // column of the matrix's product where this part begins
  int64_t outputs = 0;       // columns of the product (gate_up: half the tensors' rows)
  int64_t k = 0, padded_k = 0;
  int64_t rows = 0;          // as stored: whole granules
  std::vector<std::byte> weights;  // [rows][padded_k]
  std::vector<float> scale;        // e4m3: [rows / 8][padded_k / 128]

  int64_t element_bytes() const {
    return storage == DeviceStorage::f32 ? 4 : storage == DeviceStorage::bf16 ? 2 : 1;
  }
  int64_t blocks() const { return padded_k / 128; }
};

// Columns of e4m3 weights in the order of hopper::mixed_column, 64 at a time.
void interleave_for_registers(const Workers& workers, HostPart& part);

// See Backend::prepare and Backend::prepare_slice.
std::vector<HostPart> pack_parts(const Workers& workers, Numerics numerics,
                                 std::span<const TensorView> tensors, Stacking stacking, Role role);
std::vector<HostPart> pack_part_slice(const Workers& workers, Numerics numerics,
                                      const TensorView& tensor, int64_t first_row, int64_t n,
                                      bool transpose, Role role);

}  // namespace assay::engine::ops
