// Small checkpoints as transformers 5 writes them, with what it computes in fp32 (README.md beside
// them): spellings and options that no released checkpoint of ../shared has.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/json.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/engine.h"
#include "engine/reference/model.h"
#include "tests/support/paths.h"

namespace assay::engine {
namespace {

const std::filesystem::path kFixtures = test_paths::source() / "tests/fixtures/transformers";

class Transformers : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const auto expected = json::Document::load(directory_ / "expected.json");
    expected.root().at("tokens").for_each_element(
        [&](json::Value v) { tokens_.push_back(static_cast<TokenId>(v.integer())); });
    expected.root().at("next_logprob").for_each_element([&](json::Value v) {
      next_.push_back(v.number());
    });
    ASSERT_EQ(next_.size() + 1, tokens_.size());
    ASSERT_GE(next_.size(), 30u);
  }
  const std::filesystem::path directory_ = kFixtures / GetParam();
  std::vector<TokenId> tokens_;
  std::vector<double> next_;
};

struct OneScore final : ScoreSink {
  ScoreResult result;
  void on_score(ScoreResult&& r) override { result = std::move(r); }
};

TEST_P(Transformers, Engine) {
  EngineOptions options;
  options.model = directory_;
  options.numerics = Numerics::fp32;
  options.require_tokenizer = false;
  const auto engine = open_engine(options);
  const TokenSpan tokens(tokens_);
  const ScoreRequest request[] = {{tokens.first(1), tokens.subspan(1)}};
  OneScore sink;
  engine->score(request, sink);
  ASSERT_EQ(sink.result.token_logprobs.size(), next_.size());
  for (size_t i = 0; i < next_.size(); ++i)
    EXPECT_NEAR(static_cast<double>(sink.result.token_logprobs[i]), next_[i], 5e-5) << i;
}

TEST_P(Transformers, NaivePass) {
  const Checkpoint checkpoint = Checkpoint::open(directory_);
  const Workers workers(1);
  const reference::Output output = reference::Model(checkpoint, workers).forward(tokens_);
  for (size_t i = 0; i < next_.size(); ++i)
    EXPECT_NEAR(output.logprobs.row(static_cast<int64_t>(i))[tokens_[i + 1]], next_[i], 5e-5) << i;
}

INSTANTIATE_TEST_SUITE_P(All, Transformers,
                         testing::Values("llama-attention-bias", "qwen3-moe-sparse-layers",
                                         "deepseek-v3-variants", "qwen3-fp8-bf16-scales"),
                         [](const auto& p) {
                           std::string name = p.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace assay::engine
