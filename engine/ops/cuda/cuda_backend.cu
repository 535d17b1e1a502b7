// The kernels and the backend, compiled for the device.
#include "engine/ops/cuda/queue.h"

#include "engine/ops/cuda/backend_impl.h"
#include "engine/ops/cuda/cuda_backend.h"
#include "engine/ops/cuda/library_versions.h"

namespace assay::engine::ops {

namespace {

constexpr int kLeastMajor = 8;  // mma.sync with bf16 operands

std::string version_text(int version) {  // 13020 -> 13.2
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace

CudaSupport cuda_support() {
  CudaSupport support;
  support.built = true;
  support.nccl = nccl_version();
  int version = 0;
  if (cudaRuntimeGetVersion(&version) == cudaSuccess) support.runtime = version_text(version);
  if (cudaDriverGetVersion(&version) == cudaSuccess && version > 0) support.driver = version_text(version);
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    support.why = support.driver.empty()   ? "no NVIDIA driver is loaded"
                  : status != cudaSuccess ? cudaGetErrorString(status)
                                          : "no device";
    return support;
  }
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) continue;
    if (properties.major < kLeastMajor) {
      support.why = std::string(properties.name) + " has compute capability " +
                    std::to_string(properties.major) + "." + std::to_string(properties.minor) +
                    "; the kernels need 8.0";
      continue;
    }
    CudaDevice device{i, properties.name, properties.major, properties.minor,
                      properties.multiProcessorCount, properties.totalGlobalMem, 0, {}};
    int clock_khz = 0, memory_khz = 0;
    cudaDeviceGetAttribute(&clock_khz, cudaDevAttrClockRate, i);
    cudaDeviceGetAttribute(&memory_khz, cudaDevAttrMemoryClockRate, i);
    device.peak = device_peak(properties.major, properties.minor, properties.multiProcessorCount,
                              clock_khz * 1e-3, memory_khz * 1e-3, properties.memoryBusWidth);
    size_t free = 0, total = 0;
    if (cudaSetDevice(i) == cudaSuccess && cudaMemGetInfo(&free, &total) == cudaSuccess) {
      device.free_memory = free;
    }
    support.devices.push_back(device);
  }
  if (!support.devices.empty()) support.why.clear();
  return support;
}

CudaDevice usable_cuda_device(int index) {
  const CudaSupport support = cuda_support();
  for (const CudaDevice& d : support.devices) {
    if (d.index == index) return d;
  }
  throw_resource("no CUDA device " + std::to_string(index) +
                     (support.why.empty() ? std::string() : ": " + support.why),
                 {}, "see assay doctor, or use --device cpu");
}

void* cuda_computing_stream(int device) { return cuda::computing_stream(device); }

std::unique_ptr<Backend> make_cuda_backend(int device, Numerics numerics, const Workers& workers,
                                           bool ue8m0_activations, bool preparing, bool tuned,
                                           bool graphs) {
  usable_cuda_device(device);
  return std::make_unique<cuda::DeviceBackend>(std::make_unique<cuda::Queue>(device, preparing, tuned, graphs),
                                               numerics, workers, ue8m0_activations);
}

}  // namespace assay::engine::ops
