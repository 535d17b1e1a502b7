#include "engine/device.h"

#include "engine/ops/cuda/cuda_backend.h"

namespace assay::engine {

DeviceSupport device_support() {
  const ops::CudaSupport cuda = ops::cuda_support();
  DeviceSupport out{cuda.built, cuda.why, cuda.runtime, cuda.driver, cuda.nccl, {}};
  for (const ops::CudaDevice& d : cuda.devices) {
    out.devices.push_back("cuda:" + std::to_string(d.index) + " " + d.name + ", compute capability " +
                          std::to_string(d.major) + "." + std::to_string(d.minor) + ", " +
                          std::to_string(d.multiprocessors) + " multiprocessors, " +
                          std::to_string(d.free_memory >> 30) + " of " + std::to_string(d.memory >> 30) +
                          " GiB free");
  }
  return out;
}

}  // namespace assay::engine
