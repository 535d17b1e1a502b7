// Sinks that keep everything, and what "the same bits" means for results.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "engine/engine.h"

namespace assay::engine::test {

using LoadTotals =
    std::map<std::pair<int, int>, std::pair<std::vector<uint64_t>, std::vector<double>>>;

// Adds what is reported up to a commit; what is not committed is lost, as for the harness.
template <class Base, class Result>
struct Collector : Base {
  explicit Collector(size_t n) : results(n), done(n, 0) {}
  void on_expert_load(const ExpertLoad& load) override { pending.push_back(load); }
  void on_commit() override {
    for (const ExpertLoad& load : pending) {
      auto& [tokens, weight] = totals[{load.group, load.layer}];
      tokens.resize(load.tokens.size());
      weight.resize(load.weight.size());
      for (size_t e = 0; e < tokens.size(); ++e) {
        tokens[e] += load.tokens[e];
        weight[e] += load.weight[e];
      }
    }
    pending.clear();
    ++commits;
  }
  bool cancelled() override { return commits >= stop_after; }
  void add(Result&& r) {
    const size_t index = r.index;
    EXPECT_FALSE(done[index]);
    done[index] = 1;
    results[index] = std::move(r);
  }
  std::vector<Result> results;
  std::vector<char> done;
  std::vector<ExpertLoad> pending;
  LoadTotals totals;
  int commits = 0, stop_after = 1 << 30;
};
struct Scores final : Collector<ScoreSink, ScoreResult> {
  using Collector::Collector;
  void on_score(ScoreResult&& r) override { add(std::move(r)); }
};
struct Texts final : Collector<GenerateSink, GenerateResult> {
  using Collector::Collector;
  void on_generate(GenerateResult&& r) override { add(std::move(r)); }
};

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}
inline void expect_same(const ScoreResult& a, const ScoreResult& b) {
  EXPECT_TRUE(same_bits(a.token_logprobs, b.token_logprobs));
  EXPECT_EQ(a.token_greedy, b.token_greedy);
  EXPECT_EQ(a.logprob, b.logprob);
}
inline void expect_same(const GenerateResult& a, const GenerateResult& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_TRUE(same_bits(a.token_logprobs, b.token_logprobs));
  EXPECT_EQ(a.finish, b.finish);
}

}  // namespace assay::engine::test
