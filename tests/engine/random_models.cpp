#include "tests/engine/random_models.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "engine/checkpoint/layout.h"

namespace assay::engine::test {

namespace {

// Draws of sizes; every call advances the stream.
class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed, 0) {}
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_.below(static_cast<uint64_t>(high - low + 1)));
  }
  int64_t even(int64_t low, int64_t high) { return 2 * between(low / 2, high / 2); }
  bool coin() { return random_.below(2) == 1; }
  bool one_in(uint64_t n) { return random_.below(n) == 0; }
  template <size_t N>
  int64_t of(const std::array<int64_t, N>& values) {
    return values[random_.below(N)];
  }

 private:
  Random random_;
};

bool is_deepseek(std::string_view family) {
  return family.starts_with("deepseek") || family == "kimi_k2";
}

std::string_view model_type(std::string_view family) {
  if (family == "deepseek_v2_lite") return "deepseek_v2";
  return family == "llama3" ? "llama" : family;
}

void write_yarn(json::Writer& w, Draw& draw) {
  if (draw.one_in(3)) {
    w.key("rope_scaling").null();
    return;
  }
  const double mscale = draw.coin() ? 1.0 : 0.707;
  w.key("rope_scaling").begin_object();
  w.member("type", "yarn").member("factor", draw.coin() ? 40 : 4);
  w.member("original_max_position_embeddings", draw.coin() ? 16 : 4096);
  w.member("beta_fast", draw.coin() ? 32 : 1).member("beta_slow", 1);
  w.member("mscale", mscale).member("mscale_all_dim", mscale);
  w.end_object();
}

void write_deepseek(json::Writer& w, Draw& draw, std::string_view family, int64_t layers,
                    int64_t heads) {
  const bool v3 = model_type(family) != "deepseek_v2", lite = family == "deepseek_v2_lite";
  w.member("num_key_value_heads", heads);
  if (lite || draw.one_in(4))
    w.key("q_lora_rank").null();
  else
    w.member("q_lora_rank", draw.between(5, 140));
  w.member("kv_lora_rank", draw.between(5, 140));
  w.member("qk_nope_head_dim", draw.between(1, 40));
  w.member("qk_rope_head_dim", draw.even(2, 32));
  w.member("v_head_dim", draw.between(1, 40));
  w.member("moe_intermediate_size", draw.between(3, 140));
  w.member("n_shared_experts", draw.between(0, 2));
  w.member("first_k_dense_replace", draw.between(0, layers));
  w.member("moe_layer_freq", 1);
  const bool grouped = family == "deepseek_v3" || family == "deepseek_v2";
  const int64_t groups = grouped ? draw.between(1, 4) : 1;
  const int64_t group_size = groups > 1 ? draw.between(2, 5) : draw.between(1, 19);
  const int64_t kept = draw.between(1, groups);
  w.member("n_routed_experts", groups * group_size);
  w.member("n_group", groups).member("topk_group", kept);
  w.member("num_experts_per_tok", draw.between(1, std::min<int64_t>(8, kept * group_size)));
  w.member("norm_topk_prob", v3 ? !draw.one_in(4) : draw.one_in(4));
  w.member("routed_scaling_factor", draw.coin() ? 2.5 : 1.0);
  w.member("scoring_func", v3 ? "sigmoid" : "softmax");
  w.member("topk_method", v3 ? "noaux_tc" : lite ? "greedy" : "group_limited_greedy");
  if (v3) w.member("num_nextn_predict_layers", draw.coin() ? 1 : 0);
  w.member("rope_theta", draw.coin() ? 10000 : 50000);
  write_yarn(w, draw);
}

