// AVX-512 kernels (avx512_vector.h): the common templates over 16 lanes.
//
// bf16 operands are multiplied in pairs by VDPBF16PS: fp32 accumulation, the pair's second product
// added first, each to nearest even; subnormal operands and results count as zero, so a product may
// lose up to 2^-126 a term: nothing beside the rounding of sums of normal size.
// e4m3 weights become bf16 by table (e4m3_to_bf16.h).
#include "engine/ops/cpu/avx512_vector.h"

namespace assay::engine::ops {

const KernelTable& avx512_kernels() {
  static constexpr KernelTable kTable = make_table<Avx512>("avx512");
  return kTable;
}

}  // namespace assay::engine::ops
