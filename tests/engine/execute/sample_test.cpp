// Generation with a tokenizer, on the trained sample checkpoints.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/error.h"
#include "engine/engine.h"
#include "tests/support/paths.h"

namespace assay::engine {
namespace {

namespace fs = std::filesystem;
const fs::path kCheckpoint = test_paths::shared() / "sample" / "checkpoints" / "base-step-001201";

struct Texts final : GenerateSink {
  explicit Texts(size_t n) : results(n) {}
  void on_generate(GenerateResult&& r) override {
    const size_t index = r.index;
    results[index] = std::move(r);
  }
  std::vector<GenerateResult> results;
};

class SampleCheckpoint : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(kCheckpoint)) GTEST_SKIP() << "MISSING TEST MATERIAL: " << kCheckpoint;
    options_.model = kCheckpoint;
  }
  std::vector<GenerateResult> generate(Engine& engine,
                                       const std::vector<GenerateRequest>& requests) {
    Texts sink(requests.size());
    engine.generate(requests, sink);
    return std::move(sink.results);
  }
  EngineOptions options_;
};

const char* const kPrompts[] = {"def ",     "The ",  "Question: ", "Once upon a time",
                                "1 + 1 = ", "In the"};

// The trained MTP layer guesses right most of the time (93.5 % on text like its training data); a
// wrong order of its inputs or a wrong hidden state would hardly ever.
TEST_F(SampleCheckpoint, DraftsAreMostlyAcceptedAndChangeNothing) {
  const auto plain = open_engine(options_);
  options_.speculate_mtp = true;
  const auto drafting = open_engine(options_);
  std::vector<std::vector<TokenId>> prompts;
  std::vector<GenerateRequest> requests;
  for (const char* prompt : kPrompts) {
    prompts.push_back(plain->tokenizer().encode(prompt));
    prompts.back().insert(prompts.back().begin(), *plain->tokenizer().bos());
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    GenerateRequest request;
    request.prompt = prompts[i];
    request.max_tokens = 80;
    if (i % 3 == 2) request.sampling = {0.7, 0.9, 11, i};
    requests.push_back(request);
  }
  const auto expected = generate(*plain, requests);
  const auto drafted = generate(*drafting, requests);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(drafted[i].tokens, expected[i].tokens);
    EXPECT_EQ(drafted[i].text, expected[i].text);
    EXPECT_EQ(drafted[i].token_logprobs, expected[i].token_logprobs);
    EXPECT_EQ(drafted[i].finish, expected[i].finish);
  }
  const EngineStatistics statistics = drafting->statistics();
  EXPECT_GT(statistics.drafted, 50u);
  EXPECT_GT(static_cast<double>(statistics.accepted),
            0.6 * static_cast<double>(statistics.drafted));
  RecordProperty("acceptance", std::to_string(static_cast<double>(statistics.accepted) /
                                              static_cast<double>(statistics.drafted)));
}

// A request on its own is drafted like one among others: about every second token is a draft's.
TEST_F(SampleCheckpoint, DraftsARequestThatSharesNothing) {
  options_.speculate_mtp = true;
  const auto engine = open_engine(options_);
  std::vector<TokenId> prompt = encode_prompt(engine->tokenizer(), "Once upon a time");
  GenerateRequest request;
  request.prompt = prompt;
  request.max_tokens = 60;
  request.stop_at_eos = false;
  generate(*engine, {request});
  const EngineStatistics statistics = engine->statistics();
  EXPECT_EQ(statistics.tokens_generated, 60u);
  // Each step but the first gives one token and its accepted draft.
  EXPECT_GE(statistics.drafted + statistics.accepted, 57u);
  EXPECT_GT(statistics.accepted, 10u);
}

// Every string that occurs in a text is found as a stop string, wherever tokens begin and end.
TEST_F(SampleCheckpoint, StopStringsCutTheText) {
  const auto engine = open_engine(options_);
  std::vector<TokenId> prompt = engine->tokenizer().encode("Once upon a time");
  prompt.insert(prompt.begin(), *engine->tokenizer().bos());
  GenerateRequest request;
  request.prompt = prompt;
  request.max_tokens = 40;
  request.stop_at_eos = false;
  const GenerateResult whole = generate(*engine, {request})[0];
  ASSERT_EQ(whole.finish, FinishReason::length);
  ASSERT_GT(whole.text.size(), 30u);
  std::vector<GenerateRequest> requests;
  std::vector<size_t> cut;
  for (size_t at = 1; at + 5 < whole.text.size(); at += 3) {
    request.stop = {whole.text.substr(at, 5), "never in this text \x01"};
    requests.push_back(request);
    cut.push_back(whole.text.find(request.stop[0]));
  }
  const auto results = generate(*engine, requests);
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i].finish, FinishReason::stop) << requests[i].stop[0];
    EXPECT_EQ(results[i].text, whole.text.substr(0, cut[i]));
    // The tokens reach exactly over the stop string.
    const auto& tokens = results[i].tokens;
    const auto bytes = [&](size_t n) {
      return engine->tokenizer().decode_bytes(TokenSpan(tokens).first(n), true).size();
    };
    EXPECT_GE(bytes(tokens.size()), cut[i] + 5);
    EXPECT_LT(bytes(tokens.size() - 1), cut[i] + 5);
    EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), whole.tokens.begin()));
  }
}

