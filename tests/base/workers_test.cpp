#include "base/workers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace assay {
namespace {

TEST(Workers, EveryIndexRunsOnce) {
  for (const int threads : {1, 2, 5}) {
    const Workers workers(threads);
    std::vector<std::atomic<int>> seen(1003);
    workers.for_ranges(1003, 7, [&](int64_t begin, int64_t end) {
      EXPECT_LE(end - begin, 7);
      for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
    });
    for (const auto& count : seen) EXPECT_EQ(count, 1);
  }
}

TEST(Workers, ExceptionsArriveAtTheCaller) {
  const Workers workers(2);
  EXPECT_THROW(workers.for_each(100, [](int64_t i) {
    if (i == 42) throw std::runtime_error("x");
  }),
               std::runtime_error);
}

}  // namespace
}  // namespace assay
