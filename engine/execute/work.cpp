#include "engine/execute/work.h"

#include "engine/checkpoint/layout.h"

namespace assay::engine {

WorkRates work_rates(const ModelConfig& config, model::Form form) {
  WorkRates rates;
  ModelWeights unused;
  double dense = 0, routed = 0;  // elements
  for_each_weight(config, unused, [&](const WeightSlot& slot) {
    if (slot.mtp || slot.rank != 2) return;
    if (slot.name == "model.embed_tokens.weight" || slot.name == "lm_head.weight") return;
    (slot.routed_expert ? routed : dense) += static_cast<double>(slot.shape[0] * slot.shape[1]);
  });
  if (routed > 0) {
    dense += routed * static_cast<double>(config.moe.experts_per_token) /
             static_cast<double>(config.moe.routed_experts);
  }
  rates.row = 2 * dense;
  int64_t key = config.head_dim, value = config.v_head_dim();
  if (config.mla && form == model::Form::absorbed) {
    key = config.mla->kv_lora_rank + config.mla->rope_dim;
    value = config.mla->kv_lora_rank;
  }
  rates.pair = 2.0 * static_cast<double>(config.layers * config.heads * (key + value));
  rates.scored = 2.0 * static_cast<double>(config.vocabulary * config.hidden);
  return rates;
}

double causal_pairs(std::span<const ops::Segment> segments) {
  double pairs = 0;
  for (const ops::Segment& s : segments) {
    pairs += causal_pairs(static_cast<double>(s.position), static_cast<double>(s.count));
  }
  return pairs;
}

}  // namespace assay::engine
