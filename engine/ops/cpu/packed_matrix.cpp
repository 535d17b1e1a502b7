#include "engine/ops/cpu/packed_matrix.h"

#include <algorithm>
#include <cstring>

#include "engine/ops/cpu/rowwise.h"

namespace assay::engine::ops {

namespace {

struct RowSource {
  const TensorView* tensor = nullptr;  // null: a row of zeros
  int64_t row = 0;
};

int64_t element_bytes(Storage storage) {
  return storage == Storage::f32 ? 4 : storage == Storage::bf16 ? 2 : 1;
}

bool stored_as_is(DType dtype, Storage storage) {
  return (dtype == DType::f32 && storage == Storage::f32) ||
         (dtype == DType::bf16 && storage == Storage::bf16) ||
         (dtype == DType::f8_e4m3 && storage == Storage::e4m3);
}

// Packs one panel from its rows.
void pack_panel(const KernelTable& table, PackedPart& part, int64_t panel,
                std::span<const RowSource> rows) {
  const int64_t k = part.k;
  std::byte* to = part.weights.as<std::byte>() + panel * part.panel_bytes;
  std::vector<const void*> from(rows.size(), nullptr);
  std::vector<float> wide(static_cast<size_t>(k));
  std::vector<std::vector<std::byte>> converted(rows.size());
  for (size_t j = 0; j < rows.size(); ++j) {
    const TensorView* tensor = rows[j].tensor;
    if (tensor == nullptr) continue;
    if (stored_as_is(tensor->dtype, part.storage)) {
      from[j] = tensor->data + rows[j].row * k * dtype_bytes(tensor->dtype);
      continue;
    }
    dequantize_row(*tensor, rows[j].row, wide.data());
    converted[j].resize(static_cast<size_t>(k * element_bytes(part.storage)));
    if (part.storage == Storage::f32) {
      std::memcpy(converted[j].data(), wide.data(), converted[j].size());
    } else {
      table.to_bf16(wide.data(), reinterpret_cast<uint16_t*>(converted[j].data()), k);
    }
    from[j] = converted[j].data();
  }
  const int64_t even = k + (k & 1);  // what the functions below fill
  if (even < part.padded_k) {
    const int64_t filled = part.panel_bytes / part.padded_k * even;
    std::memset(to + filled, 0, static_cast<size_t>(part.panel_bytes - filled));
  }
  switch (part.storage) {
    case Storage::f32:
      table.pack_f32(reinterpret_cast<const float* const*>(from.data()), k, to);
      break;
    case Storage::bf16:
      table.pack_bf16(reinterpret_cast<const uint16_t* const*>(from.data()), k, to);
      break;
    case Storage::e4m3: {
      table.pack_e4m3(reinterpret_cast<const uint8_t* const*>(from.data()), k, to);
      float* scale = part.scale.as<float>() + panel * part.scale_blocks() * table.panel;
      for (int64_t b = 0; b < part.scale_blocks(); ++b) {
        for (size_t j = 0; j < rows.size(); ++j) {
          const TensorView* t = rows[j].tensor;
          scale[b * table.panel + static_cast<int64_t>(j)] =
              t == nullptr ? 0.0f : t->scale[rows[j].row / t->block * t->scale_cols + b];
        }
      }
      break;
    }
  }
}

// `sources` are the part's rows in stacking order (gate_up: all gates, then all ups).
void pack_part(const KernelTable& table, const Workers& workers, PackedPart& part,
               const std::vector<RowSource>& sources) {
  const int64_t columns = part.gate_up ? table.lanes : table.panel;  // outputs of a panel
  part.panels = (part.outputs + columns - 1) / columns;
  part.padded_k = (part.k + table.k_multiple - 1) / table.k_multiple * table.k_multiple;
  part.panel_bytes = part.padded_k * table.panel * element_bytes(part.storage);
  part.weights.reserve(static_cast<size_t>(part.panels * part.panel_bytes));
  if (part.storage == Storage::e4m3) {
    part.scale.reserve(static_cast<size_t>(part.panels * part.scale_blocks() * table.panel) * sizeof(float));
  }
  workers.for_each(part.panels, [&](int64_t p) {
    std::vector<RowSource> rows(static_cast<size_t>(table.panel));
    for (int64_t j = 0; j < table.panel; ++j) {
      const int64_t output = p * columns + j % columns;
      if (output < part.outputs) {
        rows[static_cast<size_t>(j)] =
            sources[static_cast<size_t>(j < columns ? output : part.outputs + output)];
      }
    }
    pack_panel(table, part, p, rows);
  });
}

void finish(PackedMatrix& matrix) {
  matrix.n = 0;
  matrix.bytes = 0;
  for (PackedPart& part : matrix.parts) {
    part.first_output = matrix.n;
    matrix.n += part.gate_up ? 2 * part.outputs : part.outputs;
    matrix.k = part.k;
    matrix.bytes += part.weights.bytes() + part.scale.bytes();
  }
}

}  // namespace

Kind kind_of(DType dtype, Numerics numerics, Role role) {
  // w8a8 quantises what has block scales and rounds nothing else.
  const bool exact = numerics == Numerics::fp8 && dtype != DType::f8_e4m3;
  if (numerics == Numerics::fp32 || role == Role::fp32 || exact) {
    return {dtype == DType::bf16 ? Storage::bf16 : Storage::f32, Operand::f32};
  }
  if (dtype == DType::f8_e4m3 && role == Role::linear && numerics != Numerics::bf16) {
    return {Storage::e4m3, numerics == Numerics::fp8 ? Operand::fp8 : Operand::bf16};
  }
  return {Storage::bf16, Operand::bf16};
}

std::unique_ptr<PackedMatrix> pack_matrix(const KernelTable& table, const Workers& workers,
                                          Numerics numerics, std::span<const TensorView> tensors,
                                          Stacking stacking, Role role) {
  require(!tensors.empty(), "prepare: no tensors");
  auto matrix = std::make_unique<PackedMatrix>();
  std::vector<Kind> kinds;
  for (const TensorView& tensor : tensors) {
    require(tensor.cols() == tensors[0].cols(), "prepare: tensors of different width");
    kinds.push_back(kind_of(tensor.dtype, numerics, role));
    require(kinds.back().storage != Storage::e4m3 || tensor.block == kScaledBlock,
            "prepare: scale blocks of other than 128");
  }
  const bool gate_up = stacking == Stacking::gate_up;
  if (gate_up) {
    require(tensors.size() == 2 && tensors[0].rows() == tensors[1].rows(), "prepare: gate and up");
    if (kinds[0] != kinds[1]) {  // the common form that holds both
      const bool fp32 = kinds[0].operand == Operand::f32 || kinds[1].operand == Operand::f32;
      kinds[0] = kinds[1] = fp32 ? Kind{Storage::f32, Operand::f32}
                                 : Kind{Storage::bf16, Operand::bf16};
    }
  }
  for (size_t first = 0, last = 0; first < tensors.size(); first = last) {
    PackedPart part;
    part.storage = kinds[first].storage;
    part.operand = kinds[first].operand;
    part.gate_up = gate_up;
    part.k = tensors[first].cols();
    std::vector<RowSource> sources;
    for (last = first; last < tensors.size() && kinds[last] == kinds[first]; ++last) {
      for (int64_t r = 0; r < tensors[last].rows(); ++r) sources.push_back({&tensors[last], r});
    }
    part.outputs = static_cast<int64_t>(sources.size()) / (gate_up ? 2 : 1);
    pack_part(table, workers, part, sources);
    matrix->parts.push_back(std::move(part));
  }
  finish(*matrix);
  return matrix;
}

std::unique_ptr<PackedMatrix> pack_slice(const KernelTable& table, const Workers& workers,
                                         Numerics numerics, const TensorView& tensor,
                                         int64_t first_row, int64_t n, bool transpose, Role role) {
  const DequantizedSlice slice = dequantize_slice(tensor, first_row, n, transpose);
  const Numerics kept = numerics == Numerics::fp32 ? Numerics::fp32 : Numerics::bf16;
  return pack_matrix(table, workers, kept, {&slice.view, 1}, Stacking::rows, role);
}

}  // namespace assay::engine::ops
