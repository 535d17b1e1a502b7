// config.json of a Hugging Face checkpoint -> ModelConfig, one plain struct for every family.
//
// Strict: a key that changes the mathematics and is not understood, a value outside what the
// program computes, and keys that contradict each other are refused with bad_input naming file and
// key. Nothing is guessed: a default is applied only where the family's published configuration
// class defines one and released files leave the key out (each is listed in config.cpp).
// Plain data; immutable after parsing, freely copied and read by many threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace assay::engine {

enum class Family { deepseek_v3, deepseek_v2, llama, qwen2, qwen3, qwen3_moe };
std::string_view family_name(Family family);

// Which dimensions rotate together: 2i with 2i+1 (DeepSeek), or i with i + dim/2 (the others).
enum class RopePairs { adjacent, halves };
enum class RopeScaling { none, yarn, llama3 };

struct RopeConfig {
  RopePairs pairs = RopePairs::halves;
  RopeScaling scaling = RopeScaling::none;
  int64_t dim = 0;  // rotated dimensions of a head (even)
  double theta = 10000;
  double factor = 1;             // yarn, llama3
  int64_t original_context = 0;  // yarn, llama3: original_max_position_embeddings
  double beta_fast = 32, beta_slow = 1, mscale = 1, mscale_all_dim = 0;  // yarn
  bool truncate = true;                    // yarn: the ramp's ends are whole dimensions
  std::optional<double> attention_factor;  // yarn: on cos and sin, instead of what mscale gives
  double low_freq_factor = 1, high_freq_factor = 4;                      // llama3
};

// Router score of an expert, from the logits of all routed experts.
enum class RouterScore { sigmoid, softmax };
// How a group of experts is rated when only the best `kept_groups` groups may be chosen from.
enum class GroupScore { top2_sum, maximum };

struct MoeConfig {
  // MoE layers: from first_layer on, those whose number plus `phase` is a multiple of `every`,
  // without the ones named dense.
  int64_t first_layer = 0, every = 1, phase = 0;
  std::vector<int64_t> dense_layers;
  int64_t routed_experts = 0;  // 0: a dense model
  int64_t experts_per_token = 0;
  int64_t expert_hidden = 0;   // width of one expert's MLP
  int64_t shared_experts = 0;  // one MLP of width shared_experts * expert_hidden; 0: none
  RouterScore score = RouterScore::softmax;
  GroupScore group_score = GroupScore::maximum;
  int64_t groups = 1, kept_groups = 1;  // 1, 1: no group limit
  bool selection_bias = false;          // e_score_correction_bias, added for selection only
  bool normalize_weights = false;       // weights divided by (their sum + 1e-20)
  double weight_scale = 1;              // routed_scaling_factor, applied last
};

struct MlaConfig {
  int64_t q_lora_rank = 0;  // 0: q_proj directly
  int64_t kv_lora_rank = 0;
  int64_t nope_dim = 0, rope_dim = 0, v_dim = 0;  // per head
};

struct ModelConfig {
  Family family = Family::llama;
  std::string model_type;  // as in the file: "deepseek_v3", "kimi_k2", ...
  std::string source;      // path of the file, for messages

  int64_t layers = 0, hidden = 0, vocabulary = 0;
  int64_t context_length = 0;  // tokens; with a sparse-attention indexer at most its top-k
  int64_t dense_hidden = 0;    // width of the dense layers' MLP (intermediate_size)
  double norm_eps = 1e-6;

  // Attention. MLA where `mla` is set, else grouped-query attention.
  std::optional<MlaConfig> mla;
  int64_t heads = 0;
  int64_t kv_heads = 0;   // MLA: equals heads
  int64_t head_dim = 0;   // width of q and k per head (MLA: nope_dim + rope_dim)
  bool qkv_bias = false;  // Qwen2; others with attention_bias
  bool o_bias = false;    // attention_bias; MLA: also q_a and kv_a then
  bool qk_norm = false;   // Qwen3: RMSNorm over each head of q and k, before rotation
  RopeConfig rope;

  MoeConfig moe;
  bool tied_head = false;    // the head is the embedding matrix
  int64_t mtp_layers = 0;    // num_nextn_predict_layers; 0 or 1
  int64_t indexer_topk = 0;  // DeepSeek-V3.2: context up to which dense attention is exact

  // FP8 weights: e4m3 with an fp32 scale per block of scale_block x scale_block.
  bool fp8_weights = false;
  int64_t scale_block = 128;
  bool ue8m0_scales = false;  // scale_fmt "ue8m0": scales are powers of two

  std::optional<int64_t> training_step, training_tokens;
  std::vector<std::string> notes;  // keys that were seen, do not matter, and deserve a word

  bool is_moe_layer(int64_t layer) const;
  // Width of one token's attention input to o_proj, and of v per head.
  int64_t v_head_dim() const { return mla ? mla->v_dim : head_dim; }
};

// The two latent norms of MLA keep the class default whatever rms_norm_eps says
// (modeling_deepseek.py: DeepseekV3RMSNorm(self.q_lora_rank), eps=1e-6).
inline constexpr double kLatentNormEps = 1e-6;

ModelConfig parse_config(json::Value root, std::string source);
ModelConfig load_config(const std::filesystem::path& file);

// Parameters a checkpoint of this configuration has. Scales of FP8 blocks and router biases are
// counted as DeepSeek counts them: scales not, biases yes.
struct ParameterCount {
  uint64_t total = 0;   // without MTP; a tied head counts once
  uint64_t active = 0;  // used per token: chosen and shared experts; one row of the embedding
  uint64_t mtp = 0;     // what the MTP layer adds beyond its copies of embedding and head
};
ParameterCount count_parameters(const ModelConfig& config);

}  // namespace assay::engine
