// How many programs are judged at the same time beside an engine, and once it rests.
#include "harness/evaluation/execution_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "base/json.h"
#include "base/workers.h"
#include "tests/harness/pool.h"

namespace assay::harness {
namespace {

// Says on the machine's clock when it began and ended.
tasks::ProgramRequest timed() {
  tasks::ProgramRequest request;
  request.kind = tasks::ProgramKind::stdio;
  request.program =
      "import time\nprint(time.monotonic())\ntime.sleep(0.25)\nprint(time.monotonic())\n";
  request.cases = {{"", "no time\n"}};
  return request;
}

void submit(ExecutionPool& pool, int count) {
  for (int i = 0; i < count; ++i) pool.submit({.item = i}, timed());
}

std::vector<FinishedProgram> take_without_waiting(ExecutionPool& pool, size_t count) {
  std::vector<FinishedProgram> all;
  for (int i = 0; i < 600 && all.size() < count; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    for (FinishedProgram& one : pool.take(false)) all.push_back(std::move(one));
  }
  return all;
}

std::vector<FinishedProgram> take_waiting(ExecutionPool& pool) {
  std::vector<FinishedProgram> all;
  while (pool.under_way() > 0) {
    for (FinishedProgram& one : pool.take(true)) all.push_back(std::move(one));
  }
  return all;
}

// The most programs that ran at one moment.
int most_at_once(const std::vector<FinishedProgram>& programs) {
  std::vector<std::pair<double, int>> events;
  for (const FinishedProgram& one : programs) {
    const auto record = json::Document::parse(one.record.volatile_record, "record");
    std::istringstream times{std::string(record.root().at("stdout").string())};
    double begin = 0, end = 0;
    EXPECT_TRUE(times >> begin >> end) << one.record.volatile_record;
    events.push_back({begin, 1});
    events.push_back({end, -1});
  }
  std::sort(events.begin(), events.end());
  int now = 0, most = 0;
  for (const auto& [time, change] : events) most = std::max(most, now += change);
  return most;
}

TEST(ExecutionPool, OneProgramBesideAnEngineThatTakesAllProcessors) {
  for (const int engine_threads : {0, available_processors(), available_processors() + 5}) {
    POOL_OR_SKIP(pool, 0, engine_threads);
    submit(*pool, 4);
    const auto programs = take_without_waiting(*pool, 4);
    ASSERT_EQ(programs.size(), 4u);
    EXPECT_EQ(most_at_once(programs), 1) << engine_threads;
  }
}

TEST(ExecutionPool, ProcessorsThatTheEngineLeavesAreUsed) {
  if (available_processors() < 3) GTEST_SKIP() << "SKIPPED: needs three processors";
  POOL_OR_SKIP(pool, 0, available_processors() - 2);
  submit(*pool, 8);
  EXPECT_EQ(most_at_once(take_without_waiting(*pool, 8)), 2);
}

TEST(ExecutionPool, AllProcessorsOnceTheEngineRests) {
  if (available_processors() < 2) GTEST_SKIP() << "SKIPPED: needs two processors";
  POOL_OR_SKIP(pool, 0, 0);
  submit(*pool, 4 * available_processors());
  EXPECT_EQ(most_at_once(take_waiting(*pool)), available_processors());
  // It works again: one at a time.
  submit(*pool, 3);
  EXPECT_EQ(most_at_once(take_without_waiting(*pool, 3)), 1);
}

TEST(ExecutionPool, ANumberThatWasAskedForIsKept) {
  POOL_OR_SKIP(pool, 3, 0);
  submit(*pool, 12);
  EXPECT_EQ(most_at_once(take_without_waiting(*pool, 12)), 3);
}

// What the sandbox could not judge stops the run; nothing is counted as a model's failure.
TEST(ExecutionPool, FailuresOfTheSandboxStopTheRun) {
  POOL_OR_SKIP(pool, 1, 0);
  tasks::ProgramRequest request;
  request.program = "def f(x): return x\n";
  request.tests = "def check(candidate):\n    pass\n";  // would pass anything
  request.entry_point = "f";
  pool->submit({}, request);
  try {
    (void)take_waiting(*pool);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::resource);
    EXPECT_NE(std::string(error.what()).find("unsupported tests"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace assay::harness
