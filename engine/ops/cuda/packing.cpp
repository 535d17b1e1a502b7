#include "engine/ops/cuda/packing.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "engine/ops/cuda/hopper/layout.h"

namespace assay::engine::ops {

namespace {

void require(bool condition, const char* what) {
  if (!condition) throw_internal(what, "engine/ops/cuda");
}

struct Kind {
  DeviceStorage storage;
  bool quantised;
  bool operator==(const Kind&) const = default;
};

Kind kind_of(DType dtype, Numerics numerics, Role role) {
  // w8a8 quantises what has block scales and rounds nothing else.
  const bool exact = numerics == Numerics::fp8 && dtype != DType::f8_e4m3;
  if (numerics == Numerics::fp32 || role == Role::fp32 || exact) return {DeviceStorage::f32, false};
  if (dtype == DType::f8_e4m3 && role == Role::linear && numerics != Numerics::bf16) {
    return {DeviceStorage::e4m3, numerics == Numerics::fp8};
  }
  return {DeviceStorage::bf16, false};
}

bool stored_as_is(DType dtype, DeviceStorage storage) {
  return (dtype == DType::f32 && storage == DeviceStorage::f32) ||
         (dtype == DType::bf16 && storage == DeviceStorage::bf16) ||
         (dtype == DType::f8_e4m3 && storage == DeviceStorage::e4m3);
}

void pack_row(const TensorView& tensor, int64_t row, HostPart& part, int64_t to,
              std::vector<float>& wide) {
  std::byte* out = part.weights.data() + to * part.padded_k * part.element_bytes();
  if (stored_as_is(tensor.dtype, part.storage)) {
    const auto bytes = static_cast<size_t>(part.k * part.element_bytes());
    std::memcpy(out, tensor.data + row * static_cast<int64_t>(bytes), bytes);
    return;
  }
  wide.resize(static_cast<size_t>(part.k));
  dequantize_row(tensor, row, wide.data());
  if (part.storage == DeviceStorage::f32) {
    std::memcpy(out, wide.data(), wide.size() * sizeof(float));
    return;
  }
  auto* half = reinterpret_cast<uint16_t*>(out);
  for (int64_t c = 0; c < part.k; ++c) half[c] = float_to_bf16(wide[static_cast<size_t>(c)]);
}

HostPart pack_part(const Workers& workers, Kind kind, std::span<const TensorView> tensors) {
  HostPart part;
  part.storage = kind.storage;
  part.quantised = kind.quantised;
  part.gate_up = tensors.size() == 2;
  part.k = tensors[0].cols();
  part.outputs = tensors[0].rows();
  const bool scaled = kind.storage == DeviceStorage::e4m3;
  part.padded_k = layout::padded_k(part.k, scaled);
  part.rows = layout::round_up(part.outputs, layout::kGranule) * static_cast<int64_t>(tensors.size());
  part.weights.resize(static_cast<size_t>(part.rows * part.padded_k * part.element_bytes()));
  if (scaled) part.scale.resize(static_cast<size_t>(part.rows / layout::kGranule * part.blocks()));
  const int64_t granules = layout::divide_up(part.outputs, layout::kGranule);
  workers.for_each(granules, [&](int64_t g) {
    std::vector<float> wide;
    for (size_t half = 0; half < tensors.size(); ++half) {
      const TensorView& tensor = tensors[half];
      const int64_t first = g * layout::kGranule;
      const int64_t last = std::min(part.outputs, first + layout::kGranule);
      for (int64_t r = first; r < last; ++r) {
        const int64_t to = part.gate_up ? layout::gate_up_row(r, static_cast<int>(half)) : r;
        pack_row(tensor, r, part, to, wide);
      }
      if (!scaled) continue;
      // A granule never crosses a scale block: 128 is a multiple of 8.
      const int64_t to = (part.gate_up ? layout::gate_up_row(first, static_cast<int>(half)) : first) /
                         layout::kGranule;
      for (int64_t b = 0; b < tensor.scale_cols; ++b) {
        part.scale[static_cast<size_t>(to * part.blocks() + b)] =
            tensor.scale[first / tensor.block * tensor.scale_cols + b];
      }
    }
  });
  return part;
}

}  // namespace

void interleave_for_registers(const Workers& workers, HostPart& part) {
  constexpr int64_t kColumns = hopper::kMixedHalf;
  require(part.storage == DeviceStorage::e4m3 && part.padded_k % kColumns == 0, "interleave: e4m3 weights");
  workers.for_ranges(part.rows, 8, [&](int64_t begin, int64_t end) {
    for (std::byte* at = part.weights.data() + begin * part.padded_k; at < part.weights.data() + end * part.padded_k;
         at += kColumns) {
      std::byte in_order[kColumns];
      std::memcpy(in_order, at, kColumns);
      for (int place = 0; place < kColumns; ++place) at[place] = in_order[hopper::mixed_column(place)];
    }
  });
}

std::vector<HostPart> pack_parts(const Workers& workers, Numerics numerics,
                                 std::span<const TensorView> tensors, Stacking stacking, Role role) {
  require(!tensors.empty(), "prepare: no tensors");
  std::vector<Kind> kinds;
  for (const TensorView& tensor : tensors) {
    require(tensor.cols() == tensors[0].cols(), "prepare: tensors of different width");
    kinds.push_back(kind_of(tensor.dtype, numerics, role));
    require(kinds.back().storage != DeviceStorage::e4m3 || tensor.block == layout::kScaleBlock,
            "prepare: scale blocks of other than 128");
  }
  std::vector<HostPart> parts;
  if (stacking == Stacking::gate_up) {
    require(tensors.size() == 2 && tensors[0].rows() == tensors[1].rows(), "prepare: gate and up");
    // Of different kinds: the common form that holds both.
    const bool fp32 = kinds[0].storage == DeviceStorage::f32 || kinds[1].storage == DeviceStorage::f32;
    const Kind common{fp32 ? DeviceStorage::f32 : DeviceStorage::bf16, false};
    const Kind kind = kinds[0] == kinds[1] ? kinds[0] : common;
    parts.push_back(pack_part(workers, kind, tensors));
    return parts;
  }
  int64_t first = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    parts.push_back(pack_part(workers, kinds[i], tensors.subspan(i, 1)));
    parts.back().first_output = first;
    first += parts.back().outputs;
  }
  return parts;
}

std::vector<HostPart> pack_part_slice(const Workers& workers, Numerics numerics,
                                      const TensorView& tensor, int64_t first_row, int64_t n,
                                      bool transpose, Role role) {
  const DequantizedSlice slice = dequantize_slice(tensor, first_row, n, transpose);
  const Numerics kept = numerics == Numerics::fp32 ? Numerics::fp32 : Numerics::bf16;
  return pack_parts(workers, kept, {&slice.view, 1}, Stacking::rows, role);
}

}  // namespace assay::engine::ops
