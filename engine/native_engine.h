// The engine of this process over any checkpoint. Internal to engine/.
#pragma once

#include <memory>

#include "engine/checkpoint/checkpoint.h"
#include "engine/engine.h"

namespace assay::engine {

std::unique_ptr<Engine> make_native_engine(const EngineOptions& options, Checkpoint checkpoint);

// What a configuration says; `profile` and `has_mtp` are left to the caller.
Capabilities capabilities_of(const ModelConfig& config, Numerics numerics);

}  // namespace assay::engine
