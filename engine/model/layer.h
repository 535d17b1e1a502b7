// The weights of one decoder layer, checked and in the backend's packing.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/model/buffer.h"
#include "engine/ops/ops.h"

namespace assay::engine::model {

struct PreparedMlp {
  std::unique_ptr<ops::Matrix> gate_up, down;
};

// The routed experts of a layer.
struct PreparedExperts {
  std::vector<PreparedMlp> experts;
  std::vector<ops::ExpertWeights> views;
  size_t bytes = 0;
};

struct PreparedLayer {
  Vector input_norm, post_attention_norm;
  // MLA: q_a (absent without q_lora), q = q_b or q, kv = kv_a, kv_b.
  // Grouped-query: q, kv = k over v.
  std::unique_ptr<ops::Matrix> q_a, q, kv, kv_b, o;
  Vector q_a_norm, kv_a_norm;  // MLA
  Vector q_norm, k_norm;       // Qwen3
  Vector q_bias, kv_bias;      // Qwen2, attention_bias (MLA: of kv_a)
  Vector q_a_bias, o_bias;     // attention_bias
  // The absorbed form of MLA, per head: latent <- nope and v <- latent. Empty unless asked for.
  std::vector<std::unique_ptr<ops::Matrix>> absorb_key, absorb_value;

  PreparedMlp mlp;  // the dense MLP, or the shared experts (may be absent)
  std::unique_ptr<ops::Matrix> router;  // MoE layers
  Vector router_bias;
  PreparedExperts routed;  // may be elsewhere while the layer does not compute

  size_t bytes = 0;  // without the routed experts
  bool is_moe() const { return router != nullptr; }
};

// All but the routed experts. Refuses NaN and infinities (bad_input, naming the tensor). `absorbed`
// adds what generation needs.
std::unique_ptr<PreparedLayer> prepare_layer(const Checkpoint& checkpoint, const LayerWeights& weights,
                                             const ops::Backend& backend, bool absorbed);
// Empty for dense layers. The same refusals.
PreparedExperts prepare_experts(const Checkpoint& checkpoint, const LayerWeights& weights,
                                const ops::Backend& backend);
// Adds the absorbed form to a layer that was prepared without.
void prepare_absorbed(const Checkpoint& checkpoint, const LayerWeights& weights,
                      const ops::Backend& backend, PreparedLayer& layer);

// A vector of weights, checked and widened, in the backend's memory.
Vector load_vector(const Checkpoint& checkpoint, const TensorView& tensor, const ops::Backend& backend);

}  // namespace assay::engine::model
