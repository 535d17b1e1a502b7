// Official config.json files, parameter counts against the published sizes, and what is refused.
#include "engine/checkpoint/config.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "engine/checkpoint/rope.h"
#include "tests/engine/reference_cases.h"
#include "tests/support/paths.h"

namespace assay::engine::test {
namespace {

const std::filesystem::path kConfigs = test_paths::shared() / "model-configs";

struct Published {
  const char* file;
  double total, active;  // 10^9 parameters as published (model cards, technical reports)
  double tolerance;      // of the total: half a unit of the last published digit, or a little more
};
// Kimi-K2: "1T total, 32B active"; DeepSeek-V2-Lite: "15.7B, 2.4B"; Llama-3.1 card; Qwen2.5 and
// Qwen3 cards. 0 where only the total is published.
constexpr Published kPublished[] = {
    {"DeepSeek-V3", 671, 37, 0.5},           {"DeepSeek-R1", 671, 37, 0.5},
    {"Kimi-K2-Instruct", 1026, 32, 1},       {"DeepSeek-V2.5", 236, 21, 0.5},
    {"DeepSeek-V2-Lite", 15.7, 2.4, 0.05},   {"Llama-3.1-8B", 8.03, 0, 0.005},
    {"Llama-3.1-70B", 70.6, 0, 0.06},        {"Llama-3.1-405B", 406, 0, 0.5},
    {"Qwen2.5-0.5B", 0.49, 0, 0.005},        {"Qwen2.5-3B", 3.09, 0, 0.005},
    {"Qwen2.5-7B", 7.61, 0, 0.01},           {"Qwen2.5-14B", 14.7, 0, 0.1},
    {"Qwen2.5-32B", 32.5, 0, 0.3},           {"Qwen2.5-72B", 72.7, 0, 0.05},
    {"Qwen2.5-72B-Instruct", 72.7, 0, 0.05}, {"Qwen3-0.6B", 0.6, 0, 0.005},
    {"Qwen3-30B-A3B", 30.5, 3.3, 0.05},      {"Qwen3-235B-A22B", 235, 22, 0.5}};

TEST(OfficialConfigs, ParseAndCountAsPublished) {
  ASSAY_NEED_SHARED("model-configs");
  for (const Published& p : kPublished) {
    SCOPED_TRACE(p.file);
    const ModelConfig config = load_config(kConfigs / (std::string(p.file) + ".json"));
    const ParameterCount count = count_parameters(config);
    EXPECT_NEAR(static_cast<double>(count.total) / 1e9, p.total, p.tolerance);
    if (p.active > 0) {  // publishers count the whole embedding or one row of it
      const double active = static_cast<double>(count.active) / 1e9;
      const double embedding = static_cast<double>(config.vocabulary * config.hidden) / 1e9;
      EXPECT_GE(p.active, 0.97 * active);
      EXPECT_LE(p.active, 1.03 * (active + embedding));
    } else {
      EXPECT_LE(count.active, count.total);
    }
  }
}

TEST(OfficialConfigs, AllOfThemParseButGpt2) {
  ASSAY_NEED_SHARED("model-configs");
  int parsed = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kConfigs)) {
    if (entry.path().extension() != ".json") continue;
    SCOPED_TRACE(entry.path());
    if (entry.path().stem() == "gpt2") {
      try {
        load_config(entry.path());
        ADD_FAILURE() << "gpt2 was accepted";
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::bad_input);
        EXPECT_NE(std::string(e.what()).find("architecture \"gpt2\" is not supported"),
                  std::string::npos);
      }
      continue;
    }
    EXPECT_NO_THROW(load_config(entry.path()));
    ++parsed;
  }
  EXPECT_EQ(parsed, 18);
}

TEST(OfficialConfigs, DeepSeekV3) {
  ASSAY_NEED_SHARED("model-configs");
  const ModelConfig c = load_config(kConfigs / "DeepSeek-V3.json");
  EXPECT_EQ(c.family, Family::deepseek_v3);
  EXPECT_EQ(c.moe.first_layer, 3);
  EXPECT_EQ(c.moe.groups, 8);
  EXPECT_EQ(c.moe.kept_groups, 4);
  EXPECT_TRUE(c.moe.selection_bias && c.moe.normalize_weights && c.fp8_weights);
  EXPECT_FALSE(c.tied_head || c.ue8m0_scales);
  EXPECT_EQ(c.head_dim, 192);
  EXPECT_EQ(c.v_head_dim(), 128);
  EXPECT_EQ(c.mtp_layers, 1);
  EXPECT_EQ(c.context_length, 163840);
  // README_WEIGHTS.md: "11.5B unique parameters", which leaves out eh_proj (7168 x 14336).
  EXPECT_NEAR(static_cast<double>(count_parameters(c).mtp) / 1e9 - 7168 * 14336 / 1e9, 11.5, 0.05);
}

