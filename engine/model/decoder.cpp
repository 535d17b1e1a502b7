#include "engine/model/decoder.h"

#include <algorithm>

#include "engine/checkpoint/rope.h"

namespace assay::engine::model {

namespace {

// Rows of one step of row-wise work: enough that packed weights are read once per many rows, few
// enough that the intermediate results stay small.
constexpr int64_t kChunk = 1024;
// What the backend holds within an op, at most (op contracts: no more than this without being said).
constexpr int64_t kExpertFloats = int64_t{16} << 20, kPackedBytes = int64_t{48} << 20;

}  // namespace

ops::Router router_of(const MoeConfig& moe) {
  ops::Router router;
  router.scoring =
      moe.score == RouterScore::sigmoid ? ops::Scoring::sigmoid : ops::Scoring::softmax;
  if (moe.groups > 1) {
    router.group_rule = moe.group_score == GroupScore::top2_sum ? ops::GroupRule::top2_sum
                                                                : ops::GroupRule::maximum;
  }
  router.groups = static_cast<int>(moe.groups);
  router.kept_groups = static_cast<int>(moe.kept_groups);
  router.experts = static_cast<int>(moe.routed_experts);
  router.top_k = static_cast<int>(moe.experts_per_token);
  router.normalise = moe.normalize_weights;
  router.scaling = moe.weight_scale;
  return router;
}

Decoder::Decoder(const ModelConfig& config, const ops::Backend& backend)
    : config_(config),
      backend_(backend),
      attention_rows_(backend.rows_at_once(512)),
      mlp_rows_(backend.rows_at_once(kChunk)),
      kv_type_(backend.kv_type()),
      kv_width_(kv_width(config)),
      router_(router_of(config.moe)) {
  rope_.inverse_frequency = rope_inverse_frequencies(config.rope);
  rope_.multiplier = rope_cos_sin_factor(config.rope);
  rope_.interleaved = config.rope.pairs == RopePairs::adjacent;
  softmax_scale_ = static_cast<float>(attention_softmax_scale(config));
}

const ops::Routing* Decoder::layer(const PreparedLayer& layer, const PassInput& pass, KvPool& pool,
                                   int pool_layer, ops::Rows x) {
  attention(layer, pass, pool, pool_layer, x);
  return mlp(layer, x);
}

void Decoder::idle(const PreparedLayer& layer) const {
  if (!layer.is_moe()) return;
  backend_.experts(layer.routed.views, router_.top_k, {}, {nullptr, 0, config_.hidden, config_.hidden},
                   {nullptr, 0, config_.hidden, config_.hidden});
}

void Decoder::trim() {
  for (Buffer<float>* buffer : {&normed_, &chunk_a_, &chunk_b_, &chunk_c_, &query_, &experts_, &logits_}) {
    buffer->drop();
  }
  local_kv_.drop();
  expanded_.drop();
}

size_t workspace_bytes(const ModelConfig& config, DeviceKind device, ops::KvType kv_type, int64_t rows,
                       int64_t ancestors) {
  const bool gpu = device == DeviceKind::cuda;
  const int64_t most = gpu ? ops::kGpuRowsAtOnce : kChunk, chunk = std::min(rows, most);
  const int64_t kv_bytes = kv_type_bytes(kv_type);
  const int64_t hidden = config.hidden;
  int64_t floats = rows * hidden;  // normed
  int64_t query = config.heads * config.head_dim;
  int64_t bytes = (rows + ancestors) * kv_width(config) * kv_bytes;
  if (config.mla) {
    const int64_t pair = config.heads * (config.mla->nope_dim + config.mla->v_dim);
    bytes += (rows + ancestors) * pair * kv_bytes;
    floats += most * (pair + config.mla->kv_lora_rank);
    query = std::max(query, config.heads * kv_width(config));
  }
  floats += chunk * (query + 2 * std::max(hidden, config.heads * config.v_head_dim()) +
                     2 * std::max(config.dense_hidden, config.moe.shared_experts *
                                                            config.moe.expert_hidden));
  if (config.moe.routed_experts > 0) {
    // Combined output and router logits; the backend's rows between an expert's products, for as
    // many experts at a time as fit 64 MiB, but for one at least (which all rows may have chosen).
    floats += rows * (hidden + config.moe.routed_experts);
    const int64_t row = hidden + config.moe.expert_hidden;
    if (gpu) {
      // All entries of as many rows as the limit allows, packed operands among them; the router's operand.
      const int64_t entry = row * 4 + std::max(hidden, config.moe.expert_hidden) * 4 + 20;
      bytes += std::min(ops::kGpuExpertBytes, rows * config.moe.experts_per_token * entry) + rows * hidden * 4;
    } else {
      floats += std::max(rows * row,
                         std::min(kExpertFloats, rows * config.moe.experts_per_token * row));
    }
  }
  // Activations as the products want them, at most 48 MiB at a time.
  const int64_t packed = chunk * 4 * std::max({hidden, config.dense_hidden, query});
  bytes += gpu ? packed : std::min(kPackedBytes, rows * 4 * std::max({hidden, config.dense_hidden, query}));
  return static_cast<size_t>(floats * static_cast<int64_t>(sizeof(float)) + bytes);
}

void Decoder::gated(const PreparedMlp& mlp, ops::ConstRows normed, ops::Rows accumulator) {
  const int64_t chunk = std::min(normed.rows, mlp_rows_);
  const ops::Rows gate = matrix(chunk_a_, chunk, mlp.gate_up->n / 2);
  const ops::Rows down = matrix(chunk_b_, chunk, config_.hidden);
  const ops::ExpertWeights weights{mlp.gate_up.get(), mlp.down.get()};
  for (int64_t row = 0; row < normed.rows; row += mlp_rows_) {
    const int64_t n = std::min(mlp_rows_, normed.rows - row);
    backend_.mlp(weights, {normed.row(row), n, normed.cols, normed.stride}, slice(gate, 0, n),
                 slice(down, 0, n));
    backend_.add(slice(accumulator, row, n), slice(down, 0, n));
  }
}

const ops::Routing* Decoder::mlp(const PreparedLayer& layer, ops::Rows x) {
  const ops::Rows normed = matrix(normed_, x.rows, x.cols);
  backend_.rms_norm(x, layer.post_attention_norm.data(), config_.norm_eps, normed);
  if (!layer.is_moe()) {
    gated(layer.mlp, normed, x);
    return nullptr;
  }
  const ops::Rows logits = matrix(logits_, x.rows, layer.router->n);
  backend_.linear(*layer.router, normed, nullptr, logits);
  router_.bias = layer.router_bias.empty() ? nullptr : layer.router_bias.data();
  backend_.route(router_, logits, routing_);
  // Routed experts in ascending order, then the shared ones, then the residual stream.
  const ops::Rows sum = matrix(experts_, x.rows, x.cols);
  backend_.experts(layer.routed.views, router_.top_k, routing_, normed, sum);
  if (layer.mlp.gate_up) gated(layer.mlp, normed, sum);
  backend_.add(x, sum);
  return &routing_;
}

}  // namespace assay::engine::model
