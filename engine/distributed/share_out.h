// Which of several ranks computes which request.
//
// Ranks take consecutive stretches of the prefix forest of the unfinished requests, of about equal
// arithmetic, so that what neighbours share is mostly computed once. A rank is given all requests and
// sees the others' as finished, so that expert load is counted as by one rank alone.
//
// A function of the requests and the configuration alone.
#pragma once

#include <span>
#include <vector>

#include "engine/checkpoint/config.h"
#include "engine/engine.h"

namespace assay::engine {

// The rank of each request; -1 for finished ones.
std::vector<int> share_out(std::span<const ScoreRequest> requests, const ModelConfig& config, int ranks);
std::vector<int> share_out(std::span<const GenerateRequest> requests, const ModelConfig& config, int ranks);

}  // namespace assay::engine
