// The CUDA backend, and what of CUDA is there to run it.
//
// Both functions exist in every build; without the toolkit (ASSAY_CUDA off) they say so.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "engine/ops/cuda/peak.h"
#include "engine/ops/ops.h"

namespace assay::engine::ops {

struct CudaDevice {
  int index = 0;
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  size_t memory = 0, free_memory = 0;  // bytes
  DevicePeak peak;
};

struct CudaSupport {
  bool built = false;
  std::string runtime, driver, nccl;  // versions; empty: not there
  std::vector<CudaDevice> devices;              // that the kernels run on
  std::string why;                              // no device can be used; empty: some can
};
CudaSupport cuda_support();
// Throws resource where the device cannot be used.
CudaDevice usable_cuda_device(int index);

// `preparing`: prepares weights for another backend of the same device, on a second thread.
// `tuned`: with the kernels of sm_90a where the device runs them, another profile. `graphs`: steps run as
// CUDA graphs. Throws resource where the device cannot be used.
std::unique_ptr<Backend> make_cuda_backend(int device, Numerics numerics, const Workers& workers,
                                           bool ue8m0_activations, bool preparing, bool tuned,
                                           bool graphs);

// The cudaStream_t that backends of a device compute on. Only where CUDA is built in.
void* cuda_computing_stream(int device);

}  // namespace assay::engine::ops
