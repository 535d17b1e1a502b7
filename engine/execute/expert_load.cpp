#include "engine/execute/expert_load.h"

#include <algorithm>
#include <cmath>

namespace assay::engine {

namespace {
constexpr double kUnit = 1.0 / (1 << 24);
}

LoadCounter::LoadCounter(const ModelConfig& config)
    : top_k_(static_cast<size_t>(config.moe.experts_per_token)) {
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    index_.push_back(moe_layers_.size());
    if (config.is_moe_layer(layer)) moe_layers_.push_back(static_cast<int>(layer));
  }
  layers_ = moe_layers_.size();
  experts_ = layers_ > 0 ? static_cast<size_t>(config.moe.routed_experts) : 0;
}

void LoadCounter::Counts::ensure(size_t size) {
  tokens.resize(size);
  weight.resize(size);
}

void LoadCounter::add(std::span<const LoadPiece> pieces, int layer, const ops::Routing& routing) {
  const size_t base = index_[static_cast<size_t>(layer)] * experts_;
  for (const LoadPiece& piece : pieces) {
    Counts& counts = piece.waits ? waiting_[piece.owner] : released_[piece.group];
    counts.ensure(layers_ * experts_);
    const size_t end = (piece.row + static_cast<size_t>(piece.count)) * top_k_;
    for (size_t i = piece.row * top_k_; i < end; ++i) {
      const size_t at = base + static_cast<size_t>(routing.expert[i]);
      ++counts.tokens[at];
      counts.weight[at] += std::llround(static_cast<double>(routing.weight[i]) / kUnit);
    }
  }
}

void LoadCounter::release(uint32_t owner, int group) {
  const auto it = waiting_.find(owner);
  if (it == waiting_.end()) return;
  Counts& counts = released_[group];
  counts.ensure(layers_ * experts_);
  for (size_t i = 0; i < counts.tokens.size(); ++i) {
    counts.tokens[i] += it->second.tokens[i];
    counts.weight[i] += it->second.weight[i];
  }
  waiting_.erase(it);
}

void LoadCounter::report(ResultSink& sink) {
  for (const auto& [group, counts] : released_) {
    for (size_t layer = 0; layer < layers_; ++layer) {
      ExpertLoad load;
      load.group = group;
      load.layer = moe_layers_[layer];
      const auto first = static_cast<ptrdiff_t>(layer * experts_);
      const auto last = first + static_cast<ptrdiff_t>(experts_);
      load.tokens.assign(counts.tokens.begin() + first, counts.tokens.begin() + last);
      load.weight.resize(experts_);
      for (size_t e = 0; e < experts_; ++e) {
        load.weight[e] = static_cast<double>(counts.weight[layer * experts_ + e]) * kUnit;
      }
      sink.on_expert_load(load);
    }
  }
  released_.clear();
}

}  // namespace assay::engine
