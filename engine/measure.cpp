#include "engine/measure.h"

#include <algorithm>

#include "base/error.h"
#include "base/workers.h"
#include "engine/checkpoint/random_weights.h"
#include "engine/ops/cpu/peak.h"
#include "engine/ops/cuda/cuda_backend.h"

namespace assay::engine {

struct MachineLimits::State {
  Kernels kernels;
  Workers workers;
  std::string device;
  ops::DevicePeak peak;
  State(Kernels k, int threads) : kernels(k), workers(threads) {}
  double slice(ops::Limit limit, double seconds) const {
    return ops::measure_limit(limit, kernels, workers, seconds);
  }
};

MachineLimits::MachineLimits(const EngineOptions& options)
    : state_(std::make_unique<State>(options.kernels, options.threads)) {
  if (options.device().kind == DeviceKind::cpu) return;
  const ops::CudaDevice device = ops::usable_cuda_device(options.device().index);
  state_->device = device.name;
  state_->peak = device.peak;
}
MachineLimits::~MachineLimits() = default;

int MachineLimits::threads() const { return state_->workers.threads(); }
const std::string& MachineLimits::device() const { return state_->device; }
double MachineLimits::fp32(double seconds) const {
  return device().empty() ? state_->slice(ops::Limit::fp32, seconds) : state_->peak.fp32;
}
double MachineLimits::bf16(double seconds) const {
  return device().empty() ? state_->slice(ops::Limit::bf16, seconds) : state_->peak.bf16;
}
double MachineLimits::fed_bf16(double seconds) const {
  return device().empty() ? state_->slice(ops::Limit::fed_bf16, seconds) : 0;
}
double MachineLimits::fp8(double) const { return state_->peak.fp8; }
double MachineLimits::int8(double seconds) const {
  return device().empty() ? state_->slice(ops::Limit::int8, seconds) : 0;
}
double MachineLimits::read(double seconds) const {
  return device().empty() ? state_->slice(ops::Limit::read, seconds) : state_->peak.read;
}
double MachineLimits::products(Numerics numerics, double seconds) const {
  if (numerics == Numerics::fp32) return fp32(seconds);
  if (numerics == Numerics::fp8 && state_->peak.fp8 > 0) return fp8(seconds);
  return bf16(seconds);
}

int64_t all_layers(const ModelShape& shape) {
  ModelShape whole = shape;
  whole.layers = 0;
  return config_of(whole).layers;
}

}  // namespace assay::engine
