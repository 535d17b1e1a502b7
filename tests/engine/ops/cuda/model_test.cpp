// Whole models through the CUDA backend over the emulated device, which faults when host code touches
// device memory: fidelity to the naive path, and bits that do not depend on how requests are cut.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>

#include "base/file.h"
#include "base/random.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/distributed/forwarding_backend.h"
#include "engine/execute/generate.h"
#include "engine/execute/runner.h"
#include "engine/execute/score.h"
#include "engine/reference/model.h"
#include "tests/engine/ops/cuda/emulated_backend.h"
#include "tests/engine/random_models.h"

#if defined(__x86_64__)

namespace assay::engine {
namespace {

struct Scores final : ScoreSink {
  std::vector<ScoreResult> results;
  uint64_t routed = 0;  // tokens counted by experts
  explicit Scores(size_t n) : results(n) {}
  void on_score(ScoreResult&& r) override {
    const size_t index = r.index;
    results[index] = std::move(r);
  }
  void on_expert_load(const ExpertLoad& load) override {
    for (const uint64_t n : load.tokens) routed += n;
  }
};
struct Texts final : GenerateSink {
  std::vector<GenerateResult> results;
  explicit Texts(size_t n) : results(n) {}
  void on_generate(GenerateResult&& r) override {
    const size_t index = r.index;
    results[index] = std::move(r);
  }
};

// A checkpoint on the emulated device.
struct Device {
  Device(const Checkpoint& checkpoint, Numerics numerics, bool streamed = false, bool tuned = false)
      : backend(ops::make_emulated_cuda_backend(numerics, workers, checkpoint.config().ue8m0_scales,
                                                false, tuned)),
        preparer(streamed ? ops::make_emulated_cuda_backend(numerics, preparing,
                                                            checkpoint.config().ue8m0_scales, false, tuned)
                          : nullptr),
        runner(checkpoint, *backend, preparer.get(), {}) {}
  Scores score(std::span<const ScoreRequest> requests, const PlanLimits& limits) {
    Scores sink(requests.size());
    run_score(runner, requests, limits, true, sink, statistics);
    return sink;
  }
  Texts generate(std::span<const GenerateRequest> requests, const GenerateLimits& limits, bool speculate) {
    Texts sink(requests.size());
    run_generate(runner, nullptr, requests, limits, true, speculate, sink, statistics);
    return sink;
  }
  Workers workers{1}, preparing{1};
  std::unique_ptr<ops::Backend> backend, preparer;
  Runner runner;
  EngineStatistics statistics;
};

class CudaModel : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const test::RandomModel model = test::random_model(GetParam(), 1);
    description_ = test::describe(model);
    test::write_checkpoint(directory_.path(), model);
    checkpoint_ = std::make_unique<Checkpoint>(Checkpoint::open(directory_.path()));
    Random random(7);
    const auto vocabulary = static_cast<uint64_t>(checkpoint_->config().vocabulary);
    for (size_t n : {5, 5, 9, 70}) {  // beyond a block of positions
      std::vector<TokenId> tokens = texts_.empty() ? std::vector<TokenId>() : texts_[0];
      while (tokens.size() < n) tokens.push_back(static_cast<TokenId>(random.below(vocabulary)));
      tokens.push_back(static_cast<TokenId>(texts_.size()));
      texts_.push_back(tokens);
    }
    for (const auto& text : texts_) {
      const TokenSpan tokens(text);
      requests_.push_back({tokens.first(tokens.size() - 3), tokens.last(3)});
    }
  }
  TemporaryDirectory directory_;
  std::string description_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::vector<std::vector<TokenId>> texts_;
  std::vector<ScoreRequest> requests_;
};

TEST_P(CudaModel, AgreesWithTheNaivePath) {
  SCOPED_TRACE(description_);
  Device device(*checkpoint_, Numerics::fp32);
  const Scores sink = device.score(requests_, {30, 100, 1 << 20});
  const Workers workers(1);
  const reference::Model naive(*checkpoint_, workers);
  for (size_t i = 0; i < requests_.size(); ++i) {
    const reference::Output output = naive.forward(texts_[i]);
    const size_t context = requests_[i].context.size();
    for (size_t k = 0; k < 3; ++k) {
      const double expected =
          output.logprobs.row(static_cast<int64_t>(context + k) - 1)[texts_[i][context + k]];
      EXPECT_NEAR(static_cast<double>(sink.results[i].token_logprobs[k]), expected, 2e-4);
    }
  }
}

