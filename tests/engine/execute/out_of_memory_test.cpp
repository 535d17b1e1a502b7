// Memory that runs out in the middle of a pass: the pass is cut, and nothing else changes.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "base/error.h"
#include "engine/distributed/forwarding_backend.h"
#include "engine/execute/generate.h"
#include "engine/execute/runner.h"
#include "engine/execute/score.h"
#include "tests/engine/execute/sinks.h"
#include "tests/engine/execute/random_material.h"
#include "tests/engine/random_models.h"

namespace assay::engine {
namespace {

using test::expect_same;
using test::Scores;
using test::Texts;

// A backend whose memory runs out on demand.
class Scarce final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  std::byte* allocate(size_t bytes) const override {
    largest = std::max(largest, bytes);
    if (bytes > limit || after-- == 0) {
      ++refused;
      return nullptr;
    }
    return inner_.allocate(bytes);
  }
  mutable int64_t after = -1;        // allocations until one is refused
  mutable size_t limit = SIZE_MAX;   // larger ones are refused
  mutable size_t largest = 0;        // that was asked for
  mutable int refused = 0;
};

class OutOfMemoryTest : public testing::TestWithParam<std::string>, protected test::WithRandomCheckpoint {
 protected:
  void SetUp() override {
    make_checkpoint(GetParam(), 1);
    material_ = test::random_material(5, checkpoint_->config().vocabulary);
    for (size_t i = 0; i < material_.prompts.size(); i += 2) {
      material_.prompts[i].sampling = {0.9, 0.8, 3, i};
    }
    backend_ = ops::make_cpu_backend(Kernels::portable, Numerics::bf16, workers_, false);
    scarce_ = std::make_unique<Scarce>(*backend_);
    runner_ = std::make_unique<Runner>(*checkpoint_, *scarce_, nullptr, Residency{});
    speculate_ = checkpoint_->weights().mtp.has_value();
  }
  Scores score() {
    Scores sink(material_.scores.size());
    run_score(*runner_, material_.scores, {4096, 4096, 1 << 20}, true, sink, statistics_);
    return sink;
  }
  Texts generate(bool speculate) {
    Texts sink(material_.prompts.size());
    run_generate(*runner_, nullptr, material_.prompts, {4096, 4096, 64}, true, speculate, sink,
                 statistics_);
    return sink;
  }
  // Once for every allocation of the call, which fails alone, until none does.
  template <class Call>
  void refuse_each(const Call& call) {
    const auto want = call();
    int cut = 0;
    for (int64_t after = 0;; ++after) {
      runner_->trim();
      scarce_->after = after;
      scarce_->refused = 0;
      try {
        const auto got = call();
        for (size_t i = 0; i < want.results.size(); ++i) expect_same(got.results[i], want.results[i]);
        EXPECT_EQ(got.totals, want.totals);
        cut += scarce_->refused;
      } catch (const Error& e) {
        // Before the first pass: the keys and values of the call, the layer that drafts.
        EXPECT_EQ(e.kind(), ErrorKind::resource);
        EXPECT_EQ(cut, 0) << e.what();
      }
      if (scarce_->refused == 0) break;
    }
    EXPECT_GT(cut, 5);
    scarce_->after = -1;
  }
  test::Material material_;
  const Workers workers_{1};
  std::unique_ptr<ops::Backend> backend_;
  std::unique_ptr<Scarce> scarce_;
  std::unique_ptr<Runner> runner_;
  bool speculate_ = false;
  EngineStatistics statistics_;
};

TEST_P(OutOfMemoryTest, ScoresStayWhicheverAllocationFails) {
  SCOPED_TRACE(description_);
  refuse_each([&] { return score(); });
}

TEST_P(OutOfMemoryTest, TextsStayWhicheverAllocationFails) {
  SCOPED_TRACE(description_);
  refuse_each([&] { return generate(false); });
  if (speculate_) refuse_each([&] { return generate(true); });
}

// Memory that is too small for the passes, all the time: they are cut as often as it takes.
TEST_P(OutOfMemoryTest, PassesAreCutAsOftenAsItTakes) {
  SCOPED_TRACE(description_);
  const Scores scores = score();
  const size_t most = scarce_->largest;
  for (const size_t percent : {99, 60, 40}) {
    runner_->trim();
    scarce_->limit = most * percent / 100;
    scarce_->refused = 0;
    const Scores cut = score();
    for (size_t i = 0; i < scores.results.size(); ++i) expect_same(cut.results[i], scores.results[i]);
    EXPECT_EQ(cut.totals, scores.totals);
    EXPECT_GE(scarce_->refused, percent == 40 ? 2 : 1);
    EXPECT_GT(cut.commits, scores.commits);
  }
  runner_->trim();
  scarce_->limit = 16;
  for (const auto& call : {std::function<void()>([&] { score(); }), {[&] { generate(false); }}}) {
    try {
      call();
      ADD_FAILURE() << "without memory";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::resource);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, OutOfMemoryTest,
                         testing::Values("deepseek_v3", "qwen2", "qwen3_moe"),
                         [](const auto& p) { return p.param; });

}  // namespace
}  // namespace assay::engine
