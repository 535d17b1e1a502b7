#include "engine/execute/sampling.h"

#include <algorithm>

namespace assay::engine {

ops::Choice sample_among(std::span<const float> logits, std::span<const TokenId> allowed,
                         const ops::Draw& draw, std::vector<std::pair<uint64_t, TokenId>>& scratch) {
  std::vector<float> own;
  for (const TokenId id : allowed) own.push_back(logits[static_cast<size_t>(id)]);
  const auto place = draw.temperature == 0 ? std::max_element(own.begin(), own.end()) - own.begin()
                                           : ops::sample(own, draw, scratch).token;
  const TokenId token = allowed[static_cast<size_t>(place)];
  return {token, ops::sampled_logprob(logits, token)};
}

}  // namespace assay::engine
