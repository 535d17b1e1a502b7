// The engine of this process over any checkpoint. Internal to engine/.
#pragma once

#include <memory>

#include "engine/checkpoint/checkpoint.h"
#include "engine/engine.h"
#include "engine/execute/memory_plan.h"
#include "engine/ops/ops.h"

namespace assay::engine {

class Collective;

// What an engine is made of: the whole of a model, or one rank's part.
struct RankSetup {
  EngineOptions options;  // one device; threads and memory are this rank's
  std::shared_ptr<const Checkpoint> checkpoint;
  std::shared_ptr<const Tokenizer> tokenizer;  // may be null
  Parallel parallel = Parallel::none;
  ModelShare share;                 // of this rank
  Collective* collective = nullptr;  // where ranks exchange rows; outlives the engine
};
std::unique_ptr<Engine> make_native_engine(const RankSetup& setup);
// The whole of a model, without a tokenizer.
std::unique_ptr<Engine> make_native_engine(const EngineOptions& options, Checkpoint checkpoint);

// The options with the GPU's memory, where one computes and none was named. A tenth of what is free is left to
// libraries and driver.
EngineOptions on_device(const EngineOptions& options);

// The numerics that the options mean for these weights.
Numerics numerics_of(const EngineOptions& options, const Checkpoint& checkpoint);

// The backend that the options name (device, kernels) for these weights. `preparing`: for a second thread.
std::unique_ptr<ops::Backend> open_backend(const EngineOptions& options, const Checkpoint& checkpoint,
                                           const Workers& workers, bool preparing = false);

// What a configuration says; `profile` and `has_mtp` are left to the caller.
Capabilities capabilities_of(const ModelConfig& config, Numerics numerics);

}  // namespace assay::engine
