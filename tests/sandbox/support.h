// Shared by the tests of the sandbox: one sandbox per level, and what must not be left behind.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "sandbox/sandbox.h"
#include "tests/support/paths.h"

namespace assay::sandbox::testing {

inline const std::filesystem::path kShared = test_paths::shared();

// A sandbox at exactly this level, or nullptr where the machine does not offer it, with the reason.
inline std::unique_ptr<Sandbox> sandbox_at(Level level, int workers, std::string* why = nullptr) {
  Options options;
  options.force_level = level;
  options.workers = workers;
  try {
    return std::make_unique<Sandbox>(options);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::resource) throw;
    if (why) *why = error.what();
    return nullptr;
  }
}

#define SANDBOX_OR_SKIP(name, level, workers)                                           \
  std::string name##_why;                                                               \
  const auto name = ::assay::sandbox::testing::sandbox_at(level, workers, &name##_why); \
  if (!name) GTEST_SKIP() << "SKIPPED: this machine does not offer the level: " << name##_why

#define SHARED_OR_SKIP(variable, relative)                                              \
  const std::filesystem::path variable = ::assay::sandbox::testing::kShared / relative; \
  if (!std::filesystem::exists(variable)) GTEST_SKIP() << "SKIPPED: no " << variable

inline CallTests call(std::string solution, std::string tests, std::string entry_point) {
  CallTests made;
  made.solution = std::move(solution);
  made.tests = std::move(tests);
  made.entry_point = std::move(entry_point);
  return made;
}

inline StdioTests script(std::string solution, std::string input, std::string expected) {
  StdioTests made;
  made.solution = std::move(solution);
  made.source = cases({{std::move(input), std::move(expected)}});
  return made;
}

inline Program program(auto tests, double seconds = 10) {
  Program made;
  made.tests = std::move(tests);
  made.limits.cpu_seconds = seconds;
  return made;
}

inline std::string summary(const Verdict& verdict) {
  return std::string(outcome_name(verdict.outcome)) + " / " + verdict.reason + " / " +
         verdict.detail + " / " + verdict.stdout_text + " / " + verdict.stderr_text;
}

inline std::string level_suffix(const ::testing::TestParamInfo<Level>& info) {
  return std::string(level_name(info.param));
}

}  // namespace assay::sandbox::testing
