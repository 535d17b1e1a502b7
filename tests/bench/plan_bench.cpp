// Planning of very many requests: 1.5 million options over shared prompts, about 100 million prompt
// tokens before sharing.
#include <benchmark/benchmark.h>

#include <sys/resource.h>

#include <vector>

#include "base/random.h"
#include "engine/execute/score.h"

namespace assay::engine {
namespace {

struct Material {
  std::vector<std::vector<TokenId>> prompts;
  std::vector<TokenId> options;
  std::vector<ScoreRequest> requests;
  uint64_t prompt_tokens = 0;
};

// Subjects with a five-shot prefix of 200 tokens, 250 questions of 30 to 90 tokens each, 4 options.
const Material& material() {
  static const Material instance = [] {
    Material m;
    Random random(1);
    const auto ids = [&](size_t n, std::vector<TokenId>& out) {
      for (size_t i = 0; i < n; ++i) out.push_back(static_cast<TokenId>(random.below(129280)));
    };
    ids(4, m.options);
    for (int subject = 0; subject < 1500; ++subject) {
      std::vector<TokenId> prefix;
      ids(200, prefix);
      for (int question = 0; question < 250; ++question) {
        m.prompts.push_back(prefix);
        ids(30 + random.below(61), m.prompts.back());
        m.prompt_tokens += m.prompts.back().size();
      }
    }
    for (const auto& prompt : m.prompts) {
      for (const TokenId& option : m.options) m.requests.push_back({prompt, {&option, 1}});
    }
    return m;
  }();
  return instance;
}

double resident_mib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

void Plan(benchmark::State& state) {
  const Material& m = material();
  const double before = resident_mib();
  PlanSummary summary;
  for (auto _ : state) {
    const ScoreSchedule schedule(m.requests, {4096, 1 << 20, 16 << 20}, false);
    summary = schedule.summary();
  }
  state.counters["requests"] = static_cast<double>(summary.requests);
  state.counters["prompt_tokens"] = static_cast<double>(m.prompt_tokens);
  state.counters["computed"] = static_cast<double>(summary.tokens_computed);
  state.counters["MiB_added"] = resident_mib() - before;
}
BENCHMARK(Plan)->Unit(benchmark::kSecond)->Iterations(1);

}  // namespace
}  // namespace assay::engine
