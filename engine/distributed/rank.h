// One rank: a native engine that does the jobs it is given.
#pragma once

#include <functional>
#include <memory>

#include "engine/distributed/collective.h"
#include "engine/distributed/rank_link.h"
#include "engine/native_engine.h"

namespace assay::engine {

// Opens the engine and does jobs until the last one. Whatever goes wrong is reported, and the rank's
// collective abandoned. `rank`: this one's number; `join`: makes its collective, null where the form of
// parallelism needs none.
void run_rank(int rank, const RankSetup& setup, RankLink& link,
              const std::function<std::unique_ptr<Collective>()>& join);

}  // namespace assay::engine
