// Ranks that are threads of this process, one a device.
#pragma once

#include <functional>
#include <memory>

#include "engine/distributed/rank_link.h"

namespace assay::engine {

// Starts `ranks` threads; body(rank, link) is what each does (run_rank).
std::unique_ptr<RankGroup> start_thread_ranks(int ranks, std::function<void(int rank, RankLink& link)> body);

}  // namespace assay::engine
