// An engine of several ranks: it shares out the requests of a call and hands on what the ranks report.
//
// DESCRIPTION
//
// Every rank is a native engine over its part of the model (native_engine.h: RankSetup), in a thread of
// its own. The form of parallelism decides what the ranks hold and share:
//
//   data      each the whole model; requests in stretches of the prefix forest (share_out.h)
//   expert    as data, but a share of the routed experts each (expert_parallel.h)
//   pipeline  consecutive layers each; all run the same passes (pipeline.h)
//
// Commits: what a rank reports between two commits belongs together and is handed on at once; stages of a
// pipeline commit together, so that a pass's results and the expert load of all its layers are one.
//
// Errors: when a rank fails, the others stop, and the call throws what that rank threw (the first
// rank's, if several failed by themselves). The engine is of no use afterwards.
#pragma once

#include <memory>
#include <vector>

#include "engine/distributed/rank_link.h"
#include "engine/native_engine.h"

namespace assay::engine {

// What each rank holds under `parallel`, and which form `automatic` is. Throws usage where the model
// can't be divided like that.
struct Division {
  Parallel parallel = Parallel::none;
  std::vector<ModelShare> shares;  // one a rank
};
Division divide(const ModelConfig& config, Numerics numerics, const EngineOptions& options, int ranks);

// What one of several ranks of this process may use: a device, a share of threads and memory.
EngineOptions options_of_rank(const EngineOptions& options, int rank);

// Of ranks that are threads. `setup.options` names the devices of all.
std::unique_ptr<Engine> open_parallel_engine(const RankSetup& setup);
// Of ranks that have been started; `first`: the first one's.
std::unique_ptr<Engine> make_parallel_engine(const RankSetup& first, const Division& division,
                                             std::unique_ptr<RankGroup> ranks);

}  // namespace assay::engine
