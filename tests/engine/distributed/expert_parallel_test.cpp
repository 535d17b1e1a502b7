// Several ranks against one: the same bits, whatever the number of ranks, how requests are shared out,
// and how many passes each has. Ranks are threads, each with a backend of its own.
#include "engine/distributed/expert_parallel.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/file.h"
#include "base/random.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/distributed/thread_collective.h"
#include "engine/execute/runner.h"
#include "engine/execute/score.h"
#include "tests/engine/random_models.h"

namespace assay::engine {
namespace {

struct Scores final : ScoreSink {
  std::vector<ScoreResult> results;
  explicit Scores(size_t n) : results(n) {}
  void on_score(ScoreResult&& r) override {
    const size_t index = r.index;
    results[index] = std::move(r);
  }
};

class ExpertParallel : public testing::TestWithParam<std::tuple<std::string, int>>,
                       public test::WithRandomCheckpoint {
 protected:
  void SetUp() override {
    const auto& [family, seed] = GetParam();
    make_checkpoint(family, seed);
    Random random(11);
    const auto vocabulary = static_cast<uint64_t>(checkpoint_->config().vocabulary);
    texts_.resize(7);
    for (auto& text : texts_) {
      const size_t n = 4 + random.below(40);
      while (text.size() < n) text.push_back(static_cast<TokenId>(random.below(vocabulary)));
    }
    for (const auto& text : texts_) {
      const TokenSpan tokens(text);
      requests_.push_back({tokens.first(2), tokens.subspan(2)});
    }
  }
  std::vector<std::vector<TokenId>> texts_;
  std::vector<ScoreRequest> requests_;
};

TEST_P(ExpertParallel, BitsOfOneRank) {
  std::vector<Numerics> modes = {Numerics::fp32, numerics_of_weights(checkpoint_->tensors())};
  if (modes[1] == Numerics::fp8_weights) modes.push_back(Numerics::fp8);
  const PlanLimits limits{16, 16, 1 << 20};
  for (const Numerics mode : modes) {
    SCOPED_TRACE(description_ + ", " + std::string(numerics_name(mode)));
    const Workers workers(1);
    const auto alone = ops::make_cpu_backend(Kernels::automatic, mode, workers,
                                             checkpoint_->config().ue8m0_scales);
    Runner runner(*checkpoint_, *alone, nullptr, {});
    EngineStatistics statistics;
    Scores expected(requests_.size());
    run_score(runner, requests_, limits, true, expected, statistics);
    for (const int ranks : {1, 2, 3}) {
      auto group = make_thread_group(ranks);
      std::vector<std::vector<ScoreResult>> results(static_cast<size_t>(ranks));
      std::vector<std::thread> threads;
      for (int rank = 0; rank < ranks; ++rank) {
        threads.emplace_back([&, rank] {
          Collective& end = *group[static_cast<size_t>(rank)];
          try {
            const Workers own(1);
            const auto inner = ops::make_cpu_backend(Kernels::automatic, mode, own,
                                                     checkpoint_->config().ue8m0_scales);
            const auto backend = make_expert_parallel(*inner, end);
            Runner parallel(*checkpoint_, *backend, nullptr, {});
            // Shares of different size: rank r takes every request i with i * i % ranks == r, which
            // leaves some ranks with little or nothing to do.
            std::vector<ScoreRequest> share;
            for (size_t i = 0; i < requests_.size(); ++i) {
              if (static_cast<int>(i * i) % ranks == rank) share.push_back(requests_[i]);
            }
            Scores sink(share.size());
            EngineStatistics own_statistics;
            run_score(parallel, share, limits, true, sink, own_statistics);
            results[static_cast<size_t>(rank)] = std::move(sink.results);
          } catch (const std::exception& error) {
            end.abandon();
            ADD_FAILURE() << "rank " << rank << ": " << error.what();
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
      std::vector<size_t> next(static_cast<size_t>(ranks), 0);
      for (size_t i = 0; i < requests_.size(); ++i) {
        const size_t rank = i * i % static_cast<size_t>(ranks);
        ASSERT_LT(next[rank], results[rank].size());
        const ScoreResult& r = results[rank][next[rank]++];
        EXPECT_EQ(r.token_logprobs, expected.results[i].token_logprobs) << ranks << " ranks";
        EXPECT_EQ(r.token_greedy, expected.results[i].token_greedy);
      }
    }
  }
}

// A rank prepares its own experts only; together the ranks keep each exactly once.
TEST_P(ExpertParallel, EveryExpertIsKeptOnce) {
  const auto group = make_thread_group(3);
  const Workers workers(1);
  const auto inner = ops::make_cpu_backend(Kernels::automatic, Numerics::fp32, workers, false);
  for (const int64_t experts : {1, 2, 3, 7, 64, 256}) {
    for (int64_t e = 0; e < experts; ++e) {
      int keepers = 0;
      for (const auto& end : group) keepers += make_expert_parallel(*inner, *end)->keeps_expert(e, experts);
      EXPECT_EQ(keepers, 1) << e << " of " << experts;
    }
  }
  const auto third = make_expert_parallel(*inner, *group[2]);
  const auto& layers = checkpoint_->weights().layers;
  for (const LayerWeights& layer : layers) {
    const model::PreparedExperts prepared = model::prepare_experts(*checkpoint_, layer, *third);
    const auto count = static_cast<int64_t>(prepared.experts.size());
    for (int64_t e = 0; e < count; ++e) {
      EXPECT_EQ(prepared.experts[static_cast<size_t>(e)].gate_up != nullptr, third->keeps_expert(e, count));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Random, ExpertParallel,
                         testing::Combine(testing::Values("deepseek_v3", "deepseek_v2", "qwen3_moe"),
                                          testing::Values(1, 2)),
                         [](const auto& p) {
                           return std::get<0>(p.param) + "_" + std::to_string(std::get<1>(p.param));
                         });

}  // namespace
}  // namespace assay::engine
