#include "engine/checkpoint/layout.h"

namespace assay::engine {

namespace {

class Walker {
 public:
  Walker(const ModelConfig& config, const std::function<void(const WeightSlot&)>& body)
      : config_(config), body_(body) {}

  void walk(ModelWeights& w) {
    const int64_t hidden = config_.hidden, vocabulary = config_.vocabulary;
    table("model.embed_tokens.weight", vocabulary, hidden, w.embedding);
    w.layers.resize(static_cast<size_t>(config_.layers));
    for (int64_t i = 0; i < config_.layers; ++i)
      layer("model.layers." + std::to_string(i) + ".", i, w.layers[static_cast<size_t>(i)]);
    vector("model.norm.weight", hidden, w.norm);
    if (!config_.tied_head) table("lm_head.weight", vocabulary, hidden, w.head);
    if (config_.mtp_layers > 0) walk_mtp(w.mtp.emplace());
  }

 private:
  void emit(const std::string& name, WeightKind kind, int rank, int64_t rows, int64_t cols,
            TensorView& view) {
    body_({name, kind, rank, {rows, cols}, mtp_, mtp_copy_, routed_expert_, &view});
  }
  void matrix(const std::string& name, int64_t rows, int64_t cols, TensorView& view) {
    emit(name, WeightKind::matrix, 2, rows, cols, view);
  }
  void table(const std::string& name, int64_t rows, int64_t cols, TensorView& view) {
    emit(name, WeightKind::table, 2, rows, cols, view);
  }
  void vector(const std::string& name, int64_t n, TensorView& view) {
    emit(name, WeightKind::vector, 1, n, 1, view);
  }

  void walk_mtp(MtpWeights& m) {
    const int64_t hidden = config_.hidden, vocabulary = config_.vocabulary;
    const std::string prefix = "model.layers." + std::to_string(config_.layers) + ".";
    mtp_ = true;
    mtp_copy_ = true;
    table(prefix + "embed_tokens.weight", vocabulary, hidden, m.embedding);
    table(prefix + "shared_head.head.weight", vocabulary, hidden, m.head);
    mtp_copy_ = false;
    vector(prefix + "enorm.weight", hidden, m.enorm);
    vector(prefix + "hnorm.weight", hidden, m.hnorm);
    matrix(prefix + "eh_proj.weight", hidden, 2 * hidden, m.eh_proj);
    layer(prefix, config_.layers, m.layer);
    vector(prefix + "shared_head.norm.weight", hidden, m.norm);
  }

  void layer(const std::string& prefix, int64_t index, LayerWeights& w) {
    vector(prefix + "input_layernorm.weight", config_.hidden, w.input_norm);
    attention(prefix + "self_attn.", w.attention);
    vector(prefix + "post_attention_layernorm.weight", config_.hidden, w.post_attention_norm);
    if (!config_.is_moe_layer(index)) {
      mlp(prefix + "mlp.", config_.dense_hidden, w.mlp);
      return;
    }
    const MoeConfig& moe = config_.moe;
    table(prefix + "mlp.gate.weight", moe.routed_experts, config_.hidden, w.router);
    if (moe.selection_bias)
      vector(prefix + "mlp.gate.e_score_correction_bias", moe.routed_experts, w.router_bias);
    w.experts.resize(static_cast<size_t>(moe.routed_experts));
    routed_expert_ = true;
    for (size_t e = 0; e < w.experts.size(); ++e)
      mlp(prefix + "mlp.experts." + std::to_string(e) + ".", moe.expert_hidden, w.experts[e]);
    routed_expert_ = false;
    if (moe.shared_experts > 0)
      mlp(prefix + "mlp.shared_experts.", moe.shared_experts * moe.expert_hidden, w.shared);
  }

  void mlp(const std::string& prefix, int64_t width, MlpWeights& w) {
    matrix(prefix + "gate_proj.weight", width, config_.hidden, w.gate);
    matrix(prefix + "up_proj.weight", width, config_.hidden, w.up);
    matrix(prefix + "down_proj.weight", config_.hidden, width, w.down);
  }

