// Opening checkpoints, and every way in which one can be damaged: one clear line each.
#include "engine/checkpoint/checkpoint.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "tests/engine/random_models.h"
#include "tests/engine/reference_cases.h"
#include "tests/support/paths.h"

namespace assay::engine::test {
namespace {

namespace fs = std::filesystem;

TEST(Open, EveryReferenceCheckpoint) {
  ASSAY_NEED_SHARED("reference");
  for (const ReferenceCase& c : reference_cases()) {
    SCOPED_TRACE(c.name);
    const Checkpoint checkpoint = Checkpoint::open(c.model, c.config);
    for (const TensorView& t : checkpoint.tensors()) EXPECT_NO_THROW(checkpoint.check_values(t));
    EXPECT_EQ(checkpoint.weights().layers.size(), static_cast<size_t>(checkpoint.config().layers));
    EXPECT_EQ(checkpoint.weights().mtp.has_value(), checkpoint.config().mtp_layers > 0);
  }
}

TEST(Open, TiedHeadIsTheEmbedding) {
  ASSAY_NEED_SHARED("reference");
  const Checkpoint tied = Checkpoint::open(kReference / "models/qwen2-tied");
  EXPECT_EQ(tied.weights().head.data, tied.weights().embedding.data);
  const Checkpoint untied = Checkpoint::open(kReference / "models/qwen2-untied");
  EXPECT_NE(untied.weights().head.data, untied.weights().embedding.data);
  EXPECT_TRUE(untied.find("lm_head.weight"));
  EXPECT_FALSE(untied.find("lm_head.bias"));
}

// A small DeepSeek-V3 FP8 checkpoint in one file, which the tests damage.
class Damaged : public ::testing::Test {
 protected:
  void SetUp() override {
    model_.storage = DType::f8_e4m3;
    model_.config_json = R"({"model_type": "deepseek_v3", "hidden_size": 136,
      "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3, "vocab_size": 101,
      "rms_norm_eps": 1e-6, "max_position_embeddings": 512, "q_lora_rank": 24, "kv_lora_rank": 16,
      "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "n_routed_experts": 8,
      "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
      "first_k_dense_replace": 1, "n_group": 4, "topk_group": 2, "norm_topk_prob": true,
      "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "topk_method": "noaux_tc",
      "rope_theta": 10000, "num_nextn_predict_layers": 1, "quantization_config": {
      "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
      "weight_block_size": [128, 128]}})";
    write_checkpoint(directory_.path(), model_);
    bytes_ = read_file(file());
  }
  fs::path file() const { return directory_.path() / "model.safetensors"; }
  fs::path config() const { return directory_.path() / "config.json"; }

  static void overwrite(const fs::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }
  void write_shards(int n) {
    fs::remove(file());
    model_.shards = n;
    write_checkpoint(directory_.path(), model_);
  }

  // The file with `from` replaced by `to` in its header; lengths adjusted.
  std::string with_header(const std::string& from, const std::string& to) const {
    uint64_t length;
    std::memcpy(&length, bytes_.data(), 8);
    std::string header = bytes_.substr(8, length);
    const size_t at = header.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    header.replace(at, from.size(), to);
    length = header.size();
    std::string out(reinterpret_cast<const char*>(&length), 8);
    return out + header + bytes_.substr(bytes_.size() - data_size());
  }
  size_t data_size() const {
    uint64_t length;
    std::memcpy(&length, bytes_.data(), 8);
    return bytes_.size() - 8 - length;
  }
  void change_config(const std::string& from, const std::string& to) {
    std::string text = model_.config_json;
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    overwrite(config(), text.replace(at, from.size(), to));
  }
  void change_values(const std::string& tensor, const std::function<void(char*)>& body) {
    const Checkpoint checkpoint = Checkpoint::open(directory_.path());
    const bool scale = tensor.ends_with("_scale_inv");
    const TensorView t = checkpoint.find(scale ? tensor.substr(0, tensor.size() - 10) : tensor);
    ASSERT_TRUE(t) << tensor;
    std::string bytes = bytes_;
    // The writer places a weight's scales right behind it.
    body(bytes.data() + t.offset + (scale ? t.bytes() : 0));
    overwrite(file(), bytes);
  }

