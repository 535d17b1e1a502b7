// The specifications that the tests of this room read.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "datasets/dataset.h"
#include "tests/support/paths.h"

namespace assay::datasets {

// The "data" of a built-in task, or a specification that only the tests have.
inline DatasetSpec spec_of(const std::string& task) {
  const fs::path source = test_paths::source();
  const fs::path own = source / "tests/datasets/specs" / (task + ".json");
  const bool is_own = fs::exists(own);
  const auto document =
      json::Document::load(is_own ? own : source / "tasks/catalog" / (task + ".json"));
  return DatasetSpec::parse(is_own ? document.root() : document.root().at("data"), task);
}

inline DatasetSpec spec_from(const std::string& text, const std::string& task = "toy") {
  const auto document = json::Document::parse(text, "toy.json");
  return DatasetSpec::parse(document.root(), task);
}

inline fs::path sample_root() { return test_paths::source() / "datasets/sample"; }
inline fs::path shared_root() { return test_paths::shared() / "datasets"; }

inline std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

// Tests on the real data say loudly that they did not run without it.
#define NEEDS_SHARED()                                                            \
  if (!fs::exists(shared_root())) {                                               \
    GTEST_SKIP() << "SKIPPED: real benchmark data is missing: " << shared_root(); \
  }

}  // namespace assay::datasets