void write_grouped(json::Writer& w, Draw& draw, std::string_view family, int64_t kv_heads,
                   int64_t head_dim) {
  w.member("num_key_value_heads", kv_heads).member("head_dim", head_dim);
  w.member("rope_theta", draw.coin() ? 10000 : 1000000);
  w.key("rope_scaling");
  if (family == "llama3") {
    w.begin_object().member("rope_type", "llama3").member("factor", 8.0);
    w.member("low_freq_factor", 1.0).member("high_freq_factor", 4.0);
    w.member("original_max_position_embeddings", draw.coin() ? 16 : 64).end_object();
  } else {
    w.null();
  }
  if (family == "qwen3_moe") {
    const int64_t experts = draw.between(1, 19);
    w.member("num_experts", experts);
    w.member("num_experts_per_tok", draw.between(1, std::min<int64_t>(8, experts)));
    w.member("moe_intermediate_size", draw.between(3, 140));
    w.member("norm_topk_prob", draw.coin()).member("decoder_sparse_step", 1);
    w.key("mlp_only_layers").begin_array().end_array();
  }
}

const char* architecture(std::string_view family) {
  static const std::map<std::string_view, const char*> kNames = {
      {"deepseek_v3", "DeepseekV3ForCausalLM"},
      {"kimi_k2", "DeepseekV3ForCausalLM"},
      {"deepseek_v2", "DeepseekV2ForCausalLM"},
      {"llama", "LlamaForCausalLM"},
      {"qwen2", "Qwen2ForCausalLM"},
      {"qwen3", "Qwen3ForCausalLM"},
      {"qwen3_moe", "Qwen3MoeForCausalLM"}};
  return kNames.at(model_type(family));
}

std::string draw_config(std::string_view family, Draw& draw, DType storage) {
  json::Writer w(true);
  const int64_t layers = draw.between(1, 3), heads = draw.between(1, 7);
  w.begin_object();
  w.key("architectures").begin_array().value(architecture(family)).end_array();
  w.member("model_type", model_type(family));
  w.member("vocab_size", draw.of<5>({101, 257, 521, 131, 67}));
  w.member("hidden_size",
           storage == DType::f8_e4m3 ? draw.between(100, 300) : draw.between(9, 150));
  w.member("intermediate_size", draw.between(5, 280));
  w.member("num_hidden_layers", layers).member("num_attention_heads", heads);
  w.member("max_position_embeddings", 640);
  w.member("rms_norm_eps", draw.coin() ? 1e-6 : 1e-5);
  w.member("hidden_act", "silu");
  w.member("tie_word_embeddings", !is_deepseek(family) && draw.coin());
  if (is_deepseek(family)) {
    write_deepseek(w, draw, family, layers, heads);
  } else {
    int64_t kv_heads = draw.coin() ? 1 : heads;
    if (heads % 3 == 0 && draw.coin()) kv_heads = heads / 3;
    write_grouped(w, draw, family, kv_heads, draw.even(2, 40));
  }
  if (storage == DType::f8_e4m3) {
    w.key("quantization_config").begin_object();
    w.member("quant_method", "fp8").member("fmt", "e4m3").member("activation_scheme", "dynamic");
    if (draw.coin()) w.member("scale_fmt", "ue8m0");
    w.key("weight_block_size").begin_array().value(128).value(128).end_array();
    w.end_object();
  }
  w.end_object();
  return w.take() + "\n";
}

uint16_t float_to_f16(float x) {  // normal range only; smaller magnitudes become zero
  int exponent;
  const float fraction = std::frexp(std::fabs(x), &exponent);  // [0.5, 1)
  if (exponent < -13) return 0;
  const auto mantissa = static_cast<int>(std::nearbyint(std::ldexp(fraction, 11)));  // 1024..2048
  const int bits = ((exponent + 14) << 10) + (mantissa - 1024);
  return static_cast<uint16_t>(bits | (std::signbit(x) ? 0x8000 : 0));
}

template <class T>
void append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

std::string encode(const std::vector<float>& values, DType dtype) {
  std::string bytes;
  for (const float x : values) {
    if (dtype == DType::f32) append(bytes, x);
    if (dtype == DType::bf16) append(bytes, float_to_bf16(x));
    if (dtype == DType::f16) append(bytes, float_to_f16(x));
  }
  return bytes;
}

