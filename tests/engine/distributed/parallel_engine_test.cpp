// The engine of several ranks as its callers see it: results, commits, cancelling, and what happens when
// a rank fails.
#include "engine/distributed/parallel_engine.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "engine/checkpoint/config.h"
#include "tests/engine/execute/random_material.h"
#include "tests/engine/execute/sinks.h"
#include "tests/engine/random_models.h"
#include "tests/support/paths.h"

namespace assay::engine {
namespace {

using test::expect_same;
using test::Scores;
using test::Texts;

constexpr Parallel kForms[] = {Parallel::data, Parallel::expert, Parallel::pipeline};

class ParallelEngines : public testing::TestWithParam<Parallel> {
 protected:
  void SetUp() override {
    options_.model = test_paths::source() / "sample/checkpoints/base-step-001201";
    options_.threads = 1;
    options_.pass_tokens = 37;
    options_.speculate_mtp = true;
  }
  std::unique_ptr<Engine> open(int ranks) {
    EngineOptions options = options_;
    options.devices.resize(static_cast<size_t>(ranks));
    if (ranks > 1) options.parallel = GetParam();
    return open_engine(options);
  }
  EngineOptions options_;
  test::Material material_ = test::random_material(5, 200);
};

TEST_P(ParallelEngines, ResultsLoadAndStatisticsOfOneRank) {
  const auto one = open(1);
  Scores scores(material_.scores.size());
  Texts texts(material_.prompts.size());
  one->score(material_.scores, scores);
  one->generate(material_.prompts, texts);
  const EngineStatistics alone = one->statistics();
  for (const int ranks : {2, 3}) {
    SCOPED_TRACE(ranks);
    const auto several = open(ranks);
    EXPECT_EQ(several->capabilities().profile, one->capabilities().profile);
    EXPECT_EQ(several->capabilities().ranks, ranks);
    EXPECT_EQ(several->capabilities().parallel, GetParam());
    Scores s(material_.scores.size());
    Texts t(material_.prompts.size());
    several->score(material_.scores, s);
    several->generate(material_.prompts, t);
    for (size_t i = 0; i < s.results.size(); ++i) expect_same(s.results[i], scores.results[i]);
    for (size_t i = 0; i < t.results.size(); ++i) {
      expect_same(t.results[i], texts.results[i]);
      EXPECT_EQ(t.results[i].text, texts.results[i].text);
    }
    EXPECT_EQ(s.totals, scores.totals);
    EXPECT_EQ(t.totals, texts.totals);
    EXPECT_TRUE(s.pending.empty() && t.pending.empty());
    const EngineStatistics together = several->statistics();
    EXPECT_EQ(together.tokens_asked, alone.tokens_asked);
    EXPECT_EQ(together.tokens_generated, alone.tokens_generated);
    EXPECT_GT(together.drafted, 0u);
    if (GetParam() == Parallel::pipeline) {
      EXPECT_EQ(together.tokens_computed, alone.tokens_computed);
      EXPECT_DOUBLE_EQ(together.flops, alone.flops);
    } else {
      // What neighbours on two ranks share is computed on both.
      EXPECT_GE(together.tokens_computed, alone.tokens_computed);
      EXPECT_LT(together.tokens_computed, 2 * alone.tokens_computed);
    }
    EXPECT_GT(together.bytes_read, 0);
    EXPECT_GT(together.seconds, 0);
  }
}

// Cancelled after any number of commits and called again with what has come marked as finished: the same
// results and totals, each once.
TEST_P(ParallelEngines, CancelledAndResumed) {
  const auto one = open(1);
  Scores expected(material_.scores.size());
  one->score(material_.scores, expected);
  const auto several = open(2);
  for (const int stop : {1, 2}) {
    Scores first(material_.scores.size());
    first.stop_after = stop;
    several->score(material_.scores, first);
    std::vector<ScoreRequest> rest = material_.scores;
    for (size_t i = 0; i < rest.size(); ++i) rest[i].finished = first.done[i];
    Scores second(material_.scores.size());
    second.totals = first.totals;
    several->score(rest, second);
    for (size_t i = 0; i < rest.size(); ++i) {
      ASSERT_NE(first.done[i], second.done[i]) << i;
      expect_same(first.done[i] ? first.results[i] : second.results[i], expected.results[i]);
    }
    EXPECT_EQ(second.totals, expected.totals);
  }
}

// A sink that throws ends the call with its exception; the engine goes on.
TEST_P(ParallelEngines, ASinkMayThrow) {
  struct Full final : ScoreSink {
    void on_score(ScoreResult&&) override { throw_resource("disk full", "a store"); }
  } full;
  const auto several = open(3);
  try {
    several->score(material_.scores, full);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "disk full");
  }
  Scores sink(material_.scores.size());
  several->score(material_.scores, sink);
  EXPECT_EQ(std::count(sink.done.begin(), sink.done.end(), 1), static_cast<ptrdiff_t>(sink.done.size()));
}

TEST_P(ParallelEngines, BadRequestsAreNamedAndHarmless) {
  const auto several = open(2);
  std::vector<ScoreRequest> requests = material_.scores;
  const TokenId outside = 1 << 30;
  requests[3].continuation = {&outside, 1};
  Scores sink(requests.size());
  try {
    several->score(requests, sink);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    EXPECT_EQ(error.where(), "request 3");
  }
  several->score(material_.scores, sink);
  EXPECT_TRUE(sink.done[3]);
}

// NaN in one tensor, wherever it is: one error that names it, the ranks that do not see it end, and the
// engine says that it is of no use any more.
TEST_P(ParallelEngines, BadWeightsOnOneRankEndAll) {
  const TemporaryDirectory directory;
  const fs::path model = directory.path() / "model";
  fs::copy(options_.model, model, fs::copy_options::recursive);
  const ModelConfig config = load_config(model / "config.json");
  const std::string last_layer = "model.layers." + std::to_string(config.layers - 1) + ".";
  const std::string last_expert = std::to_string(config.moe.routed_experts - 1);
  for (const std::string& name :
       {std::string("model.layers.0.input_layernorm.weight"), last_layer + "self_attn.o_proj.weight",
        last_layer + "mlp.experts.0.up_proj.weight", last_layer + "mlp.experts." + last_expert + ".down_proj.weight",
        std::string("model.norm.weight")}) {
    SCOPED_TRACE(name);
    ptrdiff_t offset = 0;
    std::string before, nan;
    {
      const Checkpoint checkpoint = Checkpoint::open(options_.model);
      const TensorView tensor = checkpoint.find(name);
      ASSERT_TRUE(tensor);
      nan = tensor.dtype == DType::f8_e4m3 ? "\x7f\x7f" : "\xc0\x7f";
      const std::string file = read_file(checkpoint.shard_path(tensor.shard));
      // Where the tensor's bytes lie in the file.
      const std::string_view bytes(reinterpret_cast<const char*>(tensor.data), std::min<size_t>(tensor.bytes(), 64));
      offset = static_cast<ptrdiff_t>(file.find(bytes));
      ASSERT_EQ(file.find(bytes, static_cast<size_t>(offset) + 1), std::string::npos);
      before = file.substr(static_cast<size_t>(offset), 2);
    }
    const auto write = [&](std::string_view bytes) {
      std::fstream file(model / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(offset);
      file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    };
    write(nan);
    EngineOptions options = options_;
    options.model = model;
    options.devices.resize(3);
    options.parallel = GetParam();
    const auto engine = open_engine(options);
    Scores sink(material_.scores.size());
    try {
      engine->score(material_.scores, sink);
      ADD_FAILURE() << "NaN was not noticed";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::bad_input) << error.what();
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
    try {
      engine->score(material_.scores, sink);
      ADD_FAILURE() << "a broken engine went on";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::resource) << error.what();
    }
    write(before);
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, ParallelEngines, testing::ValuesIn(kForms),
                         [](const auto& p) { return std::string(parallel_name(p.param)); });

// --- what each rank holds ---------------------------------------------------------------------------

ModelConfig config_of_sample() {
  return load_config(test_paths::source() / "sample/checkpoints/base-step-001201/config.json");
}
EngineOptions ranks_of(int n, Parallel parallel, size_t memory = 0) {
  EngineOptions options;
  options.devices.resize(static_cast<size_t>(n));
  options.parallel = parallel;
  options.memory_bytes = memory;
  options.threads = 7;
  return options;
}

TEST(Division, RefusesWhatCannotBeDivided) {
  ModelConfig config = config_of_sample();
  config.source = "config.json";
  const auto refused = [&](int ranks, Parallel parallel, const char* what) {
    try {
      divide(config, Numerics::bf16, ranks_of(ranks, parallel), ranks);
      ADD_FAILURE() << "not refused: " << what;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    }
  };
  refused(1, Parallel::pipeline, "one rank");
  refused(2, Parallel::none, "2 ranks");
  refused(static_cast<int>(config.layers) + 1, Parallel::pipeline, "layers");
  refused(static_cast<int>(config.moe.routed_experts) + 1, Parallel::expert, "routed experts a layer");
  config.moe = {};
  refused(2, Parallel::expert, "no routed experts");
}

// Data where a rank can hold all; experts where it can't and there are some; layers else.
TEST(Division, AutomaticGoesByMemory) {
  ModelConfig config = config_of_sample();
  const size_t whole = plan_memory(config, Numerics::bf16, ranks_of(1, Parallel::none, size_t{8} << 30), true).weight_bytes;
  const auto form = [&](size_t memory) {
    return divide(config, Numerics::bf16, ranks_of(2, Parallel::automatic, memory), 2).parallel;
  };
  EXPECT_EQ(form(size_t{8} << 30), Parallel::data);
  EXPECT_EQ(form(whole), Parallel::expert);
  config.moe = {};
  EXPECT_EQ(form(whole / 8), Parallel::pipeline);
}

// The ranks' weights add up to the model's, but for what each has: everything but its experts, or head
// and embedding where they are.
TEST(Division, SharesAddUp) {
  const ModelConfig config = config_of_sample();
  const EngineOptions options = ranks_of(1, Parallel::none, size_t{8} << 30);
  const auto bytes = [&](const ModelShare& share) {
    return plan_memory(config, Numerics::bf16, options, true, share).weight_bytes;
  };
  const size_t whole = bytes({});
  for (const int n : {2, 3}) {
    const auto stages = divide(config, Numerics::bf16, ranks_of(n, Parallel::pipeline), n).shares;
    size_t sum = 0, largest = 0;
    for (const ModelShare& stage : stages) {
      sum += bytes(stage);
      largest = std::max(largest, bytes(stage));
    }
    EXPECT_NEAR(static_cast<double>(sum), static_cast<double>(whole), 8);
    EXPECT_LT(largest, whole);
    const ModelShare expert = divide(config, Numerics::bf16, ranks_of(n, Parallel::expert), n).shares[0];
    const size_t moe_layers = static_cast<size_t>(capabilities_of(config, Numerics::bf16).moe_layers);
    const auto experts = static_cast<size_t>(config.moe.routed_experts);
    const size_t kept = (experts + static_cast<size_t>(n) - 1) / static_cast<size_t>(n);
    const size_t one = static_cast<size_t>(3 * config.moe.expert_hidden * config.hidden) * 2;
    EXPECT_EQ(whole - bytes(expert), moe_layers * (experts - kept) * one);
  }
}

TEST(Division, ThreadsAndMemoryAreSharedOut) {
  const EngineOptions options = ranks_of(3, Parallel::data, 3000);
  int threads = 0;
  for (int rank = 0; rank < 3; ++rank) {
    const EngineOptions own = options_of_rank(options, rank);
    EXPECT_EQ(own.devices.size(), 1u);
    EXPECT_EQ(own.memory_bytes, 1000u);
    threads += own.threads;
  }
  EXPECT_EQ(threads, 7);
  EngineOptions few = ranks_of(3, Parallel::data);
  few.threads = 1;
  EXPECT_EQ(options_of_rank(few, 2).threads, 1);
}

TEST(Devices, Lists) {
  const auto indices = [](std::string_view names) {
    std::vector<int> out;
    for (const Device& d : parse_devices(names)) out.push_back(d.kind == DeviceKind::cpu ? -1 : d.index);
    return out;
  };
  EXPECT_EQ(indices("cpu"), std::vector<int>({-1}));
  EXPECT_EQ(indices("cpu,cpu,cpu"), std::vector<int>({-1, -1, -1}));
  EXPECT_EQ(indices("cuda"), std::vector<int>({0}));
  EXPECT_EQ(indices("cuda:0,1"), std::vector<int>({0, 1}));
  EXPECT_EQ(indices("cuda:3,cuda:5,7"), std::vector<int>({3, 5, 7}));
  for (const char* bad : {"", "tpu", "cuda:", "cuda:x", "cuda:-1", "cpu:2", "0,1", "cpu,1", "cpu,", "cuda:0,,1",
                          "cpu,cuda:0", "cuda:0,cpu"}) {
    EXPECT_THROW(parse_devices(bad), Error) << bad;
  }
}

}  // namespace
}  // namespace assay::engine
