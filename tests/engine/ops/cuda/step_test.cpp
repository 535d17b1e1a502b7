// What is put off, compared, built and patched (engine/ops/cuda/step.h), on a device that writes down what
// it is asked for.
#include "engine/ops/cuda/step.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace assay::engine::ops {
namespace {

const char kKernels[4] = {};  // addresses to tell kernels apart

struct Args {
  int a;
  int b;
};

struct Graph final : StepGraph {
  std::vector<Args> args;
};

class Device final : public StepDevice {
 public:
  explicit Device(size_t staged) : host(staged), place(staged) {}
  void copy_staged(size_t begin, size_t bytes) override {
    std::memcpy(&place[begin], &host[begin], bytes);
    log += 'c';
  }
  void launch_all(const LaunchList& list) override {
    ran.clear();
    for (size_t i = 0; i < list.size(); ++i) ran.push_back(args_of(list, i));
    log += 'l';
  }
  std::unique_ptr<StepGraph> build(const LaunchList& list) override {
    log += 'b';
    if (!has_memory) return nullptr;
    auto graph = std::make_unique<Graph>();
    for (size_t i = 0; i < list.size(); ++i) graph->args.push_back(args_of(list, i));
    return graph;
  }
  void set_args(StepGraph& graph, const LaunchList& list, size_t i) override {
    static_cast<Graph&>(graph).args[i] = args_of(list, i);
    log += 's';
  }
  void run(StepGraph& graph) override {
    ran = static_cast<Graph&>(graph).args;
    log += 'r';
  }
  void free(std::byte*) override { log += 'f'; }

  static Args args_of(const LaunchList& list, size_t i) {
    Args args;
    EXPECT_EQ(list.args(i).size(), sizeof args);
    std::memcpy(&args, list.args(i).data(), sizeof args);
    return args;
  }
  std::vector<std::byte> host, place;
  std::vector<Args> ran;
  std::string log;
  bool has_memory = true;
};

class StepTest : public testing::Test {
 protected:
  StepTest() { recorder_.staging().attach(device_.host.data(), device_.host.size()); }
  // What the device did for a step of launches with these arguments; `last_grid` of the last one.
  std::string step(const std::vector<int>& arguments, unsigned last_grid = 1) {
    device_.log.clear();
    recorder_.begin();
    for (size_t i = 0; i < arguments.size(); ++i) {
      const bool last = i + 1 == arguments.size();
      launch(arguments[i], last ? last_grid : 1);
    }
    recorder_.end();
    EXPECT_EQ(device_.ran.size(), arguments.size());
    for (size_t i = 0; i < arguments.size(); ++i) EXPECT_EQ(device_.ran[i].b, arguments[i]);
    return device_.log;
  }
  void launch(int argument, unsigned grid = 1) {
    const Args args{1, argument};
    recorder_.add(&kKernels[argument % 2], {grid, 1, 1}, 32, 0, &args, sizeof args);
  }
  int staged(size_t at) const {
    int value = 0;
    std::memcpy(&value, &device_.place[at], sizeof value);
    return value;
  }
  Device device_{1 << 20};
  StepRecorder recorder_{device_};
};

TEST_F(StepTest, FirstOneByOneThenAGraphThenItsArguments) {
  EXPECT_EQ(step({2, 3, 4, 5, 6}), "l");
  EXPECT_EQ(step({2, 3, 4, 5, 6}), "br");
  EXPECT_EQ(step({2, 3, 4, 5, 6}), "r");
  EXPECT_EQ(step({2, 3, 8, 5, 10}), "ssr");
  EXPECT_EQ(step({2, 3, 8, 5, 10}), "r");
  EXPECT_EQ(step({2, 3, 4, 5, 6}), "ssr");  // back, however long ago
  const StepCounts& counts = recorder_.counts();
  EXPECT_EQ(counts.steps, 6u);
  EXPECT_EQ(counts.launches, 30u);
  EXPECT_EQ(counts.one_by_one, 5u);
  EXPECT_EQ(counts.built, 1u);
  EXPECT_EQ(counts.runs, 5u);
  EXPECT_EQ(counts.patched, 4u);
}

TEST_F(StepTest, AnotherGridOrKernelIsAnotherGraph) {
  const std::vector<int> a{2, 3, 4, 5, 6}, b{2, 3, 4, 6, 6}, longer{2, 3, 4, 5, 6, 6};
  EXPECT_EQ(step(a), "l");
  EXPECT_EQ(step(a), "br");
  EXPECT_EQ(step(a, 2), "l");
  EXPECT_EQ(step(b), "l");
  EXPECT_EQ(step(longer), "l");
  EXPECT_EQ(step(a, 2), "br");
  EXPECT_EQ(step(b), "br");
  EXPECT_EQ(step(longer), "br");
  for (const std::string& again : {step(a), step(a, 2), step(b), step(longer)}) EXPECT_EQ(again, "r");
}

TEST_F(StepTest, TheLongestUnusedIsForgotten) {
  const std::vector<int> arguments{2, 3, 4, 5};
  step(arguments, 1);
  step(arguments, 1);
  for (unsigned grid = 2; grid < 40; ++grid) {
    EXPECT_EQ(step(arguments, grid), "l");
    EXPECT_EQ(step(arguments, 1), "r");  // in use throughout
  }
  EXPECT_EQ(step(arguments, 2), "l");
  EXPECT_EQ(step(arguments, 39), "br");
}

TEST_F(StepTest, FewLaunchesAndNoMemory) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(step({2, 3}), "l");
  device_.has_memory = false;
  EXPECT_EQ(step({2, 3, 4, 5}), "l");
  EXPECT_EQ(step({2, 3, 4, 5}), "bl");
  device_.has_memory = true;
  EXPECT_EQ(step({2, 3, 4, 5}), "br");
}