TEST_P(CudaModel, BitsDoNotDependOnTheCut) {
  std::vector<Numerics> modes = {numerics_of_weights(checkpoint_->tensors())};
  if (modes[0] == Numerics::fp8_weights) modes.push_back(Numerics::fp8);
  for (const Numerics mode : modes) {
    SCOPED_TRACE(description_ + ", " + std::string(numerics_name(mode)));
    Device device(*checkpoint_, mode);
    const Scores whole = device.score(requests_, {4096, 4096, 1 << 20});
    const auto check = [&](const Scores& other) {
      EXPECT_EQ(other.routed, whole.routed);
      for (size_t i = 0; i < requests_.size(); ++i) {
        EXPECT_EQ(other.results[i].token_logprobs, whole.results[i].token_logprobs);
        EXPECT_EQ(other.results[i].token_greedy, whole.results[i].token_greedy);
      }
    };
    check(device.score(requests_, {33, 20, 1 << 20}));  // some ancestors kept, some recomputed
    Device streamed(*checkpoint_, mode, true);
    check(streamed.score(requests_, {60, 60, 1 << 20}));

    std::vector<GenerateRequest> prompts(2);
    for (size_t i = 0; i < prompts.size(); ++i) {
      prompts[i].prompt = texts_[i + 1];
      prompts[i].max_tokens = 4;
    }
    prompts[1].sampling = {0.8, 0.9, 1, 1};
    const Texts together = device.generate(prompts, {64, 64, 4}, false);
    const auto same = [&](const Texts& other) {
      for (size_t i = 0; i < prompts.size(); ++i) {
        EXPECT_EQ(other.results[i].tokens, together.results[i].tokens);
        EXPECT_EQ(other.results[i].token_logprobs, together.results[i].token_logprobs);
      }
    };
    same(device.generate(prompts, {5, 64, 1}, false));
    if (checkpoint_->weights().mtp) same(device.generate(prompts, {64, 64, 4}, true));
  }
}

TEST_P(CudaModel, TunedBitsDoNotDependOnTheCut) {
  std::vector<Numerics> modes = {Numerics::bf16};
  if (numerics_of_weights(checkpoint_->tensors()) == Numerics::fp8_weights)
    modes = {Numerics::fp8, Numerics::fp8_weights};
  for (const Numerics mode : modes) {
    SCOPED_TRACE(description_ + ", " + std::string(numerics_name(mode)));
    Device device(*checkpoint_, mode, false, true);
    const Scores whole = device.score(requests_, {4096, 4096, 1 << 20});
    const auto check = [&](const Scores& other) {
      for (size_t i = 0; i < requests_.size(); ++i) {
        EXPECT_EQ(other.results[i].token_logprobs, whole.results[i].token_logprobs);
        EXPECT_EQ(other.results[i].token_greedy, whole.results[i].token_greedy);
      }
    };
    check(device.score(requests_, {50, 20, 1 << 20}));
    if (mode != Numerics::fp8_weights) continue;  // whose weights wait in an order of their own
    check(Device(*checkpoint_, mode, true, true).score(requests_, {4096, 4096, 1 << 20}));
  }
}

// An allocation that fails in a pass, of the model's buffers or an op's own: equal bits in smaller passes.
TEST_P(CudaModel, MemoryThatRunsOutCutsPasses) {
  SCOPED_TRACE(description_);
  Device device(*checkpoint_, numerics_of_weights(checkpoint_->tensors()));
  const auto requests = std::span(requests_).first(3);
  const Scores whole = device.score(requests, {4096, 4096, 1 << 20});
  for (const int64_t after : {1, 6, 15}) {
    device.runner.trim();
    ops::fail_emulated_allocation(after);
    const Scores cut = device.score(requests, {4096, 4096, 1 << 20});
    EXPECT_EQ(ops::fail_emulated_allocation(-1), -1) << "fewer allocations than " << after;
    EXPECT_EQ(cut.routed, whole.routed);
    for (size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(cut.results[i].token_logprobs, whole.results[i].token_logprobs);
      EXPECT_EQ(cut.results[i].token_greedy, whole.results[i].token_greedy);
    }
  }
}

