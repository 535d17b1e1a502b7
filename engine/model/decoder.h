// The decoder of every supported architecture, written once over the op contracts.
//
// DESCRIPTION
//
// A Decoder runs one layer at a time over all rows of a pass, so that each weight meets all its
// tokens. Families differ in data, not in code: MLA or grouped-query attention, dense MLP or
// experts (numerics: sections 1-5, 8).
//
// MLA has two forms. Expanded: keys and values per head from the latent (kv_b), cheapest for many
// queries. Absorbed: attention in the latent space, cheapest for one query. They are not equal bit
// by bit, so the form of a token is a property of the request alone: prompt and scored tokens are
// always expanded, generated tokens always absorbed.
//
// Determinism: row r of the output is a function of the tokens on its path, whatever else is in the
// pass. Not thread-safe (the workspace is shared).
#pragma once

#include <cstdint>
#include <span>

#include "engine/checkpoint/config.h"
#include "engine/model/buffer.h"
#include "engine/model/kv_pool.h"
#include "engine/model/layer.h"
#include "engine/ops/ops.h"

namespace assay::engine::model {

enum class Form { expanded, absorbed };

// The rows of a pass; all spans have one element a row but for `segments` and `ancestors`.
struct PassInput {
  std::span<const int32_t> positions;
  // In row order, covering every row. Slots of the expanded form: 0 .. ancestors.size()-1 are the
  // ancestors, ancestors.size() + r is row r. Slots of the absorbed form are the pool's.
  std::span<const ops::Segment> segments;
  std::span<const int32_t> ancestors;  // pool slots; expanded form only
  std::span<const int32_t> store;      // pool slot that keeps the row's KV, or -1; absorbed: never -1
  Form form = Form::expanded;
};

// Upper bound of the memory that Decoder::layer uses for a pass, its rows of x excluded.
size_t workspace_bytes(const ModelConfig& config, DeviceKind device, ops::KvType kv_type, int64_t rows,
                       int64_t ancestors);

// The routing rule of the configuration; its bias is left null.
ops::Router router_of(const MoeConfig& moe);

class Decoder {
 public:
  Decoder(const ModelConfig& config, const ops::Backend& backend);

  // x [rows, hidden] -> the layer's output, in place. `pool_layer` is the layer's index in the pool.
  // Returns the routing of a MoE layer (valid until the next call; see Backend::read_routing), else
  // null.
  const ops::Routing* layer(const PreparedLayer& layer, const PassInput& pass, KvPool& pool,
                            int pool_layer, ops::Rows x);
  // A rank without rows takes its part in a layer that others compute.
  void idle(const PreparedLayer& layer) const;
  // Gives back the memory of intermediate results; what layer() returned is no longer valid.
  void trim();
  // What the last MoE layer returned, for Backend::read_routing.
  ops::Routing& routing() { return routing_; }

 private:
  void attention(const PreparedLayer& layer, const PassInput& pass, KvPool& pool, int pool_layer,
                 ops::Rows x);
  void make_kv(const PreparedLayer& layer, ops::ConstRows normed, const int32_t* positions,
               ops::Rows out) const;
  void queries(const PreparedLayer& layer, ops::ConstRows normed, const int32_t* positions,
               ops::Rows out);
  void expand(const PreparedLayer& layer, const std::byte* kv, int64_t rows);
  const ops::Routing* mlp(const PreparedLayer& layer, ops::Rows x);
  void gated(const PreparedMlp& mlp, ops::ConstRows normed, ops::Rows accumulator);

  const ModelConfig& config_;
  const ops::Backend& backend_;
  const int64_t attention_rows_, mlp_rows_;  // computed at once
  const ops::KvType kv_type_;
  const int64_t kv_width_;
  ops::RopeTable rope_;
  float softmax_scale_ = 0;
  ops::Router router_;
  ops::Routing routing_;

  // Row-wise work is cut into chunks of rows, which bounds what these hold.
  Buffer<float> normed_{backend_}, chunk_a_{backend_}, chunk_b_{backend_}, chunk_c_{backend_},
      query_{backend_}, experts_{backend_}, logits_{backend_};
  Buffer<std::byte> local_kv_{backend_}, expanded_{backend_};
};

}  // namespace assay::engine::model