  std::string opening() const {
    try {
      const Checkpoint checkpoint = Checkpoint::open(directory_.path());
      for (const TensorView& t : checkpoint.tensors()) checkpoint.check_values(t);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::bad_input) << e.what();
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
      return e.what();
    }
    return "accepted";
  }
  void expect_error(const std::string& message) const {
    const std::string error = opening();
    EXPECT_NE(error.find(message), std::string::npos)
        << "wanted: " << message << "\ngot: " << error;
  }

  TemporaryDirectory directory_;
  RandomModel model_;
  std::string bytes_;
};

TEST_F(Damaged, NotAtAll) { EXPECT_EQ(opening(), "accepted"); }

TEST_F(Damaged, NoSuchDirectory) {
  EXPECT_THROW(Checkpoint::open(directory_.path() / "nothing"), Error);
}

TEST_F(Damaged, TruncatedFile) {
  for (const size_t size :
       {size_t{0}, size_t{7}, size_t{8}, size_t{100}, bytes_.size() / 2, bytes_.size() - 1}) {
    overwrite(file(), bytes_.substr(0, size));
    const std::string error = opening();
    EXPECT_TRUE(error.find("truncated") != std::string::npos ||
                error.find("too short") != std::string::npos)
        << size << ": " << error;
    EXPECT_NE(error.find("model.safetensors"), std::string::npos);
  }
}

TEST_F(Damaged, NotSafetensors) {
  overwrite(file(), "PK\x03\x04 this is a zip archive of the old format, not safetensors");
  expect_error("not a safetensors file");
  std::string broken = bytes_;
  broken[20] = '\x01';
  overwrite(file(), broken);
  expect_error("not valid JSON");
}

TEST_F(Damaged, TrailingBytes) {
  overwrite(file(), bytes_ + "xy");
  expect_error("2 bytes follow the last tensor");
}

TEST_F(Damaged, ShapeAgainstOffsets) {
  overwrite(file(), with_header("\"shape\":[101,136]", "\"shape\":[101,137]"));
  expect_error(
      "tensor model.embed_tokens.weight: its data_offsets span 27472 bytes, but shape "
      "[101, 137] of BF16 takes 27674");
}

TEST_F(Damaged, OverflowingShape) {
  overwrite(file(), with_header("\"shape\":[101,136]",
                                "\"shape\":[4611686018427387904,4611686018427387904]"));
  expect_error("is too large");
}

TEST_F(Damaged, OverlappingTensors) {
  // The first two tensors, given the same bytes.
  overwrite(file(),
            with_header("\"data_offsets\":[27472,27744]", "\"data_offsets\":[27470,27742]"));
  expect_error("overlaps the tensor before it");
}

TEST_F(Damaged, UnknownDtype) {
  overwrite(file(), with_header("\"dtype\":\"BF16\"", "\"dtype\":\"F7_E3M3\""));
  expect_error("tensor model.embed_tokens.weight: unknown dtype \"F7_E3M3\"");
}

TEST_F(Damaged, UnusableDtype) {
  overwrite(file(), with_header("\"dtype\":\"BF16\"", "\"dtype\":\"I16\""));
  expect_error("tensor model.embed_tokens.weight: dtype I16 is not supported here");
}

TEST_F(Damaged, MissingTensor) {
  overwrite(file(), with_header("model.layers.1.input_layernorm.weight", "model.layers.1.other"));
  expect_error("tensor model.layers.1.input_layernorm.weight: missing (and 1 more problem,");
}

TEST_F(Damaged, SurplusTensor) {
  overwrite(file(), with_header("{\"__metadata__\"",
                                "{\"model.layers.0.self_attn.sinks\":{\"dtype\":"
                                "\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
                                "\"__metadata__\""));
  expect_error("tensor model.layers.0.self_attn.sinks: surplus: nothing in config.json uses it");
}