// A preparer that counts what it packs and what it copies from host memory.
class Counting final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  std::unique_ptr<ops::Matrix> prepare(std::span<const TensorView> tensors, ops::Stacking stacking,
                                       ops::Role role) const override {
    ++packed;
    return inner_.prepare(tensors, stacking, role);
  }
  std::unique_ptr<ops::Matrix> load(const ops::KeptMatrix& kept) const override {
    ++loaded;
    return inner_.load(kept);
  }
  mutable std::atomic<int> packed = 0, loaded = 0;
};

// Streamed weights are packed once and then copied from host memory as far as that goes: equal bits.
TEST_P(CudaModel, StreamedFromHostMemory) {
  SCOPED_TRACE(description_);
  const Numerics mode = numerics_of_weights(checkpoint_->tensors());
  const auto requests = std::span(requests_).first(3);
  std::vector<GenerateRequest> prompts(1);
  prompts[0].prompt = texts_[1];
  prompts[0].max_tokens = 3;
  Device resident(*checkpoint_, mode);
  const Scores scores = resident.score(requests, {4096, 4096, 1 << 20});
  const Texts texts = resident.generate(prompts, {64, 64, 4}, false);

  const Workers workers(1), preparing(1);
  const bool ue8m0 = checkpoint_->config().ue8m0_scales;
  const ModelConfig& config = checkpoint_->config();
  int64_t moe_layers = 0;
  for (int64_t layer = 0; layer < config.layers; ++layer) moe_layers += config.is_moe_layer(layer);
  enum class Kept { all, part, none };  // of what is streamed, once it has been there
  struct Case {
    Residency residency;
    int64_t pins;  // arrays that the host can pin; -1: any number
    Kept kept;
  };
  for (const Case& c : {Case{{false, 0, size_t{1} << 30}, -1, Kept::all},
                        Case{{true, 0, size_t{1} << 30}, -1, Kept::all},
                        Case{{false, 60'000, 90'000}, -1, Kept::part},
                        Case{{true, 0, size_t{1} << 30}, 3, Kept::none}}) {
    SCOPED_TRACE(std::to_string(c.residency.host_bytes) + " " + std::to_string(c.pins));
    const int64_t layers = c.residency.all_but_experts ? moe_layers : config.layers;
    if (layers == 0) continue;
    const auto backend = ops::make_emulated_cuda_backend(mode, workers, ue8m0, false);
    const auto inner = ops::make_emulated_cuda_backend(mode, preparing, ue8m0, false);
    const Counting preparer(*inner);
    Runner runner(*checkpoint_, *backend, &preparer, c.residency);
    EngineStatistics statistics;
    ops::limit_emulated_pinning(c.pins);
    for (int pass = 0; pass < 2; ++pass) {
      Scores sink(requests.size());
      run_score(runner, requests, {4096, 4096, 1 << 20}, true, sink, statistics);
      for (size_t i = 0; i < requests.size(); ++i) {
        EXPECT_EQ(sink.results[i].token_logprobs, scores.results[i].token_logprobs);
      }
    }
    // The first layer may be prepared by the computing backend, before there is anything to hide behind.
    const int packed = preparer.packed, loaded = preparer.loaded;
    Scores again(requests.size());
    run_score(runner, requests, {4096, 4096, 1 << 20}, true, again, statistics);
    if (layers > 1) {  // a single one would not move
      if (c.kept == Kept::all) {
        EXPECT_EQ(preparer.packed, packed);
        EXPECT_GT(preparer.loaded, loaded);
      } else if (c.kept == Kept::none) {
        EXPECT_GT(preparer.packed, packed);
        EXPECT_EQ(preparer.loaded, 0);
      }
    }
    Texts written(1);
    run_generate(runner, nullptr, prompts, {64, 64, 4}, true, false, written, statistics);
    EXPECT_EQ(written.results[0].tokens, texts.results[0].tokens);
    EXPECT_EQ(written.results[0].token_logprobs, texts.results[0].token_logprobs);
    ops::limit_emulated_pinning(-1);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, CudaModel,
                         testing::Values("deepseek_v3", "deepseek_v2_lite", "qwen2", "qwen3_moe"),
                         [](const auto& p) { return p.param; });

}  // namespace
}  // namespace assay::engine

#endif
