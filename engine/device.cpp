// Where the forward pass runs: names, what is there, whose memory a plan is about.
#include <charconv>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/execute/memory_plan.h"
#include "engine/native_engine.h"
#include "engine/ops/cuda/cuda_backend.h"

namespace assay::engine {

std::vector<Device> parse_devices(std::string_view names) {
  constexpr std::string_view kCuda = "cuda:";
  std::vector<Device> out;
  for (std::string_view rest = names;;) {
    const size_t comma = rest.find(',');
    std::string_view name = rest.substr(0, comma);
    if (name == "cpu") {
      out.push_back({});
    } else if (name == "cuda") {
      out.push_back({DeviceKind::cuda, 0});
    } else if (name == "cuda:all") {
      const ops::CudaSupport support = ops::cuda_support();
      if (support.devices.empty()) throw_resource("cuda:all: " + support.why, {}, "see assay doctor, or use --device cpu");
      for (const ops::CudaDevice& d : support.devices) out.push_back({DeviceKind::cuda, d.index});
    } else {
      // A number alone goes on with the GPUs: cuda:0,1.
      if (name.starts_with(kCuda)) {
        name.remove_prefix(kCuda.size());
      } else if (out.empty() || out.back().kind != DeviceKind::cuda) {
        name = {};
      }
      Device device{DeviceKind::cuda, 0};
      const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), device.index);
      if (name.empty() || error != std::errc() || end != name.data() + name.size() || device.index < 0) {
        throw_usage("no device \"" + std::string(names) + "\"",
                    "cpu, cuda or cuda:N (see assay doctor); several: cuda:0,1, cuda:all, cpu,cpu");
      }
      out.push_back(device);
    }
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  for (const Device& device : out) {
    if (device.kind != out.front().kind) {
      throw_usage("processors and GPUs together in \"" + std::string(names) + "\"",
                  "they do not compute the same bits: name devices of one kind");
    }
  }
  return out;
}

EngineOptions on_device(const EngineOptions& options) {
  EngineOptions out = options;
  if (options.device().kind == DeviceKind::cpu) return out;
  for (const ops::CudaDevice& d : ops::cuda_support().devices) {
    if (out.gpu_memory_bytes == 0 && d.index == options.device().index)
      out.gpu_memory_bytes = d.free_memory / 10 * 9;
  }
  return out;
}

Numerics numerics_of(const EngineOptions& options, const Checkpoint& checkpoint) {
  return resolve_numerics(options.numerics, numerics_of_weights(checkpoint.tensors()));
}

std::unique_ptr<ops::Backend> open_backend(const EngineOptions& options,
                                           const Checkpoint& checkpoint, const Workers& workers,
                                           bool preparing) {
  const Numerics numerics = numerics_of(options, checkpoint);
  const bool ue8m0 = checkpoint.config().ue8m0_scales;
  if (options.device().kind == DeviceKind::cuda) {
    if (options.kernels != Kernels::automatic && options.kernels != Kernels::portable) {
      throw_usage("kernels " + std::string(kernels_name(options.kernels)) + " are a processor's",
                  "auto or portable with --device cuda");
    }
    return ops::make_cuda_backend(options.device().index, numerics, workers, ue8m0, preparing,
                                  options.kernels == Kernels::automatic, options.graphs);
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
