// Ranks that are threads of one process, over host memory.
//
// Also the reference for the logic above the interface: what is proven between threads holds between
// GPUs and nodes as far as their implementations keep the contract.
#pragma once

#include <memory>
#include <vector>

#include "engine/distributed/collective.h"

namespace assay::engine {

// The ends of a group of `ranks` ranks, in rank order; each is for one thread.
std::vector<std::unique_ptr<Collective>> make_thread_group(int ranks);

}  // namespace assay::engine