TEST(Rope, UnitsOfReleasedConfigs) {
  ASSAY_NEED_SHARED("reference/units/rope.json");
  const auto document = json::Document::load(kReference / "units/rope.json");
  document.root().at("configs").for_each_element([](json::Value unit) {
    const std::string name(unit.at("config").string());
    SCOPED_TRACE(name);
    const ModelConfig config = load_config(kConfigs / (name + ".json"));
    const std::vector<double> expected = numbers(unit.at("inv_freq"));
    const std::vector<double> mine = rope_inverse_frequencies(config.rope);
    ASSERT_EQ(mine.size(), expected.size());
    for (size_t i = 0; i < mine.size(); ++i) EXPECT_NEAR(mine[i] / expected[i], 1, 1e-12) << i;
    EXPECT_NEAR(rope_cos_sin_factor(config.rope), unit.at("cos_sin_factor").number(), 1e-15);
    EXPECT_NEAR(attention_softmax_scale(config), unit.at("softmax_scale").number(), 1e-15);
    const bool adjacent = unit.at("layout").string().starts_with("pairs");
    EXPECT_EQ(config.rope.pairs, adjacent ? RopePairs::adjacent : RopePairs::halves);
  });
}

// --- what is refused -----------------------------------------------------------------------------

constexpr const char* kDeepSeek = R"({
  "model_type": "deepseek_v3", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
  "num_attention_heads": 3, "num_key_value_heads": 3, "vocab_size": 101, "rms_norm_eps": 1e-6,
  "max_position_embeddings": 512, "q_lora_rank": 24, "kv_lora_rank": 16, "qk_nope_head_dim": 8,
  "qk_rope_head_dim": 4, "v_head_dim": 8, "n_routed_experts": 8, "n_shared_experts": 1,
  "num_experts_per_tok": 2, "moe_intermediate_size": 16, "first_k_dense_replace": 1, "n_group": 4,
  "topk_group": 2, "norm_topk_prob": true, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid",
  "topk_method": "noaux_tc", "rope_theta": 10000, "tie_word_embeddings": false})";
constexpr const char* kLlama = R"({
  "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
  "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 101, "rms_norm_eps": 1e-6,
  "max_position_embeddings": 512, "rope_theta": 10000})";

// `base` with `key` set to `value` (JSON), or removed if empty.
std::string changed(const char* base, const std::string& key, const std::string& value) {
  const auto document = json::Document::parse(base, "base");
  std::string out = "{";
  document.root().for_each_member([&](std::string_view k, json::Value v) {
    if (k != key) out += "\"" + std::string(k) + "\": " + v.dump() + ", ";
  });
  if (!value.empty()) out += "\"" + key + "\": " + value + ", ";
  return out.substr(0, out.size() - 2) + "}";
}

std::string refusal(const std::string& text) {
  const auto document = json::Document::parse(text, "config.json");
  try {
    parse_config(document.root(), "config.json");
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::bad_input);
    return e.what();
  }
  return "accepted";
}

struct Refused {
  const char *base, *key, *value, *message;
};

