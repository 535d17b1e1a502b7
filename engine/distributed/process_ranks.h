// Ranks that are processes (engine/processes.h), as the engine of several ranks uses them.
#pragma once

#include <memory>

#include "engine/distributed/parallel_engine.h"

namespace assay::engine {

// How many processes were started together; 1 where this one is alone.
int process_count();

// In the first process: an engine of all processes' ranks, one each.
std::unique_ptr<Engine> open_process_engine(const RankSetup& setup);

}  // namespace assay::engine
