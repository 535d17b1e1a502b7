// The engine of this process over any checkpoint. Internal to engine/.
#pragma once

#include <memory>

#include "engine/checkpoint/checkpoint.h"
#include "engine/engine.h"
#include "engine/ops/ops.h"

namespace assay::engine {

std::unique_ptr<Engine> make_native_engine(const EngineOptions& options, Checkpoint checkpoint);

// The options with the memory that a plan is about: the GPU's, where one computes. A tenth of what is
// free is left to libraries and driver.
EngineOptions on_device(const EngineOptions& options);

// The backend that the options name (device, kernels) for these weights. `preparing`: for a second thread.
std::unique_ptr<ops::Backend> open_backend(const EngineOptions& options, const Checkpoint& checkpoint,
                                           const Workers& workers, bool preparing = false);

// What a configuration says; `profile` and `has_mtp` are left to the caller.
Capabilities capabilities_of(const ModelConfig& config, Numerics numerics);

}  // namespace assay::engine
