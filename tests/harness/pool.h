// A pool for judging programs, for the tests that need one.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "base/error.h"
#include "harness/evaluation/execution_pool.h"

namespace assay::harness {

// Null on a machine without a sandbox.
inline std::unique_ptr<ExecutionPool> pool_or_null(int workers, int engine_threads) {
  try {
    return std::make_unique<ExecutionPool>("auto", workers, engine_threads);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::resource) throw;
    return nullptr;
  }
}

#define POOL_OR_SKIP(name, ...)                \
  const auto name = pool_or_null(__VA_ARGS__); \
  if (!name) GTEST_SKIP() << "SKIPPED: this machine offers no sandbox"

}  // namespace assay::harness
