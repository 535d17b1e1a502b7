// The tuned kernels' translation unit, as the queue sees it (nvcc only).
#pragma once

#include <cuda_runtime.h>

#include "engine/ops/cuda/device.h"
#include "engine/ops/cuda/hopper/primitives.h"
#include "engine/ops/cuda/hopper/mixed_product.h"

namespace assay::engine::ops::cuda {

// Device memory [rows][padded_k], bf16 or e4m3, in boxes of 128 rows x 128 bytes. Throws resource
// where the driver has no TMA.
TensorMap make_tensor_map(const void* data, int64_t rows, int64_t padded_k, bool fp8);
// The kernel of TunedArgs, ready for blocks of hopper::kThreads with hopper::shared_bytes() of shared memory, at
// most as many as there are multiprocessors.
cudaError_t tuned_product(hopper::TunedOperands operands, bool swiglu, const void** kernel);

}  // namespace assay::engine::ops::cuda