std::string shape_json(int64_t rows, int64_t cols, int rank) {
  return "[" + std::to_string(rows) + (rank == 2 ? "," + std::to_string(cols) : "") + "]";
}

// e4m3 with a scale per 128x128 block, above amax / 448 by a random share: nothing may depend on
// scales being tight. E8M0 bytes are the exponent field of a float without its sign.
void store_fp8(const WeightSlot& slot, const std::vector<float>& values, bool ue8m0, bool as_bytes,
               Random& random, std::vector<StoredTensor>& out) {
  const int64_t rows = slot.shape[0], cols = slot.shape[1], block = 128;
  const int64_t scale_rows = (rows + block - 1) / block, scale_cols = (cols + block - 1) / block;
  std::string bytes(values.size(), '\0'), scales;
  for (int64_t br = 0; br < scale_rows; ++br) {
    for (int64_t bc = 0; bc < scale_cols; ++bc) {
      const auto for_block = [&](auto&& body) {
        for (int64_t r = br * block; r < std::min(rows, (br + 1) * block); ++r)
          for (int64_t c = bc * block; c < std::min(cols, (bc + 1) * block); ++c)
            body(static_cast<size_t>(r * cols + c));
      };
      float amax = 0;
      for_block([&](size_t i) { amax = std::max(amax, std::fabs(values[i])); });
      float scale = amax / 448.0f * static_cast<float>(1 + random.uniform());
      if (ue8m0) scale = std::exp2(std::ceil(std::log2(scale)));
      for_block([&](size_t i) { bytes[i] = static_cast<char>(float_to_e4m3(values[i] / scale)); });
      if (as_bytes)
        append(scales, static_cast<uint8_t>(std::bit_cast<uint32_t>(scale) >> 23));
      else
        append(scales, scale);
    }
  }
  out.push_back({slot.name, "F8_E4M3", shape_json(rows, cols, 2), std::move(bytes)});
  out.push_back({slot.name + "_scale_inv", as_bytes ? "F8_E8M0" : "F32",
                 shape_json(scale_rows, scale_cols, 2), scales});
}

std::vector<float> draw_values(const WeightSlot& slot, bool tied_head, Random& random) {
  const auto ends_with = [&](std::string_view end) { return slot.name.ends_with(end); };
  double spread = 1 / std::sqrt(static_cast<double>(slot.shape[1])), centre = 0;
  if (ends_with("norm.weight")) {
    spread = 0.2;
    centre = 1;
  } else if (ends_with("embed_tokens.weight")) {
    spread = tied_head ? 2 * spread : 1;  // as a head it must leave the model uncertain
  } else if (ends_with("lm_head.weight") || ends_with("head.weight") || ends_with("gate.weight")) {
    spread *= 2;  // visible differences between tokens, and between experts
  } else if (ends_with("e_score_correction_bias") || ends_with(".bias")) {
    spread = 0.2;
    centre = -0.1;
  }
  std::vector<float> values(static_cast<size_t>(slot.shape[0] * slot.shape[1]));
  for (float& value : values) value = static_cast<float>(centre + spread * random.normal());
  return values;
}

}  // namespace

void write_safetensors(const std::filesystem::path& path,
                       const std::vector<StoredTensor>& tensors) {
  json::Writer w;
  w.begin_object();
  w.key("__metadata__").begin_object().member("format", "pt").end_object();
  uint64_t offset = 0;
  std::string data;
  for (const StoredTensor& t : tensors) {
    w.key(t.name).begin_object().member("dtype", t.dtype);
    const auto shape = json::Document::parse(t.shape, "shape");
    w.key("shape").value(shape.root());
    w.key("data_offsets").begin_array().value(offset).value(offset + t.bytes.size()).end_array();
    w.end_object();
    offset += t.bytes.size();
    data += t.bytes;
  }
  w.end_object();
  std::string header = w.take();
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string file;
  append(file, static_cast<uint64_t>(header.size()));
  write_file_atomically(path, file + header + data);
}

