#include "base/workers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
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

TEST(Workers, SharesCoverEverythingOnceInWholeGrains) {
  for (const int threads : {1, 2, 3, 8}) {
    const Workers workers(threads);
    for (const int64_t n : {1, 2, 7, 64, 1000}) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(n));
      std::atomic<int> ranges{0};
      workers.for_shares(n, 4, [&](int64_t begin, int64_t end) {
        ++ranges;
        EXPECT_EQ(begin % 4, 0);
        EXPECT_TRUE(end % 4 == 0 || end == n);
        for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
      });
      EXPECT_LE(ranges, threads);
      for (const auto& count : seen) EXPECT_EQ(count, 1);
    }
  }
}

// Loops that follow each other at once, after a pause and after sleep: what one wrote, the next
// reads.
TEST(Workers, ManyLoopsInTurn) {
  const Workers workers(4);
  std::vector<int64_t> values(257, 0);
  for (int loop = 0; loop < 5000; ++loop) {
    const auto body = [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        values[static_cast<size_t>(i)] += 1 + values[static_cast<size_t>(i)] % 2;
      }
    };
    if (loop % 2 == 0) {
      workers.for_ranges(257, 10, body);
    } else {
      workers.for_shares(257, 10, body);
    }
    if (loop % 1000 == 999) std::this_thread::sleep_for(3 * Workers::kAwake);
  }
  int64_t expected = 0;
  for (int loop = 0; loop < 5000; ++loop) expected += 1 + expected % 2;
  for (const int64_t value : values) ASSERT_EQ(value, expected);
}

TEST(Workers, CallersShareAndLoopsNest) {
  const Workers workers(3);
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int loop = 0; loop < 200; ++loop) {
        workers.for_each(5, [&](int64_t) { workers.for_each(3, [&](int64_t i) { sum += i; }); });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, int64_t{4} * 200 * 5 * (0 + 1 + 2));
}

TEST(Workers, AnotherThreadHelpsWithLongParts) {
  const Workers workers(2);
  std::atomic<int> inside{0};
  std::atomic<bool> together{false};
  // Each part waits for the other: alone, the loop would only end by its deadline.
  workers.for_each(2, [&](int64_t) {
    ++inside;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (inside < 2 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    if (inside == 2) together = true;
  });
  EXPECT_TRUE(together);
}

TEST(Workers, ExceptionsArriveAtTheCaller) {
  const Workers workers(2);
  EXPECT_THROW(workers.for_each(100,
                                [](int64_t i) {
                                  if (i == 42) throw std::runtime_error("x");
                                }),
               std::runtime_error);
  // The next loop is whole again.
  std::atomic<int> seen{0};
  workers.for_each(100, [&](int64_t) { ++seen; });
  EXPECT_EQ(seen, 100);
}

}  // namespace
}  // namespace assay