TEST_F(Damaged, DuplicateTensor) {
  overwrite(file(), with_header("{\"__metadata__\"",
                                "{\"model.norm.weight\":{\"dtype\":\"F32\","
                                "\"shape\":[0],\"data_offsets\":[0,0]},"
                                "\"__metadata__\""));
  expect_error("tensor model.norm.weight: is there twice");
}

TEST_F(Damaged, ScaleMissing) {
  overwrite(file(), with_header("kv_b_proj.weight_scale_inv", "kv_b_proj.weight_scale"));
  expect_error("kv_b_proj.weight_scale_inv: missing (and 1 more problem,");
}

TEST_F(Damaged, ScaleBlocksRoundUp) {
  // q_a_proj is [24, 136]: two blocks of columns, the last of 8.
  overwrite(file(), with_header("{\"dtype\":\"F32\",\"shape\":[1,2]",
                                "{\"dtype\":\"F32\",\"shape\":[2,1]"));
  expect_error("its shape is [2, 1], but 128x128 blocks of [24, 136] need [1, 2]");
}

TEST_F(Damaged, NanWeight) {
  change_values("model.layers.1.mlp.experts.3.up_proj.weight", [](char* p) { p[5] = '\x7f'; });
  expect_error("tensor model.layers.1.mlp.experts.3.up_proj.weight: NaN byte at [0, 5]");
  change_values("model.norm.weight", [](char* p) { p[3] = '\x7f', p[2] = '\x80'; });
  expect_error("tensor model.norm.weight: NaN or infinity at [1]");
}

TEST_F(Damaged, Scales) {
  const std::string name = "model.layers.0.self_attn.o_proj.weight_scale_inv";
  change_values(name, [](char* p) { std::memset(p, 0, 4); });
  expect_error("tensor " + name + ": scale at [0, 0] is zero");
  overwrite(file(), bytes_);
  change_values(name, [](char* p) { std::memset(p + 4, 0xff, 4); });
  expect_error("tensor " + name + ": scale at [1, 0] is not finite");
}

// OCP Microscaling Formats 5.4.1: the value of an E8M0 byte is 2^(byte - 127), 255 is NaN.
TEST_F(Damaged, E8m0Scales) {
  const std::string block = "\"weight_block_size\"";
  model_.config_json.insert(model_.config_json.find(block), "\"scale_fmt\": \"ue8m0\", ");
  model_.e8m0_scales = true;
  write_checkpoint(directory_.path(), model_);
  bytes_ = read_file(file());
  ASSERT_EQ(opening(), "accepted");
  const std::string weight = "model.layers.0.self_attn.o_proj.weight";
  const auto with_byte = [&](unsigned char byte) {
    overwrite(file(), bytes_);
    change_values(weight + "_scale_inv", [&](char* p) { p[1] = static_cast<char>(byte); });
  };
  for (const auto& [byte, scale] :
       {std::pair{0, 0x1p-127f}, {1, 0x1p-126f}, {127, 1.0f}, {130, 8.0f}, {245, 0x1p118f}}) {
    with_byte(static_cast<unsigned char>(byte));
    ASSERT_EQ(opening(), "accepted") << byte;
    EXPECT_EQ(Checkpoint::open(directory_.path()).find(weight).scale[1], scale) << byte;
  }
  with_byte(255);
  expect_error("tensor " + weight + "_scale_inv: scale at [1, 0] is not finite");
  with_byte(254);
  expect_error("tensor " + weight + "_scale_inv: scale at [1, 0] overflows its block");

  // How activations are scaled is the configuration's to say.
  const size_t at = model_.config_json.find("\"scale_fmt\"");
  model_.config_json.erase(at, model_.config_json.find(block) - at);
  overwrite(config(), model_.config_json);
  expect_error("weight_scale_inv: is F8_E8M0, but config.json has no scale_fmt");
}

