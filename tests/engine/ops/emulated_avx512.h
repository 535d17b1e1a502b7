// The AVX-512 kernels with emulated instructions, for machines that have none.
#pragma once

#include "engine/ops/cpu/kernel_table.h"

namespace assay::engine::ops {

const KernelTable& emulated_avx512_kernels();

}  // namespace assay::engine::ops
