#include "base/background.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <vector>

namespace assay {
namespace {

TEST(Background, DoesEverythingInOrder) {
  std::vector<int> done;  // written by the other thread alone, read after wait()
  Background background;
  for (int i = 0; i < 1000; ++i) background.post([&done, i] { done.push_back(i); });
  background.wait();
  ASSERT_EQ(done.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(done[static_cast<size_t>(i)], i);
}

TEST(Background, ThePosterGoesOn) {
  Background background;
  std::mutex gate;
  std::unique_lock closed(gate);
  std::atomic<bool> done = false;
  background.post([&] {
    const std::lock_guard lock(gate);
    done = true;
  });
  EXPECT_FALSE(done);  // post() has returned although the work cannot have begun
  closed.unlock();
  background.wait();
  EXPECT_TRUE(done);
}

TEST(Background, PostingWaitsWhereTooMuchWaits) {
  Background background(2);
  std::atomic<int> done = 0;
  int most = 0;
  for (int i = 0; i < 50; ++i) {
    background.post([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      ++done;
    });
    most = std::max(most, i + 1 - done);
  }
  background.wait();
  EXPECT_EQ(done, 50);
  EXPECT_LE(most, 4);  // two that wait, one that is done, one that is counted late
}

TEST(Background, AFailureEndsTheWorkAndIsThrownByWait) {
  Background background;
  std::atomic<int> done = 0;
  background.post([&] { ++done; });
  background.post([] { throw std::runtime_error("disk full"); });
  for (int i = 0; i < 10; ++i) background.post([&] { ++done; });
  EXPECT_THROW(background.wait(), std::runtime_error);
  EXPECT_TRUE(background.failed());
  background.post([&] { ++done; });
  EXPECT_THROW(background.wait(), std::runtime_error);
  EXPECT_EQ(done, 1);
}

TEST(Background, EndsWithWhatWaits) {
  std::atomic<int> done = 0;
  {
    Background background;
    for (int i = 0; i < 100; ++i) background.post([&] { ++done; });
  }
  EXPECT_EQ(done, 100);
}

}  // namespace
}  // namespace assay
