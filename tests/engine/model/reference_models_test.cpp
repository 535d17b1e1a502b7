// Every model of the shared reference through the Engine, against an independent float64
// implementation; tolerances are those of the reference's README.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/json.h"
#include "engine/engine.h"
#include "tests/support/paths.h"

namespace assay::engine {
namespace {

namespace fs = std::filesystem;
const fs::path kReference = test_paths::shared() / "reference";

struct Collector final : ScoreSink {
  std::vector<ScoreResult> results;
  explicit Collector(size_t n) : results(n) {}
  void on_score(ScoreResult&& r) override {
    const size_t index = r.index;
    results[index] = std::move(r);
  }
};

struct Case {
  std::string name, model, config, reference;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name << "/" << c.reference; }

std::vector<Case> cases() {
  std::vector<Case> out;
  if (!fs::exists(kReference / "expected/index.json")) return out;
  const auto index = json::Document::load(kReference / "expected/index.json");
  index.root().for_each_element([&](json::Value entry) {
    entry.at("references").for_each_member([&](std::string_view, json::Value file) {
      out.push_back({std::string(entry.at("name").string()),
                     std::string(entry.at("model").string()),
                     std::string(entry.at("config").string()), std::string(file.string())});
    });
  });
  return out;
}

std::unique_ptr<Engine> open_case(const Case& c, Numerics numerics) {
  EngineOptions options;
  options.model = kReference / c.model;
  options.config = options.model / c.config;
  options.numerics = numerics;
  options.require_tokenizer = false;
  return open_engine(options);
}

struct Sequence {
  std::string id;
  std::vector<TokenId> tokens;
  std::vector<double> next, argmax_margin;
  std::vector<TokenId> argmax;
};

std::vector<Sequence> load_sequences(json::Value root) {
  std::vector<Sequence> out;
  root.at("sequences").for_each_element([&](json::Value s) {
    Sequence q;
    q.id = s.at("id").string();
    s.at("tokens").for_each_element(
        [&](json::Value v) { q.tokens.push_back(static_cast<TokenId>(v.integer())); });
    s.at("next_logprob").for_each_element([&](json::Value v) { q.next.push_back(v.number()); });
    s.at("argmax").for_each_element(
        [&](json::Value v) { q.argmax.push_back(static_cast<TokenId>(v.integer())); });
    s.at("argmax_margin").for_each_element([&](json::Value v) {
      q.argmax_margin.push_back(v.number());
    });
    out.push_back(std::move(q));
  });
  return out;
}

// Per position: the log-probability of the next token, and of the expected arg-max, with whether it
// is the engine's arg-max too. One call: every prefix of every sequence with its arg-max as the
// continuation, so that the forest has much to share.
struct Scored {
  std::vector<double> next;         // n - 1
  std::vector<bool> argmax_agrees;  // n
};

// Sequences longer than the context are cut to it: positions do not see what follows them.
std::vector<Scored> score_sequences(Engine& engine, std::vector<Sequence>& sequences) {
  for (Sequence& s : sequences) {
    const auto context = static_cast<size_t>(engine.capabilities().context_length);
    if (s.tokens.size() <= context) continue;
    s.tokens.resize(context);
    s.next.resize(context - 1);
    s.argmax.resize(context);
    s.argmax_margin.resize(context);
  }
  std::vector<ScoreRequest> requests;
  for (const Sequence& s : sequences) {
    const TokenSpan tokens(s.tokens);
    if (tokens.size() > 1) requests.push_back({tokens.first(1), tokens.subspan(1)});
    for (size_t i = 0; i < tokens.size(); ++i) {
      requests.push_back({tokens.first(i + 1), TokenSpan(s.argmax).subspan(i, 1)});
    }
  }
  Collector sink(requests.size());
  engine.score(requests, sink);
  std::vector<Scored> out;
  size_t at = 0;
  for (const Sequence& s : sequences) {
    Scored scored;
    if (s.tokens.size() > 1) {
      const ScoreResult& r = sink.results[at++];
      scored.next.assign(r.token_logprobs.begin(), r.token_logprobs.end());
    }
    for (size_t i = 0; i < s.tokens.size(); ++i) {
      scored.argmax_agrees.push_back(sink.results[at++].greedy);
    }
    out.push_back(std::move(scored));
  }
  return out;
}

class ReferenceModels : public testing::TestWithParam<Case> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ReferenceModels);

TEST(ReferenceModels, SharedMaterialIsThere) {
  if (cases().empty())
    GTEST_SKIP() << kReference << " is missing: the reference models are not checked";
}

TEST_P(ReferenceModels, Fp32) {
  const Case& c = GetParam();
  if (c.reference.find("w8a8") != std::string::npos) GTEST_SKIP() << "w8a8: another test";
  const auto document = json::Document::load(kReference / "expected" / c.name / c.reference);
  auto sequences = load_sequences(document.root());
  const auto engine = open_case(c, Numerics::fp32);
  const auto scored = score_sequences(*engine, sequences);
  double worst = 0;
  for (size_t s = 0; s < sequences.size(); ++s) {
    for (size_t i = 0; i < sequences[s].next.size(); ++i) {
      const double error = std::abs(scored[s].next[i] - sequences[s].next[i]);
      worst = std::max(worst, error);
      ASSERT_LE(error, 2e-4) << sequences[s].id << " position " << i;
    }
    for (size_t i = 0; i < sequences[s].argmax.size(); ++i) {
      if (sequences[s].argmax_margin[i] > 5e-4) {
        EXPECT_TRUE(scored[s].argmax_agrees[i]) << sequences[s].id << " position " << i;
      }
    }
  }
  RecordProperty("max_error", std::to_string(worst));
}

TEST_P(ReferenceModels, Bf16) {
  const Case& c = GetParam();
  if (c.reference.find("w8a8") != std::string::npos) GTEST_SKIP() << "w8a8: another test";
  const auto document = json::Document::load(kReference / "expected" / c.name / c.reference);
  auto sequences = load_sequences(document.root());
  const auto engine = open_case(c, Numerics::bf16);
  const auto scored = score_sequences(*engine, sequences);
  std::vector<double> errors;
  int agree = 0, total = 0;
  for (size_t s = 0; s < sequences.size(); ++s) {
    for (size_t i = 0; i < sequences[s].next.size(); ++i) {
      errors.push_back(std::abs(scored[s].next[i] - sequences[s].next[i]));
    }
    for (const bool agrees : scored[s].argmax_agrees) agree += agrees, ++total;
  }
  std::sort(errors.begin(), errors.end());
  double mean = 0;
  for (const double e : errors) mean += e / static_cast<double>(errors.size());
  EXPECT_LE(mean, 0.06);
  EXPECT_LE(errors[errors.size() * 99 / 100], 0.25);
  EXPECT_LE(errors.back(), 0.8);
  EXPECT_GE(agree * 984, 930 * total);  // bar: 930 of 984
}

struct Texts final : GenerateSink {
  std::vector<GenerateResult> results;
  explicit Texts(size_t n) : results(n) {}
  void on_generate(GenerateResult&& r) override {
    const size_t index = r.index;
    results[index] = std::move(r);
  }
};

// Greedy continuations, token by token, up to the first step whose margin does not decide.
TEST_P(ReferenceModels, GreedyFp32) {
  const Case& c = GetParam();
  if (c.reference.find("w8a8") != std::string::npos) GTEST_SKIP() << "w8a8 is not smooth";
  const auto document = json::Document::load(kReference / "expected" / c.name / c.reference);
  const auto engine = open_case(c, Numerics::fp32);
  auto sequences = load_sequences(document.root());
  std::erase_if(sequences, [&](const Sequence& s) {
    return static_cast<int64_t>(s.tokens.size()) + 16 > engine->capabilities().context_length;
  });
  std::vector<GenerateRequest> requests;
  for (const Sequence& s : sequences) {
    GenerateRequest request;
    request.prompt = s.tokens;
    request.max_tokens = 16;
    requests.push_back(std::move(request));
  }
  Texts sink(requests.size());
  engine->generate(requests, sink);
  int compared = 0;
  document.root().at("sequences").for_each_element([&](json::Value expected) {
    for (size_t s = 0; s < sequences.size(); ++s) {
      if (sequences[s].id != expected.at("id").string()) continue;
      const json::Value greedy = expected.at("greedy");
      const GenerateResult& result = sink.results[s];
      ASSERT_EQ(result.tokens.size(), 16u);
      EXPECT_EQ(result.finish, FinishReason::length);
      for (size_t k = 0; k < 16; ++k) {
        if (greedy.at("margin")[k].number() < 5e-4) break;
        ASSERT_EQ(result.tokens[k], greedy.at("tokens")[k].integer())
            << sequences[s].id << " step " << k;
        EXPECT_NEAR(static_cast<double>(result.token_logprobs[k]), greedy.at("logprob")[k].number(),
                    2e-4);
        ++compared;
      }
    }
  });
  EXPECT_GE(compared, 60);
}

// The scheme is not smooth: a last-bit change flips some e4m3 rounding, and the flip grows. The
// reference's README: an implementation agrees within 1e-3 on most five-token sequences, without
// activation quantisation none does (the smallest change is 0.13); long ones agree in the mean.
TEST_P(ReferenceModels, W8a8) {
  const Case& c = GetParam();
  if (c.reference.find("w8a8") == std::string::npos) GTEST_SKIP() << "no w8a8 reference";
  const auto document = json::Document::load(kReference / "expected" / c.name / c.reference);
  auto sequences = load_sequences(document.root());
  const auto engine = open_case(c, Numerics::fp8);
  const auto scored = score_sequences(*engine, sequences);
  int within = 0, shorts = 0;
  for (size_t s = 0; s < sequences.size(); ++s) {
    const auto& next = sequences[s].next;
    double worst = 0, mean = 0;
    for (size_t i = 0; i < next.size(); ++i) {
      worst = std::max(worst, std::abs(scored[s].next[i] - next[i]));
      mean += (scored[s].next[i] - next[i]) / static_cast<double>(next.size());
    }
    if (sequences[s].id.starts_with("w5-")) {
      ++shorts;
      within += worst <= 1e-3;
    } else if (next.size() >= 63) {
      // Errors of up to a few tenths a position (mean 0.16 between two variants of the reference),
      // independent between positions: their mean shrinks with the root of the length.
      EXPECT_LE(std::abs(mean), 4 * 0.3 / std::sqrt(static_cast<double>(next.size())))
          << sequences[s].id;
    }
  }
  EXPECT_EQ(shorts, 24);
  EXPECT_GE(within, 13);
  RecordProperty("within_1e-3", within);
}

INSTANTIATE_TEST_SUITE_P(All, ReferenceModels, testing::ValuesIn(cases()), [](const auto& param) {
  std::string name = param.param.name + "_" + param.param.reference;
  for (char& ch : name) {
    if (!std::isalnum(static_cast<unsigned char>(ch))) ch = '_';
  }
  return name;
});

}  // namespace
}  // namespace assay::engine