TEST(Refusals, EachByName) {
  const Refused cases[] = {
      {kLlama, "model_type", "\"mistral\"", "config.json: model_type: architecture \"mistral\""},
      {kLlama, "architectures", "[\"LlamaForSequenceClassification\"]",
       "config.json: architectures"},
      {kLlama, "hidden_act", "\"gelu\"", "config.json: hidden_act: \"gelu\" is not supported"},
      {kLlama, "mlp_bias", "true", "config.json: mlp_bias"},
      {kLlama, "sliding_window", "4096", "config.json: sliding_window: unknown key"},
      {kLlama, "rope_scaling", R"({"type": "dynamic", "factor": 2})",
       "config.json: rope_scaling.type: rope scaling \"dynamic\" is not supported"},
      {kLlama, "rope_scaling", R"({"rope_type": "yarn", "factor": 2,
        "original_max_position_embeddings": 64, "attention_factor": 0})",
       "rope_scaling.attention_factor: must be positive"},
      {kLlama, "rope_scaling", R"({"rope_type": "yarn", "factor": 2,
        "original_max_position_embeddings": 64, "long_factor": [1.2]})",
       "rope_scaling.long_factor: unknown key"},
      {kLlama, "rope_scaling", R"({"rope_type": "llama3", "factor": 8})",
       "rope_scaling.original_max_position_embeddings: missing"},
      {kLlama, "rope_scaling", R"({"rope_type": "yarn", "type": "llama3", "factor": 8})",
       "contradicts \"type\""},
      {kLlama, "partial_rotary_factor", "0.5", "config.json: partial_rotary_factor: unknown key"},
      {kLlama, "logit_scale", "0.06", "config.json: logit_scale: unknown key"},
      {kLlama, "hidden_size", "", "config.json: hidden_size: missing"},
      {kLlama, "hidden_size", "-4", "config.json: hidden_size: must lie between"},
      {kLlama, "hidden_size", "\"64\"", "config.json: hidden_size: expected an integer"},
      {kLlama, "hidden_size", "66", "is no divisor of hidden_size: 4 against 66"},
      {kLlama, "num_key_value_heads", "3", "is no divisor of num_attention_heads: 3 against 4"},
      {kLlama, "head_dim", "15", "even number of dimensions, not 15"},
      {kLlama, "layer_types", R"(["full_attention", "sliding_attention"])",
       "\"sliding_attention\" layers are not supported"},
      {kLlama, "quantization_config", R"({"quant_method": "gptq", "bits": 4})",
       "config.json: quantization_config.quant_method: \"gptq\" is not supported"},
      {kLlama, "quantization_config", R"({"quant_method": "mxfp4"})", "\"mxfp4\" is not supported"},
      {kLlama, "quantization_config",
       R"({"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "static"})",
       "activation_scheme: \"static\""},
      {kLlama, "quantization_config",
       R"({"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
           "weight_block_size": [64, 64]})",
       "only [128, 128] is supported, not [64,64]"},
      {kDeepSeek, "topk_method", "\"group_limited_greedy\"", "config.json: topk_method"},
      {kDeepSeek, "scoring_func", "\"sqrtsoftplus\"", "config.json: scoring_func"},
      {kDeepSeek, "norm_topk_prob", "", "config.json: norm_topk_prob: missing, and not guessed"},
      {kDeepSeek, "moe_layer_freq", "0", "config.json: moe_layer_freq: must lie between"},
      {kDeepSeek, "n_group", "3", "config.json: n_group: does not divide the number of routed"},
      {kDeepSeek, "n_group", "8", "groups of one expert"},
      {kDeepSeek, "topk_group", "5", "config.json: topk_group: is above n_group: 5 against 4"},
      {kDeepSeek, "num_experts_per_tok", "5", "may be chosen from: 5 against 4"},
      {kDeepSeek, "num_key_value_heads", "1", "under latent attention: 1 against 3"},
      {kDeepSeek, "qk_head_dim", "13",
       "contradicts qk_nope_head_dim + qk_rope_head_dim: 13 against 12"},
      {kDeepSeek, "num_nextn_predict_layers", "2", "config.json: num_nextn_predict_layers"},
      {kDeepSeek, "rope_theta", "", "config.json: rope_theta: missing"},
      {kDeepSeek, "swiglu_limit", "10.0", "config.json: swiglu_limit: unknown key"},
      {kLlama, "some_new_flag", "false", "config.json: some_new_flag: unknown key"},
      {kDeepSeek, "rope_scaling",
       R"({"type": "yarn", "factor": 4, "original_max_position_embeddings": 64, "truncate": 1})",
       "config.json: rope_scaling.truncate"},
  };
  ASSERT_EQ(refusal(kLlama), "accepted");
  ASSERT_EQ(refusal(kDeepSeek), "accepted");
  for (const Refused& c : cases) {
    const std::string message = refusal(changed(c.base, c.key, c.value));
    EXPECT_NE(message.find(c.message), std::string::npos)
        << c.key << " " << c.value << "\n  " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
}

TEST(Refusals, ARepeatedKey) {
  const std::string text = std::string(kLlama).substr(0, std::string(kLlama).size() - 1);
  EXPECT_NE(refusal(text + ", \"hidden_size\": 32}").find("the key is there twice"),
            std::string::npos);
}

TEST(Accepted, KeysThatDoNotMatter) {
  for (const auto& [key, value] : std::vector<std::pair<std::string, std::string>>{
           {"_name_or_path", "\"x\""},
           {"training_step", "5"},
           {"rope_scaling", "null"},
           {"attention_dropout", "0.1"},
           {"sliding_window", "null"},
           {"some_new_key", "null"},
           {"rope_parameters", R"({"rope_type": "default", "rope_theta": 10000})"}})
    EXPECT_EQ(refusal(changed(kLlama, key, value)), "accepted") << key;
}

