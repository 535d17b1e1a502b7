// Several ranks against one: the same bits in every form of parallelism, whatever the number of ranks,
// how passes are cut, weights resident or streamed, tokens drafted or not, and the same expert load.
// Random small models of every family; ranks are threads, each with a backend of its own.
#include <gtest/gtest.h>

#include "engine/distributed/expert_parallel.h"
#include "engine/distributed/parallel_engine.h"
#include "engine/distributed/pipeline.h"
#include "engine/distributed/share_out.h"
#include "engine/execute/generate.h"
#include "engine/execute/runner.h"
#include "engine/execute/score.h"
#include "tests/engine/distributed/on_ranks.h"
#include "tests/engine/execute/random_material.h"
#include "tests/engine/execute/sinks.h"
#include "tests/engine/random_models.h"

namespace assay::engine {
namespace {

using test::expect_same;
using test::on_ranks;
using test::Scores;
using test::Texts;

struct Setting {
  Parallel form = Parallel::none;
  int ranks = 1;
  bool streamed = false, drafts = false;
  int64_t pass_tokens = 4096, kept_tokens = 4096, sequences = 64;
  int64_t exchanged = kExchangedBytes;
  bool uneven = false;  // some ranks with little or nothing to do, not share_out's
};
std::string name_of(const Setting& run) {
  return std::to_string(run.ranks) + " ranks, " + std::string(parallel_name(run.form)) +
         (run.streamed ? ", streamed" : "") + (run.drafts ? ", drafts" : "") + ", passes of " +
         std::to_string(run.pass_tokens) + (run.uneven ? ", uneven" : "");
}

// What a rank is made of (engine.cpp has the same for devices).
struct Rank {
  // A backend, and perhaps the one over it that shares out experts.
  struct Layered {
    Layered(const Checkpoint& checkpoint, Numerics mode, const Setting& run, const Workers& workers,
            Collective& end)
        : own(ops::make_cpu_backend(Kernels::automatic, mode, workers, checkpoint.config().ue8m0_scales)) {
      if (run.form == Parallel::expert) parallel = make_expert_parallel(*own, end, run.exchanged);
    }
    const ops::Backend* get() const { return parallel ? parallel.get() : own.get(); }
    std::unique_ptr<ops::Backend> own, parallel;
  };
  Rank(const Checkpoint& checkpoint, Numerics mode, const Setting& run, Collective& end)
      : backend(checkpoint, mode, run, workers, end), preparer(checkpoint, mode, run, preparing, end) {
    const ops::Backend* inner = backend.own.get();
    ranks = std::make_unique<Ranks>();
    if (run.form == Parallel::expert) {
      ranks = std::make_unique<ExpertRanks>(*inner, end);
    } else if (run.form == Parallel::pipeline) {
      const auto stages = cut_layers(checkpoint.config(), mode, run.ranks);
      ranks = std::make_unique<PipelineRanks>(*inner, end, stages[static_cast<size_t>(end.rank())]);
    }
    runner = std::make_unique<Runner>(checkpoint, *backend.get(), run.streamed ? preparer.get() : nullptr,
                                      Residency{}, ranks.get());
  }
  Workers workers{1}, preparing{1};
  Layered backend, preparer;
  std::unique_ptr<Ranks> ranks;
  std::unique_ptr<Runner> runner;
  EngineStatistics statistics;
};

class SeveralRanks : public testing::TestWithParam<std::pair<std::string, int>>,
                     public test::WithRandomCheckpoint {
 protected:
  void SetUp() override {
    const auto& [family, seed] = GetParam();
    make_checkpoint(family, seed);
    material_ = test::random_material(static_cast<uint64_t>(seed), checkpoint_->config().vocabulary);
    modes_ = {Numerics::fp32, numerics_of_weights(checkpoint_->tensors())};
    if (modes_[1] == Numerics::fp8_weights) modes_.push_back(Numerics::fp8);
  }
  const ModelConfig& config() const { return checkpoint_->config(); }

  bool possible(const Setting& run) const {
    if (run.form == Parallel::expert) return config().moe.routed_experts > 0;
    return run.form != Parallel::pipeline || config().layers >= run.ranks;
  }

  // Every rank's requests as one rank sees them, the others' finished.
  template <class Request>
  std::vector<Request> own(const std::vector<Request>& all, const Setting& run, int rank) const {
    std::vector<Request> out = all;
    if (run.form == Parallel::pipeline) return out;
    const std::vector<int> rank_of = share_out(all, config(), run.ranks);
    for (size_t i = 0; i < all.size(); ++i) {
      const int taker = run.uneven ? static_cast<int>(i * i) % run.ranks : rank_of[i];
      out[i].finished = taker != rank;
    }
    return out;
  }

  // Runs `call(rank, own requests, sink)` on all ranks and puts the answers together.
  template <class Sink, class Request, class Call>
  Sink on(const Setting& run, Numerics mode, const std::vector<Request>& requests, const Call& call) {
    std::vector<Sink> sinks(static_cast<size_t>(run.ranks), Sink(requests.size()));
    on_ranks(run.ranks, [&](Collective& end) {
      Rank rank(*checkpoint_, mode, run, end);
      call(rank, own(requests, run, end.rank()), sinks[static_cast<size_t>(end.rank())]);
    });
    Sink all(requests.size());
    for (size_t r = 0; r < sinks.size(); ++r) {
      Sink& sink = sinks[r];
      EXPECT_TRUE(sink.pending.empty());
      if (run.form == Parallel::pipeline) {
        EXPECT_EQ(sink.commits, sinks[0].commits);
      }
      for (const auto& [key, load] : sink.totals) {
        auto& [tokens, weight] = all.totals[key];
        tokens.resize(load.first.size());
        weight.resize(load.first.size());
        for (size_t e = 0; e < tokens.size(); ++e) {
          tokens[e] += load.first[e];
          weight[e] += load.second[e];
        }
      }
      for (size_t i = 0; i < requests.size(); ++i) {
        if (sink.done[i]) all.add(std::move(sink.results[i]));
      }
    }
    return all;
  }
  Scores score(const Setting& run, Numerics mode) {
    const PlanLimits limits{run.pass_tokens, run.kept_tokens, 1 << 20};
    return on<Scores>(run, mode, material_.scores, [&](Rank& rank, const auto& requests, Scores& sink) {
      run_score(*rank.runner, requests, limits, true, sink, rank.statistics);
    });
  }
  Texts generate(const Setting& run, Numerics mode) {
    const GenerateLimits limits{run.pass_tokens, run.kept_tokens, run.sequences};
    return on<Texts>(run, mode, material_.prompts, [&](Rank& rank, const auto& requests, Texts& sink) {
      run_generate(*rank.runner, nullptr, requests, limits, true, run.drafts, sink, rank.statistics);
    });
  }

  template <class Sink>
  void check(const Setting& run, Numerics mode, const Sink& expected) {
    if (!possible(run)) return;
    SCOPED_TRACE(description_ + ", " + std::string(numerics_name(mode)) + ", " + name_of(run));
    const Sink sink = [&] {
      if constexpr (std::is_same_v<Sink, Scores>) {
        return score(run, mode);
      } else {
        return generate(run, mode);
      }
    }();
    for (size_t i = 0; i < expected.results.size(); ++i) {
      EXPECT_TRUE(sink.done[i]) << i;
      if (sink.done[i]) expect_same(sink.results[i], expected.results[i]);
    }
    EXPECT_EQ(sink.totals, expected.totals);
  }

  test::Material material_;
  std::vector<Numerics> modes_;
};

constexpr Parallel kForms[] = {Parallel::data, Parallel::expert, Parallel::pipeline};

TEST_P(SeveralRanks, Scores) {
  for (const Numerics mode : modes_) {
    const Scores expected = score({}, mode);
    for (const Parallel form : kForms) {
      for (const int ranks : {1, 2, 3, 4}) {
        check({.form = form, .ranks = ranks, .pass_tokens = 31, .kept_tokens = 20}, mode, expected);
      }
      check({.form = form, .ranks = 2, .streamed = true, .pass_tokens = 23, .kept_tokens = 11}, mode, expected);
    }
    check({.form = Parallel::expert, .ranks = 3, .pass_tokens = 16, .uneven = true}, mode, expected);
    // A few rows at a time: many rounds.
    check({.form = Parallel::expert, .ranks = 3, .exchanged = 20000}, mode, expected);
  }
}

TEST_P(SeveralRanks, Texts) {
  const bool mtp = checkpoint_->weights().mtp.has_value();
  for (const Numerics mode : modes_) {
    const Texts expected = generate({}, mode);
    for (const Parallel form : kForms) {
      for (const int ranks : {2, 3, 4}) {
        check({.form = form, .ranks = ranks, .pass_tokens = 40, .kept_tokens = 130, .sequences = 3}, mode,
              expected);
      }
      check({.form = form, .ranks = 2, .streamed = true}, mode, expected);
      if (!mtp) continue;
      check({.form = form, .ranks = 2, .drafts = true}, mode, expected);
      check({.form = form, .ranks = 3, .streamed = true, .drafts = true, .pass_tokens = 9, .kept_tokens = 130},
            mode, expected);
    }
    check({.form = Parallel::expert, .ranks = 3, .drafts = mtp, .uneven = true}, mode, expected);
  }
}

// A rank prepares its own experts only; together the ranks keep each exactly once, about equally many.
TEST_P(SeveralRanks, EveryExpertIsKeptOnce) {
  const auto group = make_thread_group(3);
  const Workers workers(1);
  const auto inner = ops::make_cpu_backend(Kernels::automatic, Numerics::fp32, workers, false);
  for (const int64_t experts : {1, 2, 3, 7, 64, 256}) {
    std::vector<int64_t> kept;
    int64_t all = 0;
    for (const auto& end : group) {
      const auto backend = make_expert_parallel(*inner, *end);
      int64_t n = 0;
      for (int64_t e = 0; e < experts; ++e) n += backend->keeps_expert(e, experts);
      kept.push_back(n);
      all += n;
      EXPECT_LE(n, (experts + 2) / 3);
    }
    EXPECT_EQ(all, experts);
  }
  const auto third = make_expert_parallel(*inner, *group[2]);
  for (const LayerWeights& layer : checkpoint_->weights().layers) {
    const model::PreparedExperts prepared = model::prepare_experts(*checkpoint_, layer, *third);
    const auto count = static_cast<int64_t>(prepared.experts.size());
    for (int64_t e = 0; e < count; ++e) {
      EXPECT_EQ(prepared.experts[static_cast<size_t>(e)].gate_up != nullptr, third->keeps_expert(e, count));
    }
  }
}

// Stages cover all layers in order, at least one each.
TEST_P(SeveralRanks, StagesCoverTheLayers) {
  ModelConfig config = checkpoint_->config();
  for (const int64_t layers : {1, 2, 5, 61}) {
    config.layers = layers;
    for (int stages = 1; stages <= std::min<int64_t>(layers, 8); ++stages) {
      int next = 0;
      for (const LayerRange& stage : cut_layers(config, Numerics::bf16, stages)) {
        EXPECT_EQ(stage.begin, next);
        EXPECT_GT(stage.end, stage.begin);
        next = stage.end;
      }
      EXPECT_EQ(next, layers);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Random, SeveralRanks, testing::ValuesIn(test::random_parameters()),
                         [](const auto& p) {
                           return p.param.first + "_" + std::to_string(p.param.second);
                         });

}  // namespace
}  // namespace assay::engine
