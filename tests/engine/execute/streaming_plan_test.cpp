// What passes over streamed weights move, and from how many rows on computing binds: by hand.
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "engine/checkpoint/config.h"
#include "engine/execute/memory_plan.h"
#include "engine/execute/streaming_plan.h"

namespace assay::engine {
namespace {

TEST(StreamingPlan, LeadingLayersStayAndWaitOnTheHost) {
  // A dense layer without experts, then four of 100 bytes and 10 FLOP a row.
  const std::vector<StreamedLayer> layers{{0, 7}, {100, 10}, {100, 10}, {100, 10}, {100, 10}};
  const StreamingPlan disk = plan_streaming(layers, 150, 0, 0.5);  // one stays
  EXPECT_DOUBLE_EQ(disk.copied_bytes, 300);
  EXPECT_DOUBLE_EQ(disk.read_bytes, 150);
  EXPECT_DOUBLE_EQ(disk.row_flops, 30);
  const StreamingPlan gpu = plan_streaming(layers, 150, 250, 0.5);  // two more wait on the host
  EXPECT_DOUBLE_EQ(gpu.copied_bytes, 300);
  EXPECT_DOUBLE_EQ(gpu.read_bytes, 50);
  const StreamingPlan none = plan_streaming(layers, 400, 0, 0.5);
  EXPECT_DOUBLE_EQ(none.copied_bytes, 0);
  EXPECT_DOUBLE_EQ(break_even_rows(none, {1, 1, 1}), 0);

  // 150 bytes of disk at 10 a second: 15 s, in which 2 FLOP a second make one row of 30.
  EXPECT_DOUBLE_EQ(moving_seconds(disk, {2, 10, 0}), 15);
  EXPECT_DOUBLE_EQ(break_even_rows(disk, {2, 10, 0}), 1);
  // Copying 300 bytes at 5 a second takes longer than reading 50 at 10.
  EXPECT_DOUBLE_EQ(moving_seconds(gpu, {2, 10, 5}), 60);
}

// 24 layers of 64 experts of 3 x 384 x 1024, 8 chosen; attention 4 x 1024 x 1024 elements.
class StreamedModel : public testing::Test {
 protected:
  static constexpr double kExperts = 24.0 * 64 * 3 * 384 * 1024 * 2;         // bytes of bf16
  static constexpr double kRow = 24.0 * 2 * (4.0 * 1024 * 1024 + 8.0 * 3 * 384 * 1024);  // FLOP
  static ModelConfig config() {
    const char* text = R"({"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe",
      "vocab_size": 32000, "hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 24,
      "num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 128,
      "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "hidden_act": "silu",
      "tie_word_embeddings": false, "rope_theta": 10000, "rope_scaling": null, "num_experts": 64,
      "num_experts_per_tok": 8, "moe_intermediate_size": 384, "norm_topk_prob": true,
      "decoder_sparse_step": 1, "mlp_only_layers": []})";
    const json::Document document = json::Document::parse(text, "config");
    return parse_config(document.root(), "config");
  }
};

TEST_F(StreamedModel, OnTheCpu) {
  EngineOptions options;
  options.memory_bytes = size_t{2} << 30;
  const MemoryPlan plan = plan_memory(config(), Numerics::bf16, options, false);
  ASSERT_TRUE(plan.streamed && plan.residency.all_but_experts);
  const StreamingPlan& moved = plan.streaming;
  EXPECT_GT(moved.copied_bytes, 0);
  EXPECT_LE(moved.copied_bytes, kExperts);
  EXPECT_DOUBLE_EQ(moved.read_bytes, moved.copied_bytes);  // bf16 in the file, too
  // Of as many layers as are streamed; the ratio does not depend on how many.
  EXPECT_NEAR(break_even_rows(moved, {500e9, 1e9, 0}), kExperts / 1e9 * 500e9 / kRow, 1e-6);
  EXPECT_NEAR(break_even_rows(moved, {500e9, 1e9, 0}), 2769, 1);
  // What is held and what is moved are all the weights, and the two buffers more.
  const double layer = kExperts / 24;
  EXPECT_NEAR(static_cast<double>(plan.held_bytes) + moved.copied_bytes,
              static_cast<double>(plan.weight_bytes) + 2 * layer, 0.02 * kExperts);
  EXPECT_LT(plan.held_bytes, options.memory_bytes);
  EXPECT_EQ(plan.kept_on_host, 0u);
}