RandomModel random_model(std::string_view family, uint64_t seed) {
  if (std::find(std::begin(kRandomFamilies), std::end(kRandomFamilies), family) ==
      std::end(kRandomFamilies))
    throw_internal("no random family " + std::string(family));
  Draw draw(seed * 16 + static_cast<uint64_t>(family.size()));
  RandomModel model;
  model.storage = draw.one_in(3)   ? DType::f8_e4m3
                  : draw.one_in(4) ? DType::f32
                  : draw.one_in(4) ? DType::f16
                                   : DType::bf16;
  model.shards = static_cast<int>(draw.between(1, 3));
  model.seed = seed;
  model.config_json = draw_config(family, draw, model.storage);
  model.e8m0_scales = model.config_json.find("ue8m0") != std::string::npos && draw.coin();
  return model;
}

void write_checkpoint(const std::filesystem::path& directory, const RandomModel& model) {
  std::filesystem::create_directories(directory);
  const auto config_path = directory / "config.json";
  write_file_atomically(config_path, model.config_json);
  write_file_atomically(directory / "generation_config.json",
                        "{\"bos_token_id\": 0, \"eos_token_id\": 1}\n");
  const ModelConfig config = load_config(config_path);
  std::vector<StoredTensor> tensors;
  ModelWeights unused;
  uint64_t stream = 1;
  for_each_weight(config, unused, [&](const WeightSlot& slot) {
    Random random(model.seed, stream++);
    const std::vector<float> values = draw_values(slot, config.tied_head, random);
    if (model.storage == DType::f8_e4m3 && slot.kind == WeightKind::matrix &&
        !slot.name.ends_with("eh_proj.weight")) {
      store_fp8(slot, values, config.ue8m0_scales, model.e8m0_scales, random, tensors);
      return;
    }
    const bool bias = slot.name.ends_with("e_score_correction_bias");
    const DType dtype = bias                              ? DType::f32
                        : model.storage == DType::f8_e4m3 ? DType::bf16
                                                          : model.storage;
    tensors.push_back({slot.name, std::string(dtype_name(dtype)),
                       shape_json(slot.shape[0], slot.shape[1], slot.rank), encode(values, dtype)});
  });
  if (model.shards <= 1) {
    write_safetensors(directory / "model.safetensors", tensors);
    return;
  }
  std::vector<std::vector<StoredTensor>> parts(static_cast<size_t>(model.shards));
  json::Writer index;
  index.begin_object().key("weight_map").begin_object();
  for (size_t i = 0; i < tensors.size(); ++i) {
    const size_t part = i % parts.size();
    const std::string file = "model-" + std::to_string(part + 1) + ".safetensors";
    index.member(tensors[i].name, file);
    parts[part].push_back(std::move(tensors[i]));
  }
  index.end_object().end_object();
  for (size_t part = 0; part < parts.size(); ++part)
    write_safetensors(directory / ("model-" + std::to_string(part + 1) + ".safetensors"),
                      parts[part]);
  write_file_atomically(directory / "model.safetensors.index.json", index.take());
}

std::string describe(const RandomModel& model) {
  return std::string(dtype_name(model.storage)) + (model.e8m0_scales ? " (scales F8_E8M0)" : "") +
         ", " + std::to_string(model.shards) + " shard(s), weight seed " +
         std::to_string(model.seed) + ", " + model.config_json;
}

void WithRandomCheckpoint::make_checkpoint(std::string_view family, int seed) {
  const RandomModel model = random_model(family, static_cast<uint64_t>(seed));
  description_ = describe(model);
  write_checkpoint(directory_.path(), model);
  checkpoint_ = std::make_unique<Checkpoint>(Checkpoint::open(directory_.path()));
}

}  // namespace assay::engine::test
