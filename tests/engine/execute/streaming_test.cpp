// Weights that do not all stay in memory: experts alone or whole layers, some resident or none. Weights
// that stay and are prepared on another thread while the first pass asks for them.
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/execute/layer_store.h"
#include "engine/execute/memory_plan.h"
#include "engine/execute/runner.h"
#include "engine/execute/score.h"
#include "engine/measure.h"
#include "engine/ops/ops.h"
#include "tests/engine/random_models.h"

namespace assay::engine {
namespace {

struct Logprobs final : ScoreSink {
  explicit Logprobs(size_t n) : values(n) {}
  void on_score(ScoreResult&& r) override { values[r.index] = std::move(r.token_logprobs); }
  std::vector<std::vector<float>> values;
};

class Streaming : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    model_ = test::random_model(GetParam(), 3);
    test::write_checkpoint(directory_.path(), model_);
    checkpoint_ = std::make_unique<Checkpoint>(Checkpoint::open(directory_.path()));
    Random random(5);
    for (int i = 0; i < 60; ++i) {
      text_.push_back(static_cast<TokenId>(
          random.below(static_cast<uint64_t>(checkpoint_->config().vocabulary))));
    }
  }
  // Two calls of several passes each, so that every layer comes and goes a few times.
  std::vector<float> score(const ops::Backend* preparer, const Residency& residency, bool ahead = false) {
    const Workers workers(2);
    const auto backend = ops::make_cpu_backend(
        Kernels::automatic, numerics_of_weights(checkpoint_->tensors()), workers,
        checkpoint_->config().ue8m0_scales);
    Runner runner(*checkpoint_, *backend, preparer, residency);
    if (ahead) runner.prepare_ahead();
    const TokenSpan all(text_);
    const ScoreRequest request[] = {{all.first(1), all.subspan(1)}};
    EngineStatistics statistics;
    Logprobs first(1), second(1);
    run_score(runner, request, {17, 1000, 1 << 20}, false, first, statistics);
    run_score(runner, request, {23, 5, 1 << 20}, false, second, statistics);
    EXPECT_EQ(first.values[0].size(), text_.size() - 1);
    EXPECT_EQ(std::memcmp(first.values[0].data(), second.values[0].data(),
                          first.values[0].size() * sizeof(float)),
              0);
    return first.values[0];
  }
  TemporaryDirectory directory_;
  test::RandomModel model_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::vector<TokenId> text_;
};

TEST_P(Streaming, SameBitsWhateverStays) {
  SCOPED_TRACE(test::describe(model_));
  const std::vector<float> resident = score(nullptr, {});
  const Workers one(1);
  const auto preparer = ops::make_cpu_backend(
      Kernels::automatic, numerics_of_weights(checkpoint_->tensors()), one,
      checkpoint_->config().ue8m0_scales);
  for (const Residency& residency : {Residency{false, 0}, Residency{true, 0}, Residency{true, 100'000},
                                     Residency{false, 300'000}, Residency{true, size_t{1} << 40}}) {
    SCOPED_TRACE(residency.bytes);
    const std::vector<float> streamed = score(preparer.get(), residency);
    EXPECT_EQ(std::memcmp(resident.data(), streamed.data(), resident.size() * sizeof(float)), 0);
  }
}

TEST_P(Streaming, SameBitsPreparedAhead) {
  SCOPED_TRACE(test::describe(model_));
  const std::vector<float> resident = score(nullptr, {});
  for (int round = 0; round < 5; ++round) {
    const std::vector<float> ahead = score(nullptr, {}, true);
    EXPECT_EQ(std::memcmp(resident.data(), ahead.data(), resident.size() * sizeof(float)), 0);
  }
}

// What the other thread meets is said by the pass that needs it; nobody waits for ever.
TEST_P(Streaming, DamageFoundAhead) {
  const TensorView last = checkpoint_->weights().layers.back().post_attention_norm;
  const std::string bytes = read_file(checkpoint_->shard_path(last.shard));
  const Checkpoint damaged = [&] {
    std::string changed = bytes;
    const size_t at = changed.find(std::string_view(reinterpret_cast<const char*>(last.data), last.bytes()));
    std::memset(changed.data() + at, 0xff, static_cast<size_t>(dtype_bytes(last.dtype)));  // a NaN
    write_file_atomically(directory_.path() / checkpoint_->shard_path(last.shard).filename(), changed);
    return Checkpoint::open(directory_.path());
  }();
  const Workers workers(2);
  const auto backend = ops::make_cpu_backend(Kernels::automatic, numerics_of_weights(damaged.tensors()),
                                             workers, damaged.config().ue8m0_scales);
  Runner runner(damaged, *backend, nullptr, {});
  runner.prepare_ahead();
  const TokenSpan all(text_);
  const ScoreRequest request[] = {{all.first(1), all.subspan(1)}};
  EngineStatistics statistics;
  for (int round = 0; round < 2; ++round) {
    Logprobs sink(1);
    try {
      run_score(runner, request, {17, 1000, 1 << 20}, false, sink, statistics);
      FAIL() << "damaged weights were used";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::bad_input);
      EXPECT_NE(std::string(e.what()).find(last.name), std::string::npos) << e.what();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Streaming,
                         testing::Values("deepseek_v3", "deepseek_v2", "qwen3_moe", "qwen2"));

// The plan of a model with many experts keeps everything else, as soon as that fits.
TEST(MemoryPlan, ExpertsAreWhatIsStreamed) {
  const char* config_json = R"({"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe",
    "vocab_size": 32000, "hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 24,
    "num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 128,
    "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "hidden_act": "silu",
    "tie_word_embeddings": false, "rope_theta": 10000, "rope_scaling": null, "num_experts": 64,
    "num_experts_per_tok": 8, "moe_intermediate_size": 384, "norm_topk_prob": true,
    "decoder_sparse_step": 1, "mlp_only_layers": []})";
  const json::Document document = json::Document::parse(config_json, "config");
  const ModelConfig config = parse_config(document.root(), "config");
  EngineOptions options;
  const auto plan = [&](double gib) {
    options.memory_bytes = static_cast<size_t>(gib * (1 << 30));
    return plan_memory(config, Numerics::bf16, options, false);
  };
  const MemoryPlan whole = plan(16);
  EXPECT_FALSE(whole.streamed);
  // 24 layers x 64 experts x 3 x 384 x 1024 elements of 2 bytes; the test below depends on it.
  const double experts = 24.0 * 64 * 3 * 384 * 1024 * 2;
  EXPECT_GT(static_cast<double>(whole.weight_bytes), experts);
  const MemoryPlan half = plan(2);
  EXPECT_TRUE(half.streamed);
  EXPECT_TRUE(half.residency.all_but_experts);
  EXPECT_GT(half.residency.bytes, 0u);
  EXPECT_LT(static_cast<double>(half.residency.bytes), experts);
  const MemoryPlan little = plan(0.45);
  EXPECT_TRUE(little.streamed);
  EXPECT_FALSE(little.residency.all_but_experts);
  // More memory never means fewer resident bytes.
  size_t last = 0;
  for (double gib = 1; gib < 3; gib += 0.25) {
    const MemoryPlan p = plan(gib);
    if (!p.residency.all_but_experts) continue;
    EXPECT_GE(p.residency.bytes + (64u << 20), last) << gib;
    last = p.residency.bytes;
  }
}

}  // namespace
}  // namespace assay::engine
