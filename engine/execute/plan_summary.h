// What a call would compute, from a configuration and a memory plan; no weights.
#pragma once

#include <span>

#include "engine/engine.h"
#include "engine/execute/memory_plan.h"

namespace assay::engine {

// Both check the requests as the calls themselves do (bad_input).
PlanSummary summarise(std::span<const ScoreRequest> requests, const ModelConfig& config,
                      const MemoryPlan& memory);
PlanSummary summarise(std::span<const GenerateRequest> requests, const ModelConfig& config,
                      const MemoryPlan& memory);

}  // namespace assay::engine
