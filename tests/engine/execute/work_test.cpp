// Useful arithmetic, and engines with random weights.
#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "engine/checkpoint/config.h"
#include "engine/execute/work.h"
#include "engine/measure.h"
#include "tests/support/paths.h"

namespace assay::engine {
namespace {

namespace fs = std::filesystem;

ModelShape shape(const std::string& name) {
  const fs::path path = test_paths::source() / "harness/shapes" / (name + ".json");
  return {read_file(path), name, {}};
}
ModelConfig config_of_shape(const std::string& name) {
  const ModelShape s = shape(name);
  const json::Document document = json::Document::parse(s.config, s.source);
  return parse_config(document.root(), s.source);
}

// Published sizes: 0.49 B parameters of which 0.36 B not embedding (Qwen2.5 report); the V3-shaped
// model has 1.107 B, 275 M active per token (issue of this program; active includes the head).
TEST(Work, MatchesPublishedParameterCounts) {
  const ModelConfig qwen = config_of_shape("qwen2.5-0.5b");
  const WorkRates dense = work_rates(qwen, model::Form::expanded);
  EXPECT_NEAR(dense.row, 2 * 0.358e9, 0.002e9);
  EXPECT_EQ(dense.scored, 2.0 * 151936 * 896);
  EXPECT_EQ(dense.pair, 24 * 14 * 2.0 * 128);  // 2 x (64 + 64)
  const ModelConfig v3 = config_of_shape("deepseek-v3-1b");
  EXPECT_NEAR(static_cast<double>(count_parameters(v3).total), 1.107e9, 0.001e9);
  const WorkRates moe = work_rates(v3, model::Form::expanded);
  EXPECT_NEAR(moe.row + moe.scored, 2 * 275e6, 2 * 1e6);
  EXPECT_EQ(moe.pair, 12 * 8 * 2.0 * (192 + 128));
  EXPECT_EQ(work_rates(v3, model::Form::absorbed).pair, 12 * 8 * 2.0 * (576 + 512));
  EXPECT_EQ(causal_pairs(0, 3), 6);    // 1 + 2 + 3
  EXPECT_EQ(causal_pairs(10, 2), 23);  // 11 + 12
}

struct Logprobs final : ScoreSink {
  void on_score(ScoreResult&& r) override { values.push_back(r.token_logprobs[0]); }
  std::vector<float> values;
};

// A small shape behaves like a checkpoint: finite results, equal in two engines; the statistics add
// up to the formula.
TEST(RandomEngine, ComputesLikeAnyOther) {
  const char* config = R"({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
    "vocab_size": 500, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6, "hidden_act": "silu", "tie_word_embeddings": true, "rope_theta": 10000})";
  for (const WeightType type : {WeightType::bf16, WeightType::fp8}) {
    const ModelShape small{config, "small", type};
    EngineOptions options;
    options.threads = 2;
    const auto a = open_random_engine(small, options), b = open_random_engine(small, options);
    EXPECT_EQ(a->capabilities().numerics,
              type == WeightType::fp8 ? Numerics::fp8_weights : Numerics::bf16);
    const std::vector<TokenId> text{5, 400, 7, 8, 9, 10, 11, 12}, next{3};
    const ScoreRequest request[] = {{text, next}};
    Logprobs first, second;
    a->score(request, first);
    b->score(request, second);
    ASSERT_EQ(first.values.size(), 1u);
    EXPECT_TRUE(std::isfinite(first.values[0]) && first.values[0] < 0);
    EXPECT_EQ(first.values, second.values);
    const json::Document document = json::Document::parse(config, "small");
    const WorkRates rates =
        work_rates(parse_config(document.root(), "small"), model::Form::expanded);
    EXPECT_EQ(a->statistics().flops, rates.of(8, causal_pairs(0, 8), 1));
    EXPECT_GT(a->statistics().bytes_read, 0);
  }
}

TEST(RandomEngine, NamesWhatIsWrongWithAShape) {
  EXPECT_THROW(open_random_engine({"{}", "empty.json", {}}, {}), std::exception);
}

}  // namespace
}  // namespace assay::engine