TEST_F(StreamedModel, OnAGpu) {
  EngineOptions options;
  options.devices = {{DeviceKind::cuda, 0}};
  options.gpu_memory_bytes = size_t{3} << 30;
  options.memory_bytes = size_t{16} << 30;
  const MemoryPlan plan = plan_memory(config(), Numerics::bf16, options, false);
  ASSERT_TRUE(plan.streamed);
  EXPECT_EQ(plan.budget, options.gpu_memory_bytes);
  EXPECT_LT(plan.held_bytes, options.gpu_memory_bytes);
  EXPECT_DOUBLE_EQ(plan.streaming.read_bytes, 0);  // all of it waits in host memory
  EXPECT_NEAR(static_cast<double>(plan.kept_on_host), plan.streaming.copied_bytes, 1);
  EXPECT_GT(plan.residency.host_bytes, plan.kept_on_host);
  options.memory_bytes = size_t{1} << 30;
  const MemoryPlan scarce = plan_memory(config(), Numerics::bf16, options, false);
  EXPECT_GT(scarce.streaming.read_bytes, 0);
  EXPECT_LT(scarce.kept_on_host, options.memory_bytes);
  EXPECT_NEAR(static_cast<double>(scarce.kept_on_host) + scarce.streaming.read_bytes,
              scarce.streaming.copied_bytes, 2);
  options.gpu_memory_bytes = size_t{100} << 20;
  try {
    plan_memory(config(), Numerics::bf16, options, false);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("--gpu-memory"), std::string::npos) << e.what();
  }
}

// Whatever the requests' length: what a schedule holds is within the budget, or is refused.
TEST_F(StreamedModel, PassesBehindLongPathsFitTheBudget) {
  ModelConfig model = config();
  model.context_length = 32768;
  const std::vector<TokenId> tokens(30000, 1);
  int smaller = 0;
  for (const size_t mib : {size_t{1000}, size_t{1200}, size_t{2000}, size_t{4000}, size_t{4200}}) {
    EngineOptions options;
    options.memory_bytes = mib << 20;
    const MemoryPlan plan = plan_memory(model, Numerics::bf16, options, false);
    for (const size_t shared : {size_t{100}, size_t{2000}, size_t{8000}, size_t{29000}}) {
      // Requests that share a long prefix, so that it is kept from pass to pass.
      std::vector<std::vector<TokenId>> own;
      for (TokenId i = 0; i < 200; ++i) own.emplace_back(100, i + 2);
      std::vector<PathView> paths;
      for (const auto& ids : own) paths.push_back({TokenSpan(tokens).first(shared), ids});
      const auto passes = plan_passes(build_forest(paths), paths, plan.limits());
      const size_t bytes = schedule_memory(plan, model, passes);
      try {
        check_budget(plan, model, bytes);
        EXPECT_LE(plan.held_bytes + bytes, plan.budget);
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::resource);
        EXPECT_GT(shared, size_t{2000}) << mib << " MiB";
      }
      for (const PassPlan& pass : passes) smaller += pass.kept > plan.free_ancestors;
    }
  }
  EXPECT_GT(smaller, 0);
}

TEST(MeasureDisk, NeedsWeights) {
  const TemporaryDirectory directory;
  EXPECT_FALSE(measure_disk(directory.path()));
  EXPECT_FALSE(measure_disk(directory.path() / "none"));
  write_file_atomically(directory.path() / "model.safetensors", std::string(1000, 'x'));
  EXPECT_FALSE(measure_disk(directory.path()));  // too little to tell
}

}  // namespace
}  // namespace assay::engine
