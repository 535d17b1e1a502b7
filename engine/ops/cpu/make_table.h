// The kernel templates, gathered into a KernelTable for one vector abstraction.
//
// V provides: F (a pack of kLanes floats) with load, store (unaligned), set1, zero, add, sub, mul,
// div, fma (a*b+c), fnma (c-a*b), max, min, abs, zero_where_less, power_of_two (vector_math.h),
// first, maximum, sum (of the lanes, in a fixed order), transpose (kLanes x kLanes in place);
//   load_bf16, store_bf16 (nearest even), load_pairs (2 * kLanes bf16 -> even and odd ones);
//   round_e4m3 (nearest even, saturating), e4m3_index and convert_e4m3 (two k's of a panel);
//   Bf16Step, store_operand, ThinBf16Operand, ThinE4m3: how bf16 operands are multiplied;
//   kTileRows, kAttentionRows; and, where it has them, kBusyBf16 and kBusyInt8 (see KernelTable).
#pragma once

#include "engine/ops/cpu/attention_kernel.h"
#include "engine/ops/cpu/kernel_table.h"
#include "engine/ops/cpu/peak_kernels.h"
#include "engine/ops/cpu/product_kernels.h"
#include "engine/ops/cpu/row_kernels.h"

namespace assay::engine::ops {

using BusyLoop = double (*)(int64_t rounds);
template <class V>
constexpr BusyLoop busy_bf16() {
  if constexpr (requires { V::kBusyBf16; }) return V::kBusyBf16;
  return busy_fp32<V>;  // bf16 operands are multiplied as fp32
}
template <class V>
constexpr BusyLoop busy_int8() {
  if constexpr (requires { V::kBusyInt8; }) return V::kBusyInt8;
  return nullptr;
}

template <class V>
constexpr KernelTable make_table(const char* name) {
  constexpr int kBf16 = sizeof(typename V::Bf16Step::Activation);
  return {
      .name = name,
      .lanes = V::kLanes,
      .panel = kPanel<V>,
      .tile_rows = V::kTileRows,
      .operand_bytes = {4, kBf16, kBf16},
      .k_multiple = 2,
      .attention_rows = {V::kAttentionRows, V::kAttentionRows},
      .pack_f32 = pack_f32<V>,
      .pack_bf16 = pack_bf16<V>,
      .pack_e4m3 = pack_e4m3<V>,
      .pack_row = pack_row<V>,
      .block_product = block_product<V>,
      .thin_product = thin_product<V>,
      .pack_tile_row = nullptr,
      .matrix_product = nullptr,
      .store = store_rows<V>,
      .store_swiglu = store_swiglu<V>,
      .store_swiglu_packed = nullptr,
      .accumulate_rows = accumulate_rows<V>,
      .log_sum = log_sum<V>,
      .attention_scratch = attention_scratch<V>,
      .attention = attention<V>,
      .rms_norm = rms_norm<V>,
      .to_bf16 = to_bf16<V>,
      .add = add<V>,
      .busy_fp32 = busy_fp32<V>,
      .busy_bf16 = busy_bf16<V>(),
      .fed_bf16 = nullptr,
      .busy_int8 = busy_int8<V>(),
      .read = read_memory<V>,
  };
}

}  // namespace assay::engine::ops