TEST_F(Damaged, ConfigAgainstShapes) {
  change_config("\"hidden_size\": 136", "\"hidden_size\": 128");
  expect_error(
      "model.embed_tokens.weight: its shape is [101, 136], but config.json means [101, 128]");
  change_config("\"n_shared_experts\": 1", "\"n_shared_experts\": 2");
  expect_error(
      "shared_experts.gate_proj.weight: its shape is [16, 136], but config.json means [32, 136]");
  change_config("\"q_lora_rank\": 24", "\"q_lora_rank\": null");
  expect_error("tensor model.layers.0.self_attn.q_proj.weight: missing");
  change_config("\"num_nextn_predict_layers\": 1", "\"num_nextn_predict_layers\": 0");
  expect_error("config.json says num_hidden_layers 2 and num_nextn_predict_layers 0");
  change_config("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
  expect_error("tensor model.layers.2.eh_proj.weight: surplus");
}

TEST_F(Damaged, TiedHeadAgainstTensors) {
  change_config("\"rms_norm_eps\"", "\"tie_word_embeddings\": true, \"rms_norm_eps\"");
  expect_error(
      "tensor lm_head.weight: differs from model.embed_tokens.weight, but config.json says");
  overwrite(config(), model_.config_json);
  overwrite(file(), with_header("\"lm_head.weight\"", "\"model.rotary_emb.inv_freq\""));
  expect_error("tensor lm_head.weight: missing (config.json says that the head is not tied");
}

TEST_F(Damaged, Fp8WithoutItsConfig) {
  const size_t at = model_.config_json.find(", \"quantization_config\"");
  overwrite(config(), model_.config_json.substr(0, at) + "}");
  expect_error("is F8_E4M3, but config.json has no quantization_config");
}

TEST_F(Damaged, NoWeights) {
  fs::remove(file());
  expect_error("no model.safetensors and no model.safetensors.index.json");
}

TEST_F(Damaged, MissingShard) {
  write_shards(3);
  ASSERT_EQ(opening(), "accepted");
  fs::remove(directory_.path() / "model-2.safetensors");
  expect_error("model-2.safetensors: shard is missing: the index names");
}

// The published names say how many there are; nothing else of the index is needed.
TEST_F(Damaged, ShardsWithoutTheirIndex) {
  write_shards(2);
  const fs::path dir = directory_.path();
  fs::remove(dir / "model.safetensors.index.json");
  expect_error("no model.safetensors and no model.safetensors.index.json");
  for (const std::string i : {"1", "2"})
    fs::rename(dir / ("model-" + i + ".safetensors"),
               dir / ("model-0000" + i + "-of-00002.safetensors"));
  ASSERT_EQ(opening(), "accepted");
  fs::copy_file(dir / "model-00001-of-00002.safetensors", dir / "model-00001-of-00003.safetensors");
  expect_error("shard is missing");
  fs::remove(dir / "model-00001-of-00003.safetensors");
  fs::remove(dir / "model-00002-of-00002.safetensors");
  expect_error("model-00002-of-00002.safetensors: shard is missing");
}

TEST_F(Damaged, TruncatedShard) {
  write_shards(2);
  const fs::path shard = directory_.path() / "model-2.safetensors";
  overwrite(shard, read_file(shard).substr(0, 4000));
  expect_error("model-2.safetensors");
}

TEST_F(Damaged, IndexAgainstShards) {
  write_shards(2);
  const fs::path index = directory_.path() / "model.safetensors.index.json";
  const std::string text = read_file(index);
  const auto replace = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    const size_t at = changed.find(from);
    ASSERT_NE(at, std::string::npos);
    overwrite(index, changed.replace(at, from.size(), to));
  };
  replace("{\"weight_map\":{", "{\"weight_map\":{\"model.extra\":\"model-1.safetensors\",");
  expect_error("tensor model.extra: is not in model-1.safetensors, where the index places it");
  replace("\"model.norm.weight\":", "\"model.enorm.weight\":");
  expect_error("tensor model.norm.weight: is not in model.safetensors.index.json");
  replace("\"model-1.safetensors\"", "\"../model-1.safetensors\"");
  expect_error("is no file name of this directory");
  overwrite(index, "{}");
  expect_error("weight_map");
}