ModelConfig parse(const std::string& text) {
  const auto document = json::Document::parse(text, "config.json");
  return parse_config(document.root(), "config.json");
}

TEST(Rules, V2NormalisesOrScales) {
  std::string v2 = changed(kDeepSeek, "model_type", "\"deepseek_v2\"");
  v2 = changed(v2.c_str(), "scoring_func", "\"softmax\"");
  v2 = changed(v2.c_str(), "topk_method", "\"group_limited_greedy\"");
  ModelConfig c = parse(v2);  // norm_topk_prob true
  EXPECT_TRUE(c.moe.normalize_weights);
  EXPECT_EQ(c.moe.weight_scale, 1.0);
  EXPECT_EQ(c.moe.group_score, GroupScore::maximum);
  EXPECT_FALSE(c.moe.selection_bias);
  c = parse(changed(v2.c_str(), "norm_topk_prob", "false"));
  EXPECT_FALSE(c.moe.normalize_weights);
  EXPECT_EQ(c.moe.weight_scale, 2.5);
  c = parse(changed(v2.c_str(), "topk_method", "\"greedy\""));
  EXPECT_EQ(c.moe.groups, 1);
}

std::vector<int64_t> moe_layers(const ModelConfig& config) {
  std::vector<int64_t> out;
  for (int64_t layer = 0; layer < config.layers; ++layer)
    if (config.is_moe_layer(layer)) out.push_back(layer);
  return out;
}

// DeepSeek: number >= first_k_dense_replace and divisible by moe_layer_freq (modeling_deepseek.py,
// DeepseekV2DecoderLayer); Qwen3-MoE: number + 1 divisible by decoder_sparse_step, and not named in
// mlp_only_layers (transformers Qwen3MoeDecoderLayer).
TEST(Rules, WhichLayersHaveExperts) {
  const std::string deep = changed(kDeepSeek, "num_hidden_layers", "7");
  EXPECT_EQ(moe_layers(parse(deep)), (std::vector<int64_t>{1, 2, 3, 4, 5, 6}));
  const std::string every = changed(deep.c_str(), "moe_layer_freq", "3");
  EXPECT_EQ(moe_layers(parse(every)), (std::vector<int64_t>{3, 6}));
  EXPECT_EQ(moe_layers(parse(changed(deep.c_str(), "first_k_dense_replace", "7"))),
            std::vector<int64_t>{});
  std::string qwen = changed(kLlama, "model_type", "\"qwen3_moe\"");
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, std::string>>{{"num_hidden_layers", "6"},
                                                        {"head_dim", "16"},
                                                        {"num_local_experts", "4"},
                                                        {"num_experts_per_tok", "2"},
                                                        {"moe_intermediate_size", "8"},
                                                        {"norm_topk_prob", "true"},
                                                        {"decoder_sparse_step", "2"},
                                                        {"mlp_only_layers", "[3]"}})
    qwen = changed(qwen.c_str(), key, value);
  EXPECT_EQ(moe_layers(parse(qwen)), (std::vector<int64_t>{1, 5}));
  EXPECT_EQ(parse(qwen).moe.routed_experts, 4);
  EXPECT_NE(
      refusal(changed(qwen.c_str(), "num_experts", "5")).find("contradicts num_local_experts"),
      std::string::npos);
}

TEST(Rules, SparseAttentionIsDenseUpToItsTopK) {
  std::string v32 = changed(kDeepSeek, "model_type", "\"deepseek_v32\"");
  EXPECT_NE(refusal(v32).find("index_topk: missing"), std::string::npos);
  v32 = changed(v32.c_str(), "index_topk", "128");
  v32 = changed(v32.c_str(), "index_n_heads", "4");
  v32 = changed(v32.c_str(), "index_head_dim", "16");
  const ModelConfig c = parse(v32);
  EXPECT_EQ(c.context_length, 128);
  ASSERT_EQ(c.notes.size(), 1u);
  EXPECT_NE(c.notes[0].find("longer sequences are refused"), std::string::npos);
}

TEST(Rules, Ue8m0ScalesFromScaleFmt) {
  const std::string q =
      R"({"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
          "weight_block_size": [128, 128], "scale_fmt": )";
  EXPECT_TRUE(parse(changed(kDeepSeek, "quantization_config", q + "\"ue8m0\"}")).ue8m0_scales);
  EXPECT_FALSE(parse(changed(kDeepSeek, "quantization_config", q + "null}")).ue8m0_scales);
  EXPECT_NE(refusal(changed(kDeepSeek, "quantization_config", q + "\"e8m0\"}")).find("scale_fmt"),
            std::string::npos);
}

}  // namespace
}  // namespace assay::engine::test
