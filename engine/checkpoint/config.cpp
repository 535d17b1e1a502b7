// Parsing of config.json. Defaults that are applied, because released files leave the key out and
// the published configuration class defines it:
//   llama: rope_theta 10000, num_key_value_heads = num_attention_heads (Llama 1 and 2)
//   llama, qwen2: head_dim = hidden_size / num_attention_heads
//   all: tie_word_embeddings false, hidden_act silu, attention_bias and mlp_bias false
//   deepseek_v3: topk_method noaux_tc, scoring_func sigmoid; deepseek_v2: scoring_func softmax
//   yarn: beta_fast 32, beta_slow 1, mscale 1, mscale_all_dim 0, truncate true; but for DeepSeek,
//   mscale counts only where both are given (transformers modeling_rope_utils.py)
//   quantization_config: fmt e4m3, activation_scheme dynamic (transformers leaves fmt out)
#include "engine/checkpoint/config.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "engine/checkpoint/config_reader.h"

namespace assay::engine {

namespace {

struct FamilyName {
  std::string_view model_type, architecture;
  Family family;
};
constexpr std::array<FamilyName, 8> kFamilies = {{
    {"deepseek_v3", "DeepseekV3ForCausalLM", Family::deepseek_v3},
    {"kimi_k2", "DeepseekV3ForCausalLM", Family::deepseek_v3},
    {"deepseek_v32", "DeepseekV32ForCausalLM", Family::deepseek_v3},
    {"deepseek_v2", "DeepseekV2ForCausalLM", Family::deepseek_v2},
    {"llama", "LlamaForCausalLM", Family::llama},
    {"qwen2", "Qwen2ForCausalLM", Family::qwen2},
    {"qwen3", "Qwen3ForCausalLM", Family::qwen3},
    {"qwen3_moe", "Qwen3MoeForCausalLM", Family::qwen3_moe},
}};

const FamilyName& find_family(ConfigReader& reader) {
  std::string known;
  const std::string model_type(reader.required("model_type").string());
  for (const FamilyName& f : kFamilies) {
    known += (known.empty() ? "" : ", ") + std::string(f.model_type);
    if (f.model_type != model_type) continue;
    const json::Value architectures = reader.optional("architectures");
    if (architectures.exists()) {
      const auto names = architectures.strings();
      if (std::find(names.begin(), names.end(), f.architecture) == names.end())
        architectures.fail("does not name " + std::string(f.architecture) + ", which model_type " +
                           model_type + " means");
    }
    return f;
  }
  throw_bad_input("architecture \"" + model_type + "\" is not supported",
                  reader.where("model_type"), "supported: " + known);
}

void read_rope(ConfigReader& reader, ModelConfig& config) {
  RopeConfig& rope = config.rope;
  rope.pairs = config.mla ? RopePairs::adjacent : RopePairs::halves;
  if (config.mla) {
    if (config.family == Family::deepseek_v3) {  // transformers' class has the other layout too
      if (!reader.boolean_or("rope_interleave", true)) rope.pairs = RopePairs::halves;
    } else {
      reader.demand_if_there("rope_interleave", true);
    }
  }
  rope.dim = config.mla ? config.mla->rope_dim : config.head_dim;
  if (rope.dim % 2 != 0)
    throw_bad_input(
        "rotary embedding needs an even number of dimensions, not " + std::to_string(rope.dim),
        reader.where(config.mla ? "qk_rope_head_dim" : "head_dim"));
  // Transformers 5 writes rope_parameters (with rope_theta inside) instead of rope_scaling.
  const json::Value scaling = reader.optional("rope_scaling");
  const json::Value parameters = reader.optional("rope_parameters");
  if (scaling.exists() && parameters.exists() && scaling.dump(true) != parameters.dump(true))
    scaling.fail("contradicts rope_parameters: " + scaling.dump() + " against " +
                 parameters.dump());
  const json::Value node = parameters.exists() ? parameters : scaling;
  const json::Value theta = reader.optional("rope_theta");
  const json::Value inner_theta = node.exists() ? node.find("rope_theta") : json::Value();
  if (theta.exists() && inner_theta.exists() && theta.number() != inner_theta.number())
    theta.fail("contradicts rope_theta in " + inner_theta.where() + ": " + theta.dump() +
               " against " + inner_theta.dump());
  if (theta.exists() || inner_theta.exists())
    rope.theta = (theta.exists() ? theta : inner_theta).number();
  else if (config.family != Family::llama)
    reader.fail_missing("rope_theta");
  if (!(rope.theta > 1)) throw_bad_input("must be above 1", reader.where("rope_theta"));
  if (!node.exists()) return;

  ConfigReader r(node, config.source);
  const json::Value type = r.optional("rope_type"), old_type = r.optional("type");
  if (type.exists() && old_type.exists() && type.string() != old_type.string())
    type.fail("contradicts \"type\": " + type.dump() + " against " + old_type.dump());
  if (!type.exists() && !old_type.exists()) r.fail_missing("rope_type");
  const std::string name((type.exists() ? type : old_type).string());
  r.ignore({"rope_theta"});
  if (name == "default") {
    rope.scaling = RopeScaling::none;
  } else if (name == "yarn" || name == "llama3") {
    rope.scaling = name == "yarn" ? RopeScaling::yarn : RopeScaling::llama3;
    rope.factor = r.positive("factor");
    if (rope.factor < 1) node.at("factor").fail("must be at least 1");
    rope.original_context = r.count("original_max_position_embeddings");
    if (name == "yarn") {
      rope.truncate = r.boolean_or("truncate", true);
      if (r.optional("attention_factor").exists())
        rope.attention_factor = r.positive("attention_factor");
      rope.beta_fast = r.number_or("beta_fast", 32);
      rope.beta_slow = r.number_or("beta_slow", 1);
      rope.mscale = r.number_or("mscale", 1);
      rope.mscale_all_dim = r.number_or("mscale_all_dim", 0);
      if (!config.mla && (rope.mscale == 0 || rope.mscale_all_dim == 0)) {
        rope.mscale = 1;
        rope.mscale_all_dim = 0;
      }
      if (!(rope.beta_slow > 0) || rope.beta_fast < rope.beta_slow)
        node.fail("beta_fast must be at least beta_slow, and both positive");
    } else {
      rope.low_freq_factor = r.positive("low_freq_factor");
      rope.high_freq_factor = r.positive("high_freq_factor");
      if (rope.high_freq_factor <= rope.low_freq_factor)
        node.fail("high_freq_factor must be above low_freq_factor");
    }
  } else {
    (type.exists() ? type : old_type)
        .fail("rope scaling \"" + name + "\" is not supported", "supported: default, yarn, llama3");
  }
  r.refuse_unread();
}

void read_quantization(ConfigReader& reader, ModelConfig& config) {
  const json::Value node = reader.optional("quantization_config");
  if (!node.exists()) return;
  ConfigReader r(node, config.source);
  r.demand("quant_method", "fp8");
  r.demand("fmt", "e4m3", true);
  r.demand("activation_scheme", "dynamic", true);
  const json::Value block = r.required("weight_block_size");
  if (!block.is_array() || block.size() != 2 || block[0].integer() != 128 ||
      block[1].integer() != 128)
    block.fail("only [128, 128] is supported, not " + block.dump());
  const json::Value format = r.optional("scale_fmt");
  if (format.exists() && format.string() != "ue8m0")
    format.fail("scale format " + format.dump() + " is not supported", "supported: ue8m0, or none");
  config.ue8m0_scales = format.exists();
  config.fp8_weights = true;
  // The dtype of each tensor says whether it was converted.
  r.ignore({"modules_to_not_convert", "ignored_layers", "dequantize"});
  r.refuse_unread();
}

void read_grouped_attention(ConfigReader& reader, ModelConfig& config) {
  config.kv_heads = config.heads;
  if (reader.optional("num_key_value_heads").exists())
    config.kv_heads = reader.count("num_key_value_heads");
  else if (config.family != Family::llama)
    reader.fail_missing("num_key_value_heads");
  if (config.heads % config.kv_heads != 0)
    throw_bad_input("is no divisor of num_attention_heads: " + std::to_string(config.kv_heads) +
                        " against " + std::to_string(config.heads),
                    reader.where("num_key_value_heads"));
  const bool qwen3 = config.family == Family::qwen3 || config.family == Family::qwen3_moe;
  if (qwen3 || reader.optional("head_dim").exists()) {
    config.head_dim = reader.count("head_dim");
  } else {
    if (config.hidden % config.heads != 0)
      throw_bad_input("is no divisor of hidden_size: " + std::to_string(config.heads) +
                          " against " + std::to_string(config.hidden),
                      reader.where("num_attention_heads"));
    config.head_dim = config.hidden / config.heads;
  }
  config.qkv_bias = config.family == Family::qwen2 || config.o_bias;
  config.qk_norm = qwen3;
}

void read_latent_attention(ConfigReader& reader, ModelConfig& config) {
  MlaConfig mla;
  if (reader.required_or_null("q_lora_rank").exists())
    mla.q_lora_rank = reader.count("q_lora_rank");
  mla.kv_lora_rank = reader.count("kv_lora_rank");
  mla.nope_dim = reader.count("qk_nope_head_dim");
  mla.rope_dim = reader.count("qk_rope_head_dim");
  mla.v_dim = reader.count("v_head_dim");
  config.mla = mla;
  config.head_dim = mla.nope_dim + mla.rope_dim;
  config.kv_heads = config.heads;
  if (reader.optional("num_key_value_heads").exists() &&
      reader.count("num_key_value_heads") != config.heads)
    throw_bad_input("must equal num_attention_heads under latent attention: " +
                        std::to_string(reader.count("num_key_value_heads")) + " against " +
                        std::to_string(config.heads),
                    reader.where("num_key_value_heads"));
  // Written by transformers, derived from the keys above.
  for (const char* key : {"qk_head_dim", "head_dim"}) {
    const json::Value value = reader.optional(key);
    if (!value.exists() || value.integer() == config.head_dim) continue;
    if (std::string_view(key) == "head_dim" && value.integer() == mla.rope_dim) continue;
    value.fail("contradicts qk_nope_head_dim + qk_rope_head_dim: " + value.dump() + " against " +
               std::to_string(config.head_dim));
  }
}

void check_experts(ConfigReader& reader, const ModelConfig& config) {
  const MoeConfig& moe = config.moe;
  const auto against = [](int64_t a, int64_t b) {
    return std::to_string(a) + " against " + std::to_string(b);
  };
  if (moe.groups > 1) {
    if (moe.routed_experts % moe.groups != 0)
      throw_bad_input("does not divide the number of routed experts: " +
                          against(moe.groups, moe.routed_experts),
                      reader.where("n_group"));
    if (moe.group_score == GroupScore::top2_sum && moe.routed_experts / moe.groups < 2)
      throw_bad_input("groups of one expert cannot be rated by their two best",
                      reader.where("n_group"));
    if (moe.kept_groups > moe.groups)
      throw_bad_input("is above n_group: " + against(moe.kept_groups, moe.groups),
                      reader.where("topk_group"));
  }
  const int64_t reachable = moe.routed_experts / moe.groups * moe.kept_groups;
  if (moe.experts_per_token > reachable)
    throw_bad_input("is above the number of experts that may be chosen from: " +
                        against(moe.experts_per_token, reachable),
                    reader.where("num_experts_per_tok"));
}

void read_deepseek_experts(ConfigReader& reader, ModelConfig& config) {
  const bool v3 = config.family == Family::deepseek_v3;
  MoeConfig& moe = config.moe;
  if (!reader.required_or_null("n_routed_experts").exists()) {  // a dense model
    reader.ignore({"first_k_dense_replace", "num_experts_per_tok", "moe_intermediate_size",
                   "n_shared_experts", "n_group", "topk_group", "scoring_func", "topk_method",
                   "norm_topk_prob", "routed_scaling_factor", "moe_layer_freq"});
    return;
  }
  moe.routed_experts = reader.count("n_routed_experts", 1, 4096);
  moe.first_layer = reader.count("first_k_dense_replace", 0);
  if (reader.optional("moe_layer_freq").exists()) moe.every = reader.count("moe_layer_freq");
  moe.experts_per_token = reader.count("num_experts_per_tok");
  moe.expert_hidden = reader.count("moe_intermediate_size");
  if (reader.optional("n_shared_experts").exists())
    moe.shared_experts = reader.count("n_shared_experts", 0);
  const bool normalize =
      v3 ? reader.required("norm_topk_prob").boolean() : reader.boolean_or("norm_topk_prob", false);
  const double scaling = reader.positive("routed_scaling_factor");

  reader.demand("scoring_func", v3 ? "sigmoid" : "softmax", true);
  moe.score = v3 ? RouterScore::sigmoid : RouterScore::softmax;
  moe.selection_bias = v3;
  moe.group_score = v3 ? GroupScore::top2_sum : GroupScore::maximum;
  std::string method = "noaux_tc";
  if (v3) {
    reader.demand("topk_method", "noaux_tc", true);
  } else {
    method = std::string(reader.required("topk_method").string());
    if (method != "greedy" && method != "group_limited_greedy")
      reader.required("topk_method")
          .fail("\"" + method + "\" is not supported for deepseek_v2",
                "supported: greedy, group_limited_greedy");
  }
  if (method == "greedy") {
    reader.ignore({"n_group", "topk_group"});
  } else {
    moe.groups = reader.count("n_group");
    moe.kept_groups = reader.count("topk_group");
  }
  // DeepSeek-V2's own gate either normalises or scales (modeling_deepseek.py, MoEGate.forward);
  // V3 does both.
  moe.normalize_weights = v3 ? normalize : normalize && moe.experts_per_token > 1;
  moe.weight_scale = !v3 && moe.normalize_weights ? 1.0 : scaling;
  check_experts(reader, config);
}

void read_qwen3_experts(ConfigReader& reader, ModelConfig& config) {
  MoeConfig& moe = config.moe;
  if (reader.optional("decoder_sparse_step").exists())
    moe.every = reader.count("decoder_sparse_step");
  moe.phase = 1;
  const json::Value dense = reader.optional("mlp_only_layers");
  if (dense.exists())
    dense.for_each_element([&](json::Value v) { moe.dense_layers.push_back(v.integer()); });
  // Transformers 5 writes num_local_experts.
  const json::Value experts = reader.optional("num_experts");
  const json::Value local = reader.optional("num_local_experts");
  if (experts.exists() && local.exists() && experts.integer() != local.integer())
    experts.fail("contradicts num_local_experts: " + experts.dump() + " against " + local.dump());
  moe.routed_experts = reader.count(
      local.exists() && !experts.exists() ? "num_local_experts" : "num_experts", 1, 4096);
  moe.experts_per_token = reader.count("num_experts_per_tok");
  moe.expert_hidden = reader.count("moe_intermediate_size");
  moe.normalize_weights = reader.required("norm_topk_prob").boolean();
  check_experts(reader, config);
}

void read_layer_types(ConfigReader& reader) {
  const json::Value types = reader.optional("layer_types");
  if (!types.exists()) return;
  types.for_each_element([](json::Value type) {
    if (type.string() != "full_attention")
      type.fail(type.dump() + " layers are not supported", "supported: full_attention");
  });
}

void read_indexer(ConfigReader& reader, ModelConfig& config) {
  if (config.model_type != "deepseek_v32") return;
  // Sparse attention keeps the index_topk best positions: up to that many tokens it keeps all.
  config.indexer_topk = reader.count("index_topk");
  reader.ignore({"index_n_heads", "index_head_dim"});
  if (config.context_length > config.indexer_topk) {
    config.context_length = config.indexer_topk;
    config.notes.push_back("sparse attention: computed as dense attention, which is exact up to " +
                           std::to_string(config.indexer_topk) +
                           " tokens; longer sequences are refused");
  }
}

}  // namespace

std::string_view family_name(Family family) {
  for (const FamilyName& f : kFamilies)
    if (f.family == family) return f.model_type;
  return "?";
}

bool ModelConfig::is_moe_layer(int64_t layer) const {
  return moe.routed_experts > 0 && layer >= moe.first_layer &&
         (layer + moe.phase) % moe.every == 0 &&
         std::find(moe.dense_layers.begin(), moe.dense_layers.end(), layer) ==
             moe.dense_layers.end();
}

ModelConfig parse_config(json::Value root, std::string source) {
  ModelConfig config;
  config.source = std::move(source);
  if (!root.is_object()) root.fail("expected an object");
  ConfigReader reader(root, config.source);
  config.family = find_family(reader).family;
  config.model_type = std::string(reader.required("model_type").string());

  // The limits keep sizes derived from a hostile file within 64 bits and memory.
  config.layers = reader.count("num_hidden_layers", 1, 4096);
  config.hidden = reader.count("hidden_size");
  config.vocabulary = reader.count("vocab_size");
  config.context_length = reader.count("max_position_embeddings", 1, int64_t{1} << 30);
  config.dense_hidden = reader.count("intermediate_size");
  config.heads = reader.count("num_attention_heads");
  config.norm_eps = reader.positive("rms_norm_eps");
  config.tied_head = reader.boolean_or("tie_word_embeddings", false);
  reader.demand("hidden_act", "silu", true);
  for (const char* key : {"mlp_bias", "use_sliding_window", "use_mrope"})
    reader.demand_if_there(key, false);
  if (config.family == Family::qwen2)
    reader.demand_if_there("attention_bias", false);  // its class has no such key
  else
    config.o_bias = reader.boolean_or("attention_bias", false);
  if (config.family == Family::qwen2 || config.family == Family::qwen3 ||
      config.family == Family::qwen3_moe)
    reader.ignore({"sliding_window", "max_window_layers"});  // switched off by use_sliding_window
  read_layer_types(reader);

  const bool deepseek =
      config.family == Family::deepseek_v3 || config.family == Family::deepseek_v2;
  if (deepseek) {
    read_latent_attention(reader, config);
    read_deepseek_experts(reader, config);
    read_indexer(reader, config);
    if (config.family == Family::deepseek_v3) {
      config.mtp_layers = reader.optional("num_nextn_predict_layers").exists()
                              ? reader.count("num_nextn_predict_layers", 0)
                              : 0;
      if (config.mtp_layers > 1)
        throw_bad_input("more than one is not supported", reader.where("num_nextn_predict_layers"));
    }
  } else {
    read_grouped_attention(reader, config);
    if (config.family == Family::qwen3_moe) read_qwen3_experts(reader, config);
  }
  read_rope(reader, config);
  read_quantization(reader, config);
  if (reader.optional("training_step").exists())
    config.training_step = reader.count("training_step", 0, int64_t{1} << 53);
  if (reader.optional("training_tokens").exists())
    config.training_tokens = reader.count("training_tokens", 0, int64_t{1} << 53);
  reader.ignore_harmless();
  reader.refuse_unread();
  return config;
}

ModelConfig load_config(const std::filesystem::path& file) {
  const json::Document document = json::Document::load(file);
  return parse_config(document.root(), file.string());
}

}  // namespace assay::engine
