// How a memory budget is divided among weights, kept KV and the workspace of a pass.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "engine/checkpoint/config.h"
#include "engine/engine.h"
#include "engine/execute/layer_store.h"
#include "engine/execute/plan.h"
#include "engine/execute/ranks.h"
#include "engine/execute/streaming_plan.h"
#include "engine/ops/ops.h"

namespace assay::engine {

// What of a model one of several ranks holds.
struct ModelShare {
  LayerRange layers;     // end 0: all
  int expert_ranks = 1;  // the routed experts are shared out among so many
};

struct MemoryPlan {
  size_t budget = 0;
  DeviceKind device = DeviceKind::cpu;
  Numerics numerics = Numerics::fp32;
  size_t weight_bytes = 0;    // all prepared weights
  size_t held_bytes = 0;      // of these at any time: resident ones and two buffers
  size_t kept_on_host = 0;    // of a GPU's streamed weights, in host memory
  bool streamed = false;
  Residency residency;        // of a streamed model
  StreamingPlan streaming;    // what every pass moves
  ops::KvType kv_type = ops::KvType::f32;
  size_t kv_token_bytes = 0;  // one token's KV of all layers of the share
  int expert_ranks = 1;
  int64_t pass_tokens = 0;
  int64_t kept_tokens = 0;          // scoring: longest kept path; generation: KV slots
  int64_t free_ancestors = 0, row_ancestors = 1;  // kept positions in a pass: PlanLimits
  int64_t sequences = 0;            // generation: that advance together, at most
  PlanLimits limits() const {
    return {pass_tokens, kept_tokens, 16 << 20, free_ancestors, row_ancestors};
  }
  // Generation: rows of a pass of prompts, of which the longest has so many tokens. Prompts of a pass continue each
  // other's, so that their ancestors are hardly more than one prompt.
  int64_t prompt_pass_tokens(int64_t longest) const;
};

// What a pass of `rows` rows behind `ancestors` kept positions (expanded form) holds beside weights and kept KV,
// at most. `expert_ranks`: see ModelShare.
size_t pass_memory(const ModelConfig& config, DeviceKind device, ops::KvType kv_type, int64_t rows,
                   int64_t ancestors = 0, int expert_ranks = 1);

// The most that a pass and what is kept beside it hold; weights aside.
size_t schedule_memory(const MemoryPlan& memory, const ModelConfig& config, std::span<const PassPlan> passes);

// The same of generation: `prompt_rows` rows of prompts, `tokens` with all that may be generated, the longest
// prompt of `longest`.
struct GenerationMemory {
  size_t kv = 0, pass = 0;
};
GenerationMemory generation_memory(const MemoryPlan& memory, const ModelConfig& config, int64_t prompt_rows,
                                   int64_t tokens, int64_t longest);

// Throws resource if the weights held and `bytes` beside them exceed the budget: a long request needs all of its
// positions at once, whatever the size of a pass.
void check_budget(const MemoryPlan& memory, const ModelConfig& config, size_t bytes);

// Bytes of the machine's memory that the program may count on.
size_t available_memory();

// `options`: on_device()'s. Throws resource if not even a small pass fits. `absorbed`: generation's extra
// weights are counted.
MemoryPlan plan_memory(const ModelConfig& config, Numerics numerics, const EngineOptions& options,
                       bool absorbed, const ModelShare& share = {});

// Stages of about equal weights, at least a layer each; the first also has the embedding, the last the
// head. At most as many as layers.
std::vector<LayerRange> cut_layers(const ModelConfig& config, Numerics numerics, int stages);

// `asked`, or `natural` (what the weights are) for automatic; refuses FP8 modes for weights that are
// not FP8 (usage).
Numerics resolve_numerics(Numerics asked, Numerics natural);

}  // namespace assay::engine