TEST_F(StepTest, FlushInTheMiddle) {
  for (const char* expected : {"ll", "brbr", "rr"}) {
    device_.log.clear();
    recorder_.begin();
    for (int i = 0; i < 4; ++i) launch(i);
    recorder_.flush();
    for (int i = 0; i < 5; ++i) launch(i);
    recorder_.end();
    EXPECT_EQ(device_.log, expected);
  }
}

TEST_F(StepTest, MemoryIsReleasedBehindTheLaunches) {
  std::byte memory[1];
  EXPECT_FALSE(recorder_.release(memory));  // no step
  recorder_.begin();
  EXPECT_FALSE(recorder_.release(memory));  // nothing is put off
  launch(1);
  EXPECT_TRUE(recorder_.release(memory));
  EXPECT_TRUE(recorder_.holds_memory());
  recorder_.flush();
  EXPECT_EQ(device_.log, "lf");
  launch(1);
  EXPECT_TRUE(recorder_.release(memory));
  recorder_.drop();
  EXPECT_EQ(recorder_.counts().dropped, 1u);
  EXPECT_EQ(device_.log, "lff");
  EXPECT_FALSE(recorder_.recording());
  recorder_.begin();
  recorder_.end();
  EXPECT_EQ(device_.log, "lff");  // what was dropped does not come back
}

TEST_F(StepTest, StagedArraysKeepTheirPlaces) {
  std::vector<int> positions{7, 8}, slots(300), table{1, 2, 3};
  size_t first[3] = {};
  for (int i = 0; i < 120; ++i) {
    recorder_.begin();
    ++positions[0];
    slots.push_back(i);  // 420 in the end: within 2048 bytes
    const size_t at[] = {recorder_.stage(positions.data(), 8), recorder_.stage(slots.data(), slots.size() * 4),
                         recorder_.stage(table.data(), 12)};
    // Another layer's.
    EXPECT_EQ(recorder_.stage(positions.data(), 8), at[0]);
    recorder_.end();
    for (int j = 0; j < 3; ++j) {
      if (i == 0) first[j] = at[j];
      EXPECT_EQ(at[j], first[j]);
      EXPECT_EQ(at[j] % 256, 0u);
    }
    EXPECT_EQ(staged(at[0]), positions[0]);
    EXPECT_EQ(staged(at[1] + (slots.size() - 1) * 4), i);
    EXPECT_EQ(staged(at[2]), 1);
  }
}

TEST_F(StepTest, OnlyWhatDiffersIsCopied) {
  std::vector<int> large(100'000, 5);
  int small = 1;
  for (const char* expected : {"c", "", "c", ""}) {
    if (recorder_.counts().steps == 2) small = 2;
    device_.log.clear();
    recorder_.begin();
    const size_t a = recorder_.stage(large.data(), large.size() * 4), b = recorder_.stage(&small, 4);
    recorder_.end();
    EXPECT_EQ(device_.log, expected);
    EXPECT_EQ(staged(a + 4000), 5);
    EXPECT_EQ(staged(b), small);
  }
  EXPECT_LT(recorder_.counts().copied_bytes, 600'000u);
}

// What was staged for launches that were dropped is not taken for copied.
TEST_F(StepTest, DroppedDataIsCopiedLater) {
  const int value = 3;
  recorder_.begin();
  recorder_.stage(&value, 4);
  recorder_.drop();
  recorder_.begin();
  const size_t at = recorder_.stage(&value, 4);
  recorder_.end();
  EXPECT_EQ(staged(at), 3);
}

// The source's content changes within a step: both are there.
TEST_F(StepTest, OneSourceTwice) {
  int value = 3;
  recorder_.begin();
  const size_t a = recorder_.stage(&value, 4);
  value = 4;
  const size_t b = recorder_.stage(&value, 4);
  recorder_.end();
  EXPECT_EQ(staged(a), 3);
  EXPECT_EQ(staged(b), 4);
}

TEST_F(StepTest, NoRoomEndsTheStep) {
  const std::vector<int> large(200'000, 1);
  recorder_.begin();
  launch(1);
  EXPECT_NE(recorder_.stage(large.data(), large.size() * 4), Staging::kNoRoom);
  EXPECT_EQ(recorder_.stage(large.data() + 1, large.size() * 4 - 4), Staging::kNoRoom);
  EXPECT_FALSE(recorder_.recording());
  EXPECT_EQ(device_.log, "cl");
}

}  // namespace
}  // namespace assay::engine::ops
