// Where the forward pass runs: names, what is there, whose memory a plan is about.
#include <charconv>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/execute/memory_plan.h"
#include "engine/native_engine.h"
#include "engine/ops/cuda/cuda_backend.h"

namespace assay::engine {

namespace {

// Most rows of a pass on a GPU: hundreds for each of 256 experts.
constexpr int kGpuPassTokens = 32768;

}  // namespace

Device parse_device(std::string_view name) {
  if (name == "cpu") return {};
  Device out{DeviceKind::cuda, 0};
  constexpr std::string_view kCuda = "cuda";
  if (name == kCuda) return out;
  if (name.starts_with("cuda:")) {
    const std::string_view number = name.substr(kCuda.size() + 1);
    const auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), out.index);
    if (error == std::errc() && end == number.data() + number.size() && out.index >= 0) return out;
  }
  throw_usage("no device \"" + std::string(name) + "\"", "cpu, cuda or cuda:N (see assay doctor)");
}

EngineOptions on_device(const EngineOptions& options) {
  EngineOptions out = options;
  if (options.device.kind == DeviceKind::cpu) return out;
  if (out.pass_tokens == 0) out.pass_tokens = kGpuPassTokens;
  out.memory_bytes = options.gpu_memory_bytes;
  for (const ops::CudaDevice& d : ops::cuda_support().devices) {
    if (out.memory_bytes == 0 && d.index == options.device.index)
      out.memory_bytes = d.free_memory / 10 * 9;
  }
  return out;
}

std::unique_ptr<ops::Backend> open_backend(const EngineOptions& options,
                                           const Checkpoint& checkpoint, const Workers& workers,
                                           bool preparing) {
  const Numerics numerics =
      resolve_numerics(options.numerics, numerics_of_weights(checkpoint.tensors()));
  const bool ue8m0 = checkpoint.config().ue8m0_scales;
  if (options.device.kind == DeviceKind::cuda) {
    return ops::make_cuda_backend(options.device.index, numerics, workers, ue8m0, preparing);
  }
  return ops::make_cpu_backend(options.kernels, numerics, workers, ue8m0);
}

DeviceSupport device_support() {
  const ops::CudaSupport cuda = ops::cuda_support();
  DeviceSupport out{cuda.built, cuda.why, cuda.runtime, cuda.driver, cuda.nccl, {}};
  for (const ops::CudaDevice& d : cuda.devices) {
    out.devices.push_back("cuda:" + std::to_string(d.index) + " " + d.name +
                          ", compute capability " + std::to_string(d.major) + "." +
                          std::to_string(d.minor) + ", " + std::to_string(d.multiprocessors) +
                          " multiprocessors, " + std::to_string(d.free_memory >> 30) + " of " +
                          std::to_string(d.memory >> 30) + " GiB free");
  }
  return out;
}

}  // namespace assay::engine