TEST_F(Damaged, TheSameTensorInTwoShards) {
  write_shards(2);
  fs::copy_file(directory_.path() / "model-1.safetensors",
                directory_.path() / "model-3.safetensors");
  const fs::path index = directory_.path() / "model.safetensors.index.json";
  std::string text = read_file(index);
  text.insert(std::string("{\"weight_map\":{").size(), "\"model.extra\":\"model-3.safetensors\",");
  overwrite(index, text);
  expect_error("is also in");
}

// --- inspection ----------------------------------------------------------------------------------

TEST_F(Damaged, InspectListsInsteadOfThrowing) {
  const CheckpointInfo good = inspect_checkpoint(directory_.path());
  EXPECT_TRUE(good.supported);
  EXPECT_EQ(good.architecture, "deepseek_v3");
  ASSERT_EQ(good.problems.size(), 1u) << good.problems[1];  // no tokenizer.json
  EXPECT_EQ(good.default_numerics, Numerics::fp8_weights);
  EXPECT_GT(good.mtp_parameters, 0u);
  EXPECT_EQ(good.bytes, bytes_.size());

  change_values("model.norm.weight", [](char* p) { p[1] = '\x7f', p[0] = '\x80'; });
  const CheckpointInfo nan = inspect_checkpoint(directory_.path());
  EXPECT_FALSE(nan.supported);
  EXPECT_NE(nan.problems[0].find("model.norm.weight: NaN or infinity at [0]"), std::string::npos);
  EXPECT_NE(nan.weights_digest, good.weights_digest);
  EXPECT_EQ(nan.config_digest, good.config_digest);

  overwrite(config(), R"({"model_type": "gpt2"})");
  const CheckpointInfo gpt2 = inspect_checkpoint(directory_.path());
  EXPECT_FALSE(gpt2.supported);
  EXPECT_EQ(gpt2.architecture, "gpt2");
  EXPECT_NE(gpt2.problems[0].find("\"gpt2\" is not supported"), std::string::npos);

  fs::remove(config());
  fs::remove(file());
  EXPECT_GE(inspect_checkpoint(directory_.path()).problems.size(), 3u);
  EXPECT_THROW(inspect_checkpoint(directory_.path() / "nothing"), Error);
}

TEST_F(Damaged, DigestSeesNamesShapesAndBytes) {
  const std::string digest = inspect_checkpoint(directory_.path()).weights_digest;
  EXPECT_EQ(digest.size(), 64u);
  EXPECT_EQ(inspect_checkpoint(directory_.path()).weights_digest, digest);
  write_shards(3);  // the same tensors in other files
  EXPECT_EQ(inspect_checkpoint(directory_.path()).weights_digest, digest);
}

TEST(Inspect, SampleCheckpoint) {
  ASSAY_NEED_SHARED("sample/checkpoints");
  const fs::path samples = test_paths::shared() / "sample/checkpoints";
  const CheckpointInfo info = inspect_checkpoint(samples / "base-step-001201/");
  EXPECT_TRUE(info.supported);
  EXPECT_TRUE(info.problems.empty()) << info.problems[0];
  EXPECT_EQ(info.name, "base-step-001201");
  EXPECT_EQ(info.training_step, 1201);
  EXPECT_EQ(info.training_tokens, 4919296);
  EXPECT_NEAR(static_cast<double>(info.parameters), 4.7e6, 0.1e6);
  EXPECT_FALSE(info.tokenizer.empty());
  for (const char* name : {"base-step-000040", "base-step-000600", "ablation-aux-loss-step-001207"})
    EXPECT_TRUE(inspect_checkpoint(samples / name).problems.empty()) << name;
}

}  // namespace
}  // namespace assay::engine::test
