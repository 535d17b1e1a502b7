// Weights in the panel layout of an instruction set (kernel_table.h).
#pragma once

#include <span>
#include <vector>

#include "base/workers.h"
#include "engine/checkpoint/tensor.h"
#include "engine/ops/cpu/aligned_buffer.h"
#include "engine/ops/cpu/kernel_table.h"
#include "engine/ops/ops.h"

namespace assay::engine::ops {

// Consecutive outputs of a matrix that share storage and arithmetic.
struct PackedPart {
  Storage storage = Storage::f32;
  Operand operand = Operand::f32;
  bool gate_up = false;
  int64_t first_output = 0;  // column of the matrix's product where this part begins
  int64_t outputs = 0;       // columns of the product (gate_up: half the rows)
  int64_t k = 0, padded_k = 0, panels = 0;  // padded_k: with zeros, KernelTable::k_multiple
  int64_t panel_bytes = 0;
  AlignedBuffer weights;     // [panels][panel_bytes]
  AlignedBuffer scale;       // e4m3: [panels][scale_blocks][panel] floats

  int64_t scale_blocks() const { return (k + kScaledBlock - 1) / kScaledBlock; }
};

struct PackedMatrix final : Matrix {
  std::vector<PackedPart> parts;
};

// How a tensor of `dtype` takes part in products, given mode and role.
struct Kind {
  Storage storage;
  Operand operand;
  bool operator==(const Kind&) const = default;
};
Kind kind_of(DType dtype, Numerics numerics, Role role);

// See Backend::prepare and Backend::prepare_slice.
std::unique_ptr<PackedMatrix> pack_matrix(const KernelTable& table, const Workers& workers,
                                          Numerics numerics, std::span<const TensorView> tensors,
                                          Stacking stacking, Role role);
std::unique_ptr<PackedMatrix> pack_slice(const KernelTable& table, const Workers& workers,
                                         Numerics numerics, const TensorView& tensor,
                                         int64_t first_row, int64_t n, bool transpose, Role role);

}  // namespace assay::engine::ops
