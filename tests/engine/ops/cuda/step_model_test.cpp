// Generation in steps that are put off and run as graphs: the same bits as without, on the emulated
// device, whose graphs know no argument but those they were given.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "engine/execute/generate.h"
#include "engine/execute/runner.h"
#include "tests/engine/execute/random_material.h"
#include "tests/engine/execute/sinks.h"
#include "tests/engine/ops/cuda/emulated_backend.h"
#include "tests/engine/random_models.h"

#if defined(__x86_64__)

namespace assay::engine {
namespace {

using test::expect_same;
using test::Texts;

class StepModel : public testing::TestWithParam<std::string>, protected test::WithRandomCheckpoint {
 protected:
  void SetUp() override {
    make_checkpoint(GetParam(), 1);
    mode_ = numerics_of_weights(checkpoint_->tensors());
    mtp_ = checkpoint_->weights().mtp.has_value();
    vocabulary_ = static_cast<uint64_t>(checkpoint_->config().vocabulary);
  }
  void TearDown() override {
    ops::use_emulated_graphs(true);
    ops::limit_emulated_step_ring(size_t{1} << 20);
    ops::fail_emulated_allocation(-1);
    ops::set_emulated_multiprocessors(3);
  }

  struct Device {
    explicit Device(const StepModel& test, bool tuned = false)
        : backend(ops::make_emulated_cuda_backend(test.mode_, workers, test.checkpoint_->config().ue8m0_scales,
                                                  false, tuned)),
          runner(*test.checkpoint_, *backend, nullptr, {}) {}
    Texts generate(std::span<const GenerateRequest> requests, const GenerateLimits& limits, bool speculate) {
      Texts sink(requests.size());
      run_generate(runner, nullptr, requests, limits, true, speculate, sink, statistics);
      return sink;
    }
    const ops::StepCounts& counts() const { return ops::emulated_step_counts(*backend); }
    Workers workers{1};
    std::unique_ptr<ops::Backend> backend;
    Runner runner;
    EngineStatistics statistics;
  };

  // Prompts of several lengths, an end each; every third one is sampled.
  std::vector<GenerateRequest> requests(size_t n) {
    Random random(5);
    prompts_.clear();
    for (size_t i = 0; i < n; ++i) {
      std::vector<TokenId>& prompt = prompts_.emplace_back();
      for (size_t j = 0; j < 3 + 5 * i; ++j) prompt.push_back(static_cast<TokenId>(random.below(vocabulary_)));
    }
    std::vector<GenerateRequest> out(n);
    for (size_t i = 0; i < n; ++i) {
      out[i].prompt = prompts_[i];
      out[i].max_tokens = 2 + static_cast<int>(3 * i % 8);
      if (i % 3 == 2) out[i].sampling = {0.9, i % 2 == 0 ? 0.8 : 1.0, 3, i};
    }
    return out;
  }
  static void expect_same_results(const Texts& a, const Texts& b) {
    for (size_t i = 0; i < a.results.size(); ++i) expect_same(a.results[i], b.results[i]);
    EXPECT_EQ(a.totals, b.totals);  // expert load, weights included
  }

