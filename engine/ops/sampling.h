// From logits to the next token, defined in integers so that it does not matter who adds what first:
// host and device choose the same token for the same logits and number.
//
// Token i weighs round(e^((logit_i - largest) / temperature) 2^43), e^x as sampling_weight() computes
// it. Of the tokens in order of their logits, highest first, ties by id, the fewest are kept that
// together weigh at least top_p of all (top_p >= 1: all, in order of ids). The token is the first
// at which the weights, added in that order, exceed number / 2^53 of what the kept ones weigh.
// The log-probability is that at temperature 1, from weights too: log(2^43 / all) + logit - largest.
// Logits that are not all finite give token 0 with a log-probability of NaN.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "engine/ops/ops.h"
#include "engine/ops/sampling_weight.h"

namespace assay::engine::ops {

// `draw.temperature` > 0. `scratch` is working memory.
Choice sample(std::span<const float> logits, const Draw& draw,
              std::vector<std::pair<uint64_t, TokenId>>& scratch);

// Log-probability of a token at temperature 1, as sample() gives it; NaN where a logit is not finite.
float sampled_logprob(std::span<const float> logits, TokenId token);

}  // namespace assay::engine::ops
