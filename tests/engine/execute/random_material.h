// Which random models and requests the tests of execution draw.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"

namespace assay::engine::test {

struct Material {
  std::vector<std::vector<TokenId>> contexts, continuations;
  std::vector<ScoreRequest> scores;
  std::vector<GenerateRequest> prompts;
};

// Requests that share much: documents with shared openings, options of one or more tokens,
// identical requests, single tokens.
Material random_material(uint64_t seed, int64_t vocabulary);

// Seeds 1 and 2 of every family, or ASSAY_TEST_SEEDS=LAST or FIRST-LAST (a thousand take hours).
std::vector<std::pair<std::string, int>> random_parameters();

}  // namespace assay::engine::test
