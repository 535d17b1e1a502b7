// The CPU backends that make_cpu_backend (ops.h) chooses from.
#pragma once

#include <memory>

#include "engine/ops/cpu/kernel_table.h"
#include "engine/ops/ops.h"

namespace assay::engine::ops {

// Naive loops.
std::unique_ptr<Backend> make_reference_backend(Numerics numerics, const Workers& workers,
                                                bool ue8m0_activations);

// Blocked and packed, over one instruction set's kernels; `kernels` names the profile.
std::unique_ptr<Backend> make_packed_backend(const KernelTable& table, Kernels kernels,
                                             Numerics numerics, const Workers& workers,
                                             bool ue8m0_activations);

// The kernels of an available choice; automatic: the fastest. Not for `reference`.
const KernelTable& kernel_table(Kernels kernels);

}  // namespace assay::engine::ops
