#include "tests/engine/execute/random_material.h"

#include <cstdlib>

#include "base/random.h"
#include "tests/engine/random_models.h"

namespace assay::engine::test {

Material random_material(uint64_t seed, int64_t vocabulary) {
  Random random(seed);
  Material m;
  const auto token = [&] {
    return static_cast<TokenId>(random.below(static_cast<uint64_t>(vocabulary)));
  };
  std::vector<TokenId> shots;
  for (int i = 0; i < 37; ++i) shots.push_back(token());
  for (int document = 0; document < 6; ++document) {
    std::vector<TokenId> context(
        shots.begin(), shots.begin() + static_cast<ptrdiff_t>(random.below(shots.size())) + 1);
    const size_t more = random.below(30);
    for (size_t i = 0; i < more; ++i) context.push_back(token());
    const size_t first = 1 + random.below(6);
    for (int option = 0; option < 3; ++option) {
      std::vector<TokenId> continuation{static_cast<TokenId>(option < 2 ? 1 : 2)};
      for (size_t i = 1; i < first; ++i) continuation.push_back(token());
      m.contexts.push_back(context);
      m.continuations.push_back(continuation);
    }
  }
  m.contexts.push_back({shots[0]});
  m.continuations.push_back({shots[1]});
  m.contexts.push_back(m.contexts[4]);
  m.continuations.push_back(m.continuations[4]);
  for (size_t i = 0; i < m.contexts.size(); ++i) {
    m.scores.push_back({m.contexts[i], m.continuations[i], static_cast<int>(i % 2)});
  }
  for (size_t i = 0; i < m.contexts.size(); i += 2) {
    GenerateRequest request;
    request.prompt = m.contexts[i];
    request.max_tokens = 1 + static_cast<int>(random.below(12));
    request.group = static_cast<int>(i % 3);
    if (random.below(2) == 0) {
      request.sampling = {0.8, random.below(2) == 0 ? 1.0 : 0.9, seed, i};
    }
    m.prompts.push_back(request);
  }
  return m;
}

std::vector<std::pair<std::string, int>> random_parameters() {
  int first = 1, last = 2;
  if (const char* seeds = std::getenv("ASSAY_TEST_SEEDS")) {
    const std::string text = seeds;
    const size_t dash = text.find('-');
    last = std::atoi(text.substr(dash == std::string::npos ? 0 : dash + 1).c_str());
    if (dash != std::string::npos) first = std::atoi(text.c_str());
  }
  std::vector<std::pair<std::string, int>> out;
  for (const std::string_view family : kRandomFamilies) {
    for (int seed = first; seed <= last; ++seed) out.emplace_back(family, seed);
  }
  return out;
}
}  // namespace assay::engine::test
