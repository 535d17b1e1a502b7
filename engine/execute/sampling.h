// From logits to the next token.
#pragma once

#include <span>
#include <vector>

#include "base/random.h"
#include "engine/engine.h"

namespace assay::engine {

struct Choice {
  TokenId token = 0;
  float logprob = 0;  // under temperature 1, whatever the sampling
};

// A token drawn with `temperature` > 0 among the smallest set of tokens whose probability reaches
// top_p (most likely first, ties to the lowest id). Takes one number from `random`. Arithmetic in
// double, in id or rank order: the same token for the same logits and random state.
// `scratch` is working memory.
Choice sample(std::span<const float> logits, const Sampling& sampling, Random& random,
              std::vector<std::pair<double, TokenId>>& scratch);

// The same among the ids of `allowed` only (ascending, not empty), and the most likely of them at
// temperature 0. The log-probability stays that among all tokens.
Choice sample_among(std::span<const float> logits, std::span<const TokenId> allowed,
                    const Sampling& sampling, Random& random,
                    std::vector<std::pair<double, TokenId>>& scratch);

}  // namespace assay::engine
