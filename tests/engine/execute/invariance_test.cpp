// The promise "same bits": results do not depend on what a request is computed with, in which
// order, how passes are cut, how many threads run, whether KV is kept or recomputed, weights
// streamed or resident, tokens drafted or not. Random small models of every family.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/engine.h"
#include "engine/execute/generate.h"
#include "engine/execute/runner.h"
#include "engine/execute/score.h"
#include "engine/ops/ops.h"
#include "tests/engine/execute/random_material.h"
#include "tests/engine/execute/sinks.h"
#include "tests/engine/random_models.h"
#include "tests/support/paths.h"

namespace assay::engine {
namespace {

using test::expect_same;
using test::Scores;
using test::Texts;

// A checkpoint, opened, with a runner on it.
struct Bench {
  Bench(const Checkpoint& checkpoint, Numerics numerics, int threads, bool streamed = false,
        Kernels kernels = Kernels::automatic, const Residency& residency = {})
      : workers(threads),
        backend(make(checkpoint, numerics, workers, kernels)),
        preparer(streamed ? make(checkpoint, numerics, one, kernels) : nullptr),
        runner(checkpoint, *backend, preparer.get(), residency) {}
  static std::unique_ptr<ops::Backend> make(const Checkpoint& checkpoint, Numerics numerics,
                                            const Workers& workers, Kernels kernels) {
    return ops::make_cpu_backend(kernels, numerics, workers, checkpoint.config().ue8m0_scales);
  }
  Workers workers, one{1};
  std::unique_ptr<ops::Backend> backend, preparer;
  Runner runner;
  EngineStatistics statistics;
};

using test::Material;
using test::random_material;

Scores score(Bench& bench, std::span<const ScoreRequest> requests, const PlanLimits& limits) {
  Scores sink(requests.size());
  run_score(bench.runner, requests, limits, true, sink, bench.statistics);
  return sink;
}
Texts generate(Bench& bench, std::span<const GenerateRequest> requests,
               const GenerateLimits& limits, bool speculate = false) {
  Texts sink(requests.size());
  run_generate(bench.runner, nullptr, requests, limits, true, speculate, sink, bench.statistics);
  return sink;
}

class Invariance : public testing::TestWithParam<std::pair<std::string, int>>,
                   public test::WithRandomCheckpoint {
 protected:
  void SetUp() override {
    const auto& [family, seed] = GetParam();
    make_checkpoint(family, seed);
    modes_ = {numerics_of_weights(checkpoint_->tensors())};
    if (modes_[0] == Numerics::fp8_weights) modes_.push_back(Numerics::fp8);
    material_ = random_material(static_cast<uint64_t>(seed), checkpoint_->config().vocabulary);
  }
  std::vector<Numerics> modes_;
  Material material_;
};

TEST_P(Invariance, Scores) {
  for (const Numerics mode : modes_) {
    SCOPED_TRACE(description_ + ", " + std::string(numerics_name(mode)));
    Bench one(*checkpoint_, mode, 1);
    const auto& requests = material_.scores;
    const Scores expected = score(one, requests, {4096, 4096, 1 << 20});
    const auto check = [&](const Scores& sink, const char* what) {
      SCOPED_TRACE(what);
      for (size_t i = 0; i < requests.size(); ++i) {
        EXPECT_TRUE(sink.done[i]);
        expect_same(sink.results[i], expected.results[i]);
      }
      EXPECT_EQ(sink.totals, expected.totals);
    };
    check(score(one, requests, {1, 4096, 1 << 20}), "a token a pass");
    check(score(one, requests, {13, 4096, 1 << 20}), "passes of 13, ancestors kept");
    check(score(one, requests, {40, 0, 1 << 20}), "passes of 40, ancestors recomputed");
    check(score(one, requests, {17, 9, 100}), "some kept, some recomputed");
    Bench two(*checkpoint_, mode, 2);
    check(score(two, requests, {50, 20, 1 << 20}), "two threads");
    Bench streamed(*checkpoint_, mode, 2, true);
    check(score(streamed, requests, {31, 20, 1 << 20}), "streamed weights");

    std::vector<ScoreRequest> reversed(requests.rbegin(), requests.rend());
    const Scores backwards = score(two, reversed, {60, 60, 1 << 20});
    for (size_t i = 0; i < requests.size(); ++i) {
      expect_same(backwards.results[requests.size() - 1 - i], expected.results[i]);
    }
    for (size_t i = 0; i < requests.size(); i += 3) {
      expect_same(score(one, {&requests[i], 1}, {}).results[0], expected.results[i]);
    }
    // Interrupted after any number of passes and resumed: the same results and totals.
    for (const int stop : {1, 3}) {
      Scores first(requests.size());
      first.stop_after = stop;
      run_score(one.runner, requests, {23, 11, 1 << 20}, true, first, one.statistics);
      std::vector<ScoreRequest> rest = requests;
      for (size_t i = 0; i < rest.size(); ++i) rest[i].finished = first.done[i];
      Scores second(requests.size());
      second.totals = first.totals;
      run_score(one.runner, rest, {29, 100, 1 << 20}, true, second, one.statistics);
      for (size_t i = 0; i < requests.size(); ++i) {
        EXPECT_NE(first.done[i], second.done[i]);
        expect_same(first.done[i] ? first.results[i] : second.results[i], expected.results[i]);
      }
      EXPECT_EQ(second.totals, expected.totals);
    }
  }
}

TEST_P(Invariance, Texts) {
  for (const Numerics mode : modes_) {
    SCOPED_TRACE(description_ + ", " + std::string(numerics_name(mode)));
    Bench one(*checkpoint_, mode, 1);
    const auto& requests = material_.prompts;
    const Texts expected = generate(one, requests, {4096, 4096, 64});
    const auto check = [&](const Texts& sink, const char* what) {
      SCOPED_TRACE(what);
      for (size_t i = 0; i < requests.size(); ++i) {
        EXPECT_TRUE(sink.done[i]);
        expect_same(sink.results[i], expected.results[i]);
      }
      EXPECT_EQ(sink.totals, expected.totals);
    };
    for (size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(expected.results[i].tokens.size(), static_cast<size_t>(requests[i].max_tokens));
      expect_same(generate(one, {&requests[i], 1}, {64, 200, 64}).results[0], expected.results[i]);
    }
    check(generate(one, requests, {7, 4096, 3}), "short passes, three at a time");
    check(generate(one, requests, {64, 120, 64}), "little KV memory");
    Bench two(*checkpoint_, mode, 2, true);
    check(generate(two, requests, {64, 4096, 64}), "two threads, streamed");
    if (checkpoint_->weights().mtp) {
      const auto drafted = one.statistics.drafted;
      check(generate(one, requests, {4096, 4096, 64}, true), "drafted");
      check(generate(one, requests, {9, 130, 2}, true), "drafted, short passes, little memory");
      EXPECT_GT(one.statistics.drafted, drafted);
    }
  }
}

// Every implementation this processor can run, in every mode: equal bits within a profile whether a
// request is computed in the trie, flat, in short passes on two threads, from streamed weights or
// alone. How far profiles are apart: agreement_test.cpp.
TEST_P(Invariance, Implementations) {
  std::vector<Numerics> modes{Numerics::fp32, Numerics::bf16};
  if (modes_.size() > 1) modes.insert(modes.end(), modes_.begin(), modes_.end());
  const auto& requests = material_.scores;
  for (const Numerics mode : modes) {
    for (const KernelSupport& support : kernel_support()) {
      if (!support.available) continue;
      Bench bench(*checkpoint_, mode, 1, false, support.kernels);
      SCOPED_TRACE(description_ + ", " + std::string(bench.backend->profile()));
      const Scores trie = score(bench, requests, {4096, 4096, 1 << 20});
      Bench streamed(*checkpoint_, mode, 2, true, support.kernels);
      const Scores passes = score(streamed, requests, {29, 11, 1 << 20});
      for (size_t i = 0; i < requests.size(); ++i) {
        expect_same(passes.results[i], trie.results[i]);
        // Flat: nothing before it, nothing shared.
        if (i % 3 == 0)
          expect_same(score(bench, {&requests[i], 1}, {}).results[0], trie.results[i]);
      }
      const Texts batch = generate(bench, material_.prompts, {4096, 4096, 64});
      for (size_t i = 0; i < material_.prompts.size(); i += 2) {
        const Texts alone = generate(streamed, {&material_.prompts[i], 1}, {5, 200, 1});
        expect_same(alone.results[0], batch.results[i]);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Random, Invariance, testing::ValuesIn(test::random_parameters()),
                         [](const auto& p) {
                           return p.param.first + "_" + std::to_string(p.param.second);
                         });

std::string with_context(std::string config, int64_t context) {
  const std::string key = "\"max_position_embeddings\":";
  const size_t at = config.find(key);
  EXPECT_NE(at, std::string::npos);
  const size_t digits = config.find_first_of("0123456789", at + key.size());
  return config.replace(digits, config.find_first_not_of("0123456789", digits) - digits,
                        std::to_string(context));
}

// Sixteen thousand tokens of one text, far beyond YaRN's original context, in one pass, in passes
// that keep the ancestors' latents, and in passes that recompute some of them.
TEST(LongContext, SixteenThousandTokensCutDifferently) {
  TemporaryDirectory directory;
  test::RandomModel model = test::random_model("deepseek_v3", 2);
  model.config_json = with_context(model.config_json, 20000);
  test::write_checkpoint(directory.path(), model);
  SCOPED_TRACE(test::describe(model));
  const Checkpoint checkpoint = Checkpoint::open(directory.path());
  Random random(1);
  std::vector<TokenId> text;
  for (int i = 0; i < 16384; ++i) {
    text.push_back(
        static_cast<TokenId>(random.below(static_cast<uint64_t>(checkpoint.config().vocabulary))));
  }
  const TokenSpan tokens(text);
  const ScoreRequest request[] = {{tokens.first(1), tokens.subspan(1)}};
  Bench bench(checkpoint, numerics_of_weights(checkpoint.tensors()), 2);
  const ScoreResult whole = score(bench, request, {20000, 20000, 1 << 20}).results[0];
  expect_same(score(bench, request, {6000, 20000, 1 << 20}).results[0], whole);
  expect_same(score(bench, request, {9001, 5003, 1 << 20}).results[0], whole);
}

// The smallest budget that is accepted streams; a larger one does not; what is too small says so.
TEST(Memory, BudgetDecidesAboutStreaming) {
  const Material material = random_material(3, 10);
  EngineOptions options;
  // Large enough for its weights to matter beside the workspace.
  options.model = test_paths::source() / "sample/checkpoints/base-step-000040";
  options.require_tokenizer = false;
  options.threads = 2;
  options.pass_tokens = 64;
  std::optional<std::vector<ScoreResult>> streamed, resident;
  for (size_t bytes = 1 << 10; !resident; bytes += bytes / 16) {
    options.memory_bytes = bytes;
    try {
      const auto engine = open_engine(options);
      const PlanSummary plan = engine->plan(material.scores);
      auto& results = plan.streamed ? streamed : resident;
      ASSERT_FALSE(plan.streamed && resident);
      if (results) continue;
      Scores sink(material.scores.size());
      engine->score(material.scores, sink);
      results = sink.results;
    } catch (const Error& e) {
      ASSERT_EQ(e.kind(), ErrorKind::resource) << e.what();
      ASSERT_FALSE(streamed || resident) << "more memory, but refused: " << e.what();
    }
  }
  ASSERT_TRUE(streamed);
  for (size_t i = 0; i < material.scores.size(); ++i) expect_same((*streamed)[i], (*resident)[i]);
}

// A dry run knows what the engine will compute; weights are not needed.
TEST(Memory, PlanFromTheConfigurationAlone) {
  TemporaryDirectory directory;
  test::write_checkpoint(directory.path(), test::random_model("deepseek_v3", 1));
  const Material material = random_material(4, 10);
  EngineOptions options;
  options.model = directory.path();
  options.require_tokenizer = false;
  options.pass_tokens = 64;
  Scores sink(material.scores.size());
  const auto engine = open_engine(options);
  const PlanSummary planned = engine->plan(material.scores);
  engine->score(material.scores, sink);
  EXPECT_EQ(engine->statistics().tokens_computed, planned.tokens_computed);
  EXPECT_EQ(engine->statistics().tokens_asked, planned.tokens_asked);
  EXPECT_EQ(sink.commits, static_cast<int>(planned.passes));
  EXPECT_LT(planned.distinct_requests, planned.requests);
  for (const auto& entry : fs::directory_iterator(directory.path())) {
    if (entry.path().extension() == ".safetensors") fs::remove(entry.path());
  }
  const PlanSummary dry = open_planner(options)->plan(material.scores);
  EXPECT_EQ(dry.tokens_computed, planned.tokens_computed);
  EXPECT_EQ(dry.passes, planned.passes);
  EXPECT_EQ(dry.scored_positions, planned.scored_positions);
}

TEST(Requests, BadOnesAreNamed) {
  TemporaryDirectory directory;
  test::write_checkpoint(directory.path(), test::random_model("qwen2", 1));
  EngineOptions options;
  options.model = directory.path();
  options.require_tokenizer = false;
  const auto engine = open_engine(options);
  const auto vocabulary = static_cast<TokenId>(engine->capabilities().vocabulary_size);
  const std::vector<TokenId> good{1, 2}, outside{1, vocabulary}, negative{-1}, none;
  const std::vector<TokenId> longer(static_cast<size_t>(engine->capabilities().context_length) + 1,
                                    1);
  const auto refuse = [&](TokenSpan context, TokenSpan continuation, const char* word) {
    const ScoreRequest requests[] = {{good, good}, {context, continuation}};
    Scores sink(2);
    try {
      engine->score(requests, sink);
      ADD_FAILURE() << "accepted: " << word;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::bad_input);
      EXPECT_NE(std::string(e.what()).find("request 1"), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find(word), std::string::npos) << e.what();
    }
    EXPECT_FALSE(sink.done[0]);  // before any computation
  };
  refuse(outside, good, "vocabulary");
  refuse(good, outside, "vocabulary");
  refuse(negative, good, "vocabulary");
  refuse(none, good, "empty context");
  refuse(good, none, "empty continuation");
  refuse(longer, good, "context");
  const ScoreRequest named[] = {{.context = good, .continuation = outside, .name = "items.jsonl:7"}};
  Scores none_done(1);
  try {
    engine->score(named, none_done);
    ADD_FAILURE() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.where(), "items.jsonl:7");
  }
  // The last token is only predicted: it may lie one behind the context.
  const ScoreRequest fits[] = {
      {TokenSpan(longer).first(longer.size() - 1), TokenSpan(good).first(1)}};
  Scores sink(1);
  engine->score(fits, sink);
  EXPECT_TRUE(sink.done[0]);
  Texts texts(1);
  GenerateRequest request;
  request.prompt = TokenSpan(longer).first(longer.size() - 1);
  EXPECT_THROW(engine->generate({&request, 1}, texts), Error);
  // What only the engine can know names them, too.
  request.prompt = good;
  request.stop = {"\n"};
  request.name = "items.jsonl:9";
  try {
    engine->generate({&request, 1}, texts);
    ADD_FAILURE() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.where(), "items.jsonl:9");
    EXPECT_NE(e.message().find("stop strings"), std::string::npos);
  }
  Scores nothing(0);
  engine->score({}, nothing);
  engine->generate({}, texts);
}

// Finite weights that overflow on the way are no log-probabilities: in an MLP, in the scores of
// attention (where a softmax could hide it), in the head.
TEST(Overflow, IsRefusedByEveryImplementation) {
  for (const char* part : {"mlp.", "self_attn.", "lm_head"}) {
    TemporaryDirectory directory;
    test::RandomModel model = test::random_model("qwen2", 1);
    model.storage = DType::f32;
    model.shards = 1;
    const size_t tied = model.config_json.find("\"tie_word_embeddings\": true");
    if (tied != std::string::npos)
      model.config_json.replace(tied, 27, "\"tie_word_embeddings\": false");
    test::write_checkpoint(directory.path(), model);
    {
      const Checkpoint checkpoint = Checkpoint::open(directory.path());
      std::string bytes = read_file(directory.path() / "model.safetensors");
      for (const TensorView& tensor : checkpoint.tensors()) {
        const bool query_or_key = tensor.name.find("q_proj.weight") != std::string::npos ||
                                  tensor.name.find("k_proj.weight") != std::string::npos;
        if (tensor.name.find(part) == std::string::npos) continue;
        if (part == std::string_view("self_attn.") && !query_or_key) continue;
        const float huge = query_or_key ? 1e30f : 3e38f;
        for (int64_t i = 0; i < tensor.elements(); ++i) {
          std::memcpy(bytes.data() + tensor.offset + static_cast<size_t>(i) * sizeof huge, &huge,
                      sizeof huge);
        }
      }
      write_file_atomically(directory.path() / "model.safetensors", bytes);
    }
    const std::vector<TokenId> tokens{1, 2, 3, 4, 5};
    for (const KernelSupport& support : kernel_support()) {
      if (!support.available) continue;
      for (const Numerics mode : {Numerics::fp32, Numerics::bf16}) {
        SCOPED_TRACE(std::string(part) + " " + std::string(kernels_name(support.kernels)));
        EngineOptions options;
        options.model = directory.path();
        options.require_tokenizer = false;
        options.kernels = support.kernels;
        options.numerics = mode;
        const auto engine = open_engine(options);
        const ScoreRequest request[] = {{TokenSpan(tokens).first(1), TokenSpan(tokens).subspan(1)}};
        Scores scores(1);
        Texts texts(1);
        GenerateRequest prompt;
        prompt.prompt = tokens;
        for (const bool generates : {false, true}) {
          try {
            if (generates) {
              engine->generate({&prompt, 1}, texts);
            } else {
              engine->score(request, scores);
            }
            ADD_FAILURE() << "accepted";
          } catch (const Error& e) {
            EXPECT_EQ(e.kind(), ErrorKind::bad_input);
            EXPECT_NE(std::string(e.what()).find("not finite"), std::string::npos) << e.what();
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace assay::engine
