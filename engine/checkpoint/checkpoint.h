// A Hugging Face checkpoint directory, opened: configuration, tensors, and which tensor is what.
//
// Opening maps the files and validates everything that can be known without reading weights:
// safetensors headers (length, JSON, dtypes, shapes against offsets, overlaps, bounds), the index
// against the shards, the tensors against the configuration (every demanded one there, with its
// shape; none surplus except those listed in `notes`). What is wrong is bad_input naming file and
// tensor. Values are checked by check_finite (tensor.h) when a layer is loaded.
//
// A Checkpoint is immutable and thread-safe; views into it live as long as it does. Movable.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/checkpoint/config.h"
#include "engine/checkpoint/tensor.h"
#include "engine/engine.h"

namespace assay::engine {

// Absent parts are empty views (rank 0). Shapes are [out, in] as stored.
struct AttentionWeights {
  // MLA. Where q_lora_rank is 0: `q` instead of q_a, q_a_norm, q_b.
  TensorView q_a;        // [q_lora_rank, hidden]
  TensorView q_a_norm;   // [q_lora_rank]
  TensorView q_b;        // [heads * (nope + rope), q_lora_rank]
  TensorView kv_a;       // [kv_lora_rank + rope, hidden]: latent first, then the shared key part
  TensorView kv_a_norm;  // [kv_lora_rank]
  TensorView kv_b;       // [heads * (nope + v), kv_lora_rank]: per head k_nope, then v
  // Grouped-query attention (and q of MLA without q_lora).
  TensorView q, k, v;  // [heads * head_dim, hidden], [kv_heads * head_dim, hidden] x 2
  TensorView q_bias, k_bias, v_bias;  // Qwen2; with attention_bias Llama and Qwen3
  TensorView q_a_bias, kv_a_bias;     // MLA with attention_bias
  TensorView o_bias;                  // attention_bias
  TensorView q_norm, k_norm;          // [head_dim]; Qwen3
  TensorView o;                       // [hidden, heads * v_head_dim]
};

struct MlpWeights {
  TensorView gate, up;  // [width, hidden]
  TensorView down;      // [hidden, width]; y = down(silu(gate x) * up x)
};

struct LayerWeights {
  TensorView input_norm, post_attention_norm;  // [hidden]
  AttentionWeights attention;
  MlpWeights mlp;                   // dense layers
  TensorView router;                // [routed_experts, hidden]; MoE layers
  TensorView router_bias;           // [routed_experts]
  std::vector<MlpWeights> experts;  // routed
  MlpWeights shared;                // width shared_experts * expert_hidden
};

// Multi-token prediction: x_i = eh_proj [enorm(embed(t[i+1])); hnorm(h_i)], layer, norm, head.
struct MtpWeights {
  TensorView embedding, enorm, hnorm;  // [vocabulary, hidden], [hidden], [hidden]
  TensorView eh_proj;                  // [hidden, 2 * hidden]: embedding first
  LayerWeights layer;
  TensorView norm, head;  // [hidden], [vocabulary, hidden]
};

// The tensors that a layer has, the routed experts apart.
std::vector<TensorView> tensors_of(const LayerWeights& layer);
std::vector<TensorView> tensors_of(std::span<const MlpWeights> experts);

struct ModelWeights {
  TensorView embedding;  // [vocabulary, hidden]
  std::vector<LayerWeights> layers;
  TensorView norm;                // [hidden]
  TensorView head;                // [vocabulary, hidden]; the embedding where the head is tied
  std::optional<MtpWeights> mtp;  // where the checkpoint holds it
};

// What Numerics::automatic means for these weights: fp8_weights where a linear layer is FP8, bf16
// where every matrix is BF16, else fp32 (F32 and F16 hold more than bf16 keeps).
Numerics numerics_of_weights(std::span<const TensorView> tensors);

class Checkpoint {
 public:
  // `config_file` replaces <directory>/config.json if not empty.
  static Checkpoint open(const std::filesystem::path& directory,
                         const std::filesystem::path& config_file = {});
  // Random weights in the shape of `config`, made in memory (random_weights.h): for measuring speed.
  static Checkpoint random(const ModelConfig& config);
  ~Checkpoint();
  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;

  const std::filesystem::path& directory() const;
  const ModelConfig& config() const;
  const ModelWeights& weights() const;
  // Every tensor of the model, MTP included (scales excluded: they hang on their weight), by name.
  std::span<const TensorView> tensors() const;
  // Empty view if there is none.
  TensorView find(std::string_view name) const;
  const std::filesystem::path& shard_path(int shard) const;
  // Oddities that do not matter for the results: ignored tensors, an unused MTP layer.
  const std::vector<std::string>& notes() const;

  // check_finite on one tensor of this checkpoint, with the right file name. Once a tensor: what was
  // found good is not read again.
  void check_values(const TensorView& tensor, const Workers* workers = nullptr) const;
  // The same for a large table that is not read whole afterwards: a slice of rows at a time leaves the
  // process's memory before the next is read.
  void check_table(const TensorView& table, const Workers& workers) const;
  // The tensors will be read soon: the system is asked to fetch their pages from disk.
  void will_need(std::span<const TensorView> tensors) const;
  // The tensor will not be read soon: its pages of the mapped file leave this process's memory (not
  // the system's cache). Reading it again is allowed and maps them anew.
  void release_pages(const TensorView& tensor) const;

 private:
  struct State;
  // Calls `check` unless the tensor is known to be finite.
  template <class Check>
  void once(const TensorView& tensor, const Check& check) const;
  explicit Checkpoint(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace assay::engine
