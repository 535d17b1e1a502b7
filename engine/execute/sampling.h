// The next token where only some may come.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "engine/ops/sampling.h"

namespace assay::engine {

// ops::sample() among the ids of `allowed` only (ascending, not empty), and the most likely of them at
// temperature 0. The log-probability stays that among all tokens.
ops::Choice sample_among(std::span<const float> logits, std::span<const TokenId> allowed,
                         const ops::Draw& draw, std::vector<std::pair<uint64_t, TokenId>>& scratch);

}  // namespace assay::engine