  void attention(const std::string& prefix, AttentionWeights& w) {
    const int64_t hidden = config_.hidden, heads = config_.heads;
    const int64_t q_rows = heads * config_.head_dim;
    if (config_.mla) {
      const MlaConfig& mla = *config_.mla;
      if (mla.q_lora_rank > 0) {
        matrix(prefix + "q_a_proj.weight", mla.q_lora_rank, hidden, w.q_a);
        if (config_.o_bias) vector(prefix + "q_a_proj.bias", mla.q_lora_rank, w.q_a_bias);
        vector(prefix + "q_a_layernorm.weight", mla.q_lora_rank, w.q_a_norm);
        matrix(prefix + "q_b_proj.weight", q_rows, mla.q_lora_rank, w.q_b);
      } else {
        matrix(prefix + "q_proj.weight", q_rows, hidden, w.q);
      }
      matrix(prefix + "kv_a_proj_with_mqa.weight", mla.kv_lora_rank + mla.rope_dim, hidden, w.kv_a);
      if (config_.o_bias)
        vector(prefix + "kv_a_proj_with_mqa.bias", mla.kv_lora_rank + mla.rope_dim, w.kv_a_bias);
      vector(prefix + "kv_a_layernorm.weight", mla.kv_lora_rank, w.kv_a_norm);
      matrix(prefix + "kv_b_proj.weight", heads * (mla.nope_dim + mla.v_dim), mla.kv_lora_rank,
             w.kv_b);
    } else {
      const int64_t kv_rows = config_.kv_heads * config_.head_dim;
      matrix(prefix + "q_proj.weight", q_rows, hidden, w.q);
      matrix(prefix + "k_proj.weight", kv_rows, hidden, w.k);
      matrix(prefix + "v_proj.weight", kv_rows, hidden, w.v);
      if (config_.qkv_bias) {
        vector(prefix + "q_proj.bias", q_rows, w.q_bias);
        vector(prefix + "k_proj.bias", kv_rows, w.k_bias);
        vector(prefix + "v_proj.bias", kv_rows, w.v_bias);
      }
      if (config_.qk_norm) {
        vector(prefix + "q_norm.weight", config_.head_dim, w.q_norm);
        vector(prefix + "k_norm.weight", config_.head_dim, w.k_norm);
      }
    }
    matrix(prefix + "o_proj.weight", hidden, heads * config_.v_head_dim(), w.o);
    if (config_.o_bias) vector(prefix + "o_proj.bias", hidden, w.o_bias);
  }

  const ModelConfig& config_;
  const std::function<void(const WeightSlot&)>& body_;
  bool mtp_ = false, mtp_copy_ = false, routed_expert_ = false;
};

}  // namespace

void for_each_weight(const ModelConfig& config, ModelWeights& weights,
                     const std::function<void(const WeightSlot&)>& body) {
  Walker(config, body).walk(weights);
}

ParameterCount count_parameters(const ModelConfig& config) {
  ParameterCount count;
  ModelWeights unused;
  uint64_t idle = 0;  // elements that one token does not touch
  for_each_weight(config, unused, [&](const WeightSlot& slot) {
    const auto n = static_cast<uint64_t>(slot.shape[0] * slot.shape[1]);
    if (slot.mtp) {
      if (!slot.mtp_copy) count.mtp += n;
      return;
    }
    count.total += n;
    if (slot.routed_expert) idle += n;
  });
  const MoeConfig& moe = config.moe;
  if (moe.routed_experts > 0)  // experts of a model are equal: the idle share is exact
    idle = idle / static_cast<uint64_t>(moe.routed_experts) *
           static_cast<uint64_t>(moe.routed_experts - moe.experts_per_token);
  if (!config.tied_head) idle += static_cast<uint64_t>((config.vocabulary - 1) * config.hidden);
  count.active = count.total - idle;
  return count;
}

}  // namespace assay::engine
