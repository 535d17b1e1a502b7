// Random small checkpoints of every family, for tests that compare implementations pairwise.
//
// Sizes are drawn to be awkward: odd head counts, one expert group, one KV head, head and latent
// widths that are no multiple of anything, one layer, one expert, vocabularies of prime size,
// partial FP8 blocks in rows and columns. The same seed gives the same bytes on every machine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/config.h"
#include "engine/checkpoint/tensor.h"

namespace assay::engine::test {

struct RandomModel {
  std::string config_json;      // complete config.json
  DType storage = DType::bf16;  // of linear layers; with f8_e4m3 the rest is BF16
  bool e8m0_scales = false;     // ue8m0 scales as bytes (F8_E8M0) instead of as floats
  int shards = 1;               // above 1: shards with an index
  uint64_t seed = 0;            // of the weights
};

// The families a test can ask for: model_type and how the model is unlike its siblings.
inline constexpr std::string_view kRandomFamilies[] = {
    "deepseek_v3", "kimi_k2", "deepseek_v2", "deepseek_v2_lite", "llama",
    "llama3",      "qwen2",   "qwen3",       "qwen3_moe"};

// Draws a model of one of kRandomFamilies. FP8 storage (arbitrary or ue8m0 scales) comes up for
// every family, the latter as floats and as bytes; F32 and F16 now and then.
RandomModel random_model(std::string_view family, uint64_t seed);

// Writes config.json, generation_config.json and the weights into `directory` (created if need be).
// Weights are scaled so that activations stay near 1 and the router's choices differ.
void write_checkpoint(const std::filesystem::path& directory, const RandomModel& model);

// A tensor as it is stored: dtype as in safetensors, shape as JSON ("[5, 7]").
struct StoredTensor {
  std::string name, dtype, shape, bytes;
};
void write_safetensors(const std::filesystem::path& path, const std::vector<StoredTensor>& tensors);

// One line: family, sizes, storage - for a test's failure message.
std::string describe(const RandomModel& model);

// Beside testing::Test, in fixtures over one random model: its checkpoint, written and opened.
class WithRandomCheckpoint {
 protected:
  void make_checkpoint(std::string_view family, int seed);

  TemporaryDirectory directory_;
  std::string description_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

}  // namespace assay::engine::test
