// The CPU backends that make_cpu_backend (ops.h) chooses from.
#pragma once

#include <memory>

#include "engine/ops/ops.h"

namespace assay::engine::ops {

// `kernels` only names the profile.
std::unique_ptr<Backend> make_reference_backend(Kernels kernels, Numerics numerics,
                                                const Workers& workers, bool ue8m0_activations);

}  // namespace assay::engine::ops
