// The published tokenizers and their vectors, opened once per test program.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "engine/text/tokenizer.h"
#include "tests/support/paths.h"

namespace assay::engine {

inline std::filesystem::path shared_tokenizers() { return test_paths::shared() / "tokenizers"; }

// By folder name ("deepseek-v3"). The folders' own names for tokenizer_config.json differ, so only
// tokenizer.json takes part unless the folder has the official name.
inline const Tokenizer& shared_tokenizer(const std::string& name) {
  static std::map<std::string, std::unique_ptr<Tokenizer>> opened;
  auto& tokenizer = opened[name];
  if (!tokenizer) tokenizer = Tokenizer::load(shared_tokenizers() / name);
  return *tokenizer;
}

}  // namespace assay::engine

#define ASSAY_NEEDS(path)                                         \
  if (!std::filesystem::exists(path)) {                           \
    GTEST_SKIP() << "needs " << (path) << ", which is not there"; \
  }                                                               \
  static_assert(true)