TEST_F(SampleCheckpoint, EndsAtTheEndOfText) {
  const auto engine = open_engine(options_);
  std::vector<std::vector<TokenId>> prompts;
  std::vector<GenerateRequest> requests;
  for (const char* prompt : kPrompts) {
    prompts.push_back(engine->tokenizer().encode(prompt));
    prompts.back().insert(prompts.back().begin(), *engine->tokenizer().bos());
  }
  for (const auto& prompt : prompts) {
    GenerateRequest request;
    request.prompt = prompt;
    request.max_tokens = 300;
    requests.push_back(request);
  }
  const auto eos = engine->tokenizer().eos();
  int ended = 0;
  for (const GenerateResult& result : generate(*engine, requests)) {
    ended += result.finish == FinishReason::eos;
    for (const TokenId id : result.tokens) EXPECT_EQ(std::count(eos.begin(), eos.end(), id), 0);
    EXPECT_EQ(result.text, engine->tokenizer().decode(result.tokens, true));
  }
  EXPECT_GT(ended, 0);
}

// A prompt cut inside a word: the text continues the prompt's bytes, and the first token is the
// most likely one of those that begin with the bytes taken from the prompt, or begin them.
TEST_F(SampleCheckpoint, HealsTheEndOfAPrompt) {
  const auto engine = open_engine(options_);
  options_.speculate_mtp = true;
  const auto drafting = open_engine(options_);
  const Tokenizer& tokenizer = engine->tokenizer();
  for (const char* text : {"Once upon a ti", "def main", "Question: Wh", "1 + 1 ", "In the\n"}) {
    SCOPED_TRACE(text);
    const std::vector<TokenId> prompt = encode_prompt(tokenizer, text);
    const HealedPrompt healed = heal_prompt(tokenizer, prompt);
    ASSERT_EQ(healed.ids.size() + 1, prompt.size());
    GenerateRequest request;
    request.prompt = healed.ids;
    request.required = healed.bytes;
    request.max_tokens = 12;
    const GenerateResult result = generate(*engine, {request})[0];
    const std::string bytes = tokenizer.decode_bytes(result.tokens, true);
    ASSERT_TRUE(bytes.starts_with(healed.bytes)) << bytes;
    EXPECT_EQ(result.text, lossy_utf8(bytes.substr(healed.bytes.size())));

    std::vector<TokenId> all;
    for (TokenId id = 0; id < engine->capabilities().vocabulary_size; ++id) all.push_back(id);
    std::vector<ScoreRequest> every;
    for (const TokenId& id : all) every.push_back({healed.ids, {&id, 1}});
    struct Sink final : ScoreSink {
      std::vector<double> logprob;
      void on_score(ScoreResult&& r) override { logprob[r.index] = r.logprob; }
    } sink;
    sink.logprob.resize(all.size());
    engine->score(every, sink);
    std::optional<size_t> best;
    for (size_t id = 0; id < all.size(); ++id) {
      if (static_cast<int64_t>(id) >= tokenizer.size()) continue;
      const std::string_view b = tokenizer.token_bytes(all[id]);
      const bool fits =
          b.starts_with(healed.bytes) || std::string_view(healed.bytes).starts_with(b);
      if (b.empty() || tokenizer.is_special(all[id]) || !fits) continue;
      if (!best || sink.logprob[id] > sink.logprob[*best]) best = id;
    }
    ASSERT_TRUE(best);
    EXPECT_EQ(result.tokens[0], static_cast<TokenId>(*best));
    EXPECT_NEAR(static_cast<double>(result.token_logprobs[0]), sink.logprob[*best], 1e-4);

    for (const auto sampling : {Sampling{}, Sampling{0.9, 0.8, 3, 1}}) {
      request.sampling = sampling;
      const GenerateResult plain = generate(*engine, {request})[0];
      const GenerateResult drafted = generate(*drafting, {request, request})[1];
      EXPECT_EQ(drafted.tokens, plain.tokens);
      EXPECT_EQ(drafted.token_logprobs, plain.token_logprobs);
      EXPECT_TRUE(tokenizer.decode_bytes(plain.tokens, true).starts_with(healed.bytes));
    }
    // Stop strings are looked for behind the prompt only.
    request.sampling = {};
    request.stop = {healed.bytes};
    const GenerateResult stopped = generate(*engine, {request})[0];
    EXPECT_EQ(stopped.text, result.text.substr(0, result.text.find(healed.bytes)));
  }
}

}  // namespace
}  // namespace assay::engine
