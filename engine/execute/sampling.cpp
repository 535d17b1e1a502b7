#include "engine/execute/sampling.h"

#include <algorithm>
#include <cmath>

namespace assay::engine {

Choice sample(std::span<const float> logits, const Sampling& sampling, Random& random,
              std::vector<std::pair<double, TokenId>>& scratch) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double all = 0;  // sum under temperature 1
  scratch.clear();
  double total = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double distance = logits[i] - largest;
    all += std::exp(distance);
    const double p = std::exp(distance / sampling.temperature);
    if (p <= 0) continue;  // can never be drawn
    scratch.push_back({p, static_cast<TokenId>(i)});
    total += p;
  }
  if (sampling.top_p < 1) {
    std::sort(scratch.begin(), scratch.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    const double wanted = sampling.top_p * total;
    double kept = 0;
    size_t n = 0;
    while (n < scratch.size() && (n == 0 || kept < wanted)) kept += scratch[n++].first;
    scratch.resize(n);
    total = kept;
  }
  double left = random.uniform() * total;
  TokenId token = scratch.back().second;  // where rounding leaves a remainder
  for (const auto& [p, id] : scratch) {
    left -= p;
    if (left < 0) {
      token = id;
      break;
    }
  }
  const double logit = logits[static_cast<size_t>(token)];
  return {token, static_cast<float>(logit - largest - std::log(all))};
}

Choice sample_among(std::span<const float> logits, std::span<const TokenId> allowed,
                    const Sampling& sampling, Random& random,
                    std::vector<std::pair<double, TokenId>>& scratch) {
  std::vector<float> own;
  for (const TokenId id : allowed) own.push_back(logits[static_cast<size_t>(id)]);
  const auto place = sampling.temperature == 0
                         ? std::max_element(own.begin(), own.end()) - own.begin()
                         : sample(own, sampling, random, scratch).token;
  const TokenId token = allowed[static_cast<size_t>(place)];
  const double largest = *std::max_element(logits.begin(), logits.end());
  double all = 0;
  for (const float logit : logits) all += std::exp(static_cast<double>(logit) - largest);
  const double logit = logits[static_cast<size_t>(token)];
  return {token, static_cast<float>(logit - largest - std::log(all))};
}

}  // namespace assay::engine