  Numerics mode_{};
  bool mtp_ = false;
  uint64_t vocabulary_ = 0;
  std::vector<std::vector<TokenId>> prompts_;
};

// Batches that shrink, grow and take sequences in midway.
TEST_P(StepModel, SameBitsAsWithoutGraphs) {
  SCOPED_TRACE(description_);
  for (const bool tuned : {false, true}) {
    const auto prompts = requests(tuned ? 2 : 4);
    ops::use_emulated_graphs(false);
    Device without(*this, tuned);
    const Texts expected = without.generate(prompts, {64, 1 << 12, 3}, false);
    EXPECT_EQ(without.counts().steps, 0u);
    ops::use_emulated_graphs(true);
    Device device(*this, tuned);
    expect_same_results(device.generate(prompts, {64, 1 << 12, 3}, false), expected);
    EXPECT_GT(device.counts().runs, 0u);
    EXPECT_EQ(device.statistics.tokens_generated, without.statistics.tokens_generated);
    if (!tuned) expect_same_results(device.generate(prompts, {20, 60, 4}, false), expected);
    if (mtp_) expect_same_results(device.generate(prompts, {64, 1 << 12, 3}, true), expected);
  }
}

// Once a batch is what it was, a step is one graph after the other and nothing of them changes.
TEST_P(StepModel, NothingIsBuiltAfterWarmUp) {
  SCOPED_TRACE(description_);
  auto prompts = requests(3);
  prompts.resize(2);  // greedy
  for (GenerateRequest& request : prompts) {
    request.max_tokens = 14;
    request.stop_at_eos = false;
  }
  Device device(*this);
  device.generate(prompts, {64, 1 << 12, 4}, false);
  const ops::StepCounts first = device.counts();
  EXPECT_EQ(first.steps, 13u);
  // Entries beyond ranked_entries() are sorted between two graphs, in every layer.
  EXPECT_LE(first.built, static_cast<uint64_t>(checkpoint_->config().layers) + 1);
  EXPECT_GE(first.runs, first.steps - 3);
  EXPECT_LE(first.patched, first.launches / 20);
  const uint64_t launches = first.launches / first.steps;  // of a step
  EXPECT_LE(first.one_by_one, 3 * launches);
  for (GenerateRequest& request : prompts) request.max_tokens = 24;
  device.generate(prompts, {64, 1 << 12, 4}, false);
  const ops::StepCounts& second = device.counts();
  EXPECT_LE(second.built, first.built + 1);
  EXPECT_LE(second.patched - first.patched, 3 * launches);
}

TEST_P(StepModel, StagedDataBeyondTheRing) {
  SCOPED_TRACE(description_);
  const auto prompts = requests(3);
  ops::use_emulated_graphs(false);
  const Texts expected = Device(*this).generate(prompts, {64, 1 << 12, 4}, false);
  ops::use_emulated_graphs(true);
  for (const size_t bytes : {1024, 8192}) {
    ops::limit_emulated_step_ring(bytes);
    expect_same_results(Device(*this).generate(prompts, {64, 1 << 12, 4}, false), expected);
  }
}

// Memory that runs out within a step: halves of it, and experts are counted once.
TEST_P(StepModel, MemoryThatRunsOutCutsSteps) {
  SCOPED_TRACE(description_);
  auto prompts = requests(4);
  for (GenerateRequest& request : prompts) {
    std::vector<TokenId>& prompt = prompts_[static_cast<size_t>(&request - prompts.data())];
    prompt = {static_cast<TokenId>(&request - prompts.data())};
    request.prompt = prompt;
    request.max_tokens = 4;
    request.stop_at_eos = false;
    request.sampling = {};
  }
  ops::use_emulated_graphs(false);
  const Texts expected = Device(*this).generate(prompts, {64, 1 << 12, 4}, false);
  ops::use_emulated_graphs(true);
  Device device(*this);
  // Two sequences come at a time: steps are the first to have four rows, and none has one.
  const GenerateLimits limits{2, 1 << 12, 4};
  expect_same_results(device.generate(prompts, limits, false), expected);
  bool failed = true;
  for (int64_t after = 1; failed; after += 5) {
    device.runner.trim();
    ops::fail_emulated_allocation(after);
    expect_same_results(device.generate(prompts, limits, false), expected);
    failed = ops::fail_emulated_allocation(-1) == -1;
  }
  EXPECT_GT(device.counts().dropped, 1u);
}

// Samples of prompts with a long part in common, read by each sequence or by several together.
TEST_P(StepModel, SequencesThatReadTogether) {
  SCOPED_TRACE(description_);
  auto prompts = requests(4);
  Random random(3);
  std::vector<TokenId> prefix;
  for (int i = 0; i < 150; ++i) prefix.push_back(static_cast<TokenId>(random.below(vocabulary_)));
  for (size_t i = 0; i < prompts.size(); ++i) {
    prompts_[i].insert(prompts_[i].begin(), prefix.begin(), prefix.end());
    prompts[i].prompt = prompts_[i];
    prompts[i].max_tokens = 3;
  }
  Device device(*this);
  ops::set_emulated_multiprocessors(1000);
  const Texts expected = device.generate(prompts, {400, 1 << 12, 4}, false);
  ops::set_emulated_multiprocessors(1);
  expect_same_results(device.generate(prompts, {400, 1 << 12, 4}, false), expected);
  if (mtp_) expect_same_results(device.generate(prompts, {400, 1 << 12, 4}, true), expected);
}

INSTANTIATE_TEST_SUITE_P(Families, StepModel,
                         testing::Values("deepseek_v3", "deepseek_v2_lite", "qwen2", "qwen3_moe"),
                         [](const auto& p) { return p.param; });

// The layer that overflows is named, though nobody looked when it was computed.
TEST(StepOverflow, NamesTheLayer) {
  TemporaryDirectory directory;
  int layers = 0;
  for (uint64_t seed = 1; layers < 2; ++seed) {
    test::RandomModel model = test::random_model("qwen3", seed);
    model.storage = DType::f32;
    model.shards = 1;
    test::write_checkpoint(directory.path(), model);
    layers = static_cast<int>(Checkpoint::open(directory.path()).config().layers);
  }
  const std::string name = "layers." + std::to_string(layers - 1) + ".mlp.";
  {
    const Checkpoint checkpoint = Checkpoint::open(directory.path());
    std::string bytes = read_file(directory.path() / "model.safetensors");
    for (const TensorView& tensor : checkpoint.tensors()) {
      if (tensor.name.find(name) == std::string::npos) continue;
      const float huge = 3e38f;
      for (int64_t i = 0; i < tensor.elements(); ++i) {
        std::memcpy(bytes.data() + tensor.offset + static_cast<size_t>(i) * sizeof huge, &huge, sizeof huge);
      }
    }
    write_file_atomically(directory.path() / "model.safetensors", bytes);
  }
  const Checkpoint checkpoint = Checkpoint::open(directory.path());
  const Workers workers(1);
  for (const bool graphs : {false, true}) {
    ops::use_emulated_graphs(graphs);
    const auto backend = ops::make_emulated_cuda_backend(Numerics::fp32, workers, false, false);
    Runner runner(checkpoint, *backend, nullptr, {});
    model::KvPool pool = runner.make_pool(1);
    const TokenId id = 1;
    const int32_t zero = 0;
    const ops::Segment segment{0, 1, 0, &zero};
    int hooks = 0;
    try {
      Runner::Step step(runner, true, layers);
      runner.run({&id, 1}, {{&zero, 1}, {&segment, 1}, {}, {&zero, 1}, model::Form::absorbed}, pool,
                 [&](int, const ops::Routing*) { ++hooks; });
      step.finish();
      ADD_FAILURE() << "accepted";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("layer " + std::to_string(layers - 1) + " computes"),
                std::string::npos)
          << e.what();
    }
    EXPECT_EQ(hooks, layers - 1);
    EXPECT_EQ(ops::emulated_step_counts(*backend).steps, graphs ? 1u : 0u);
  }
  ops::use_emulated_graphs(true);
}

}  // namespace
}  // namespace assay::engine

#endif
