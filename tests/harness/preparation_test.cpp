// Tasks are rendered beside the engine: which go first, that none is lost, and that their requests are
// those of rendering them one after another.
#include "harness/evaluation/preparation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "base/error.h"
#include "harness/evaluation/evaluation.h"
#include "harness/evaluation/task_shelf.h"
#include "tests/support/paths.h"

namespace assay::harness {
namespace {

class PreparationTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(test_paths::shared() / "datasets/mmlu")) {
      GTEST_SKIP() << "the shared benchmark files are not here: " << test_paths::shared() / "datasets";
    }
    engine::EngineOptions engine_options;
    engine_options.model = test_paths::source() / "sample/checkpoints/base-step-000040";
    planner_ = engine::open_planner(engine_options);
    policy_.context_length = planner_->capabilities().context_length;
    policy_.gold_answers = true;
  }

  void open(const std::string& names, int64_t limit) {
    options_.tasks = names;
    options_.data = test_paths::shared() / "datasets";
    options_.limit = limit;
    shelf_ = std::make_unique<TaskShelf>(options_);
    runs_.clear();
    for (const tasks::Task* task : shelf_->open(policy_.context_length)) runs_.emplace_back(*task);
  }

  std::unique_ptr<Preparation> prepare() {
    return std::make_unique<Preparation>(runs_, std::vector<std::vector<results::ItemState>>(runs_.size()),
                                         planner_->tokenizer(), policy_, 2);
  }

  // Counts the items of each task.
  Preparation::KeepItems count() {
    return [this](size_t task, std::vector<results::ItemRecord> items) { items_[task] += items.size(); };
  }

  static std::vector<engine::TokenId> tokens_of(const engine::ScoreRequest& request) {
    std::vector<engine::TokenId> tokens(request.context.begin(), request.context.end());
    tokens.insert(tokens.end(), request.continuation.begin(), request.continuation.end());
    return tokens;
  }

  EvaluationOptions options_;
  std::unique_ptr<engine::Planner> planner_;
  WorkloadPolicy policy_;
  std::unique_ptr<TaskShelf> shelf_;
  std::vector<TaskRun> runs_;
  std::map<size_t, size_t> items_;
};

TEST_F(PreparationTest, HandsOutTheRequestsOfEveryTaskOnce) {
  open("mmlu,piqa,mmlu_redux,gsm8k,winogrande,arc_easy", 40);
  const auto preparation = prepare();
  std::deque<Batch> batches;
  while (std::optional<Batch> batch = preparation->take(false, count())) {
    for (const Batch::Part& part : batch->parts) {
      EXPECT_EQ(items_[part.task], runs_[part.task].task.size()) << "stored before it is computed";
    }
    batches.push_back(std::move(*batch));
  }
  EXPECT_FALSE(preparation->more());

  std::set<size_t> seen;
  size_t generations = 0;
  for (const Batch& batch : batches) {
    ASSERT_EQ(batch.work.score.size(), batch.work.score_references.size());
    ASSERT_EQ(batch.work.generate.size(), batch.work.generate_references.size());
    generations += batch.work.generate.size();
    for (const Batch::Part& part : batch.parts) {
      ASSERT_TRUE(seen.insert(part.task).second);
      TaskRun again(runs_[part.task].task);
      Workload alone;
      add_requests(again, static_cast<int>(part.task), planner_->tokenizer(), policy_, Workers(1), {}, {},
                   alone);
      ASSERT_EQ(part.scores, alone.score.size());
      for (size_t i = 0; i < part.scores; ++i) {
        const engine::ScoreRequest& request = batch.work.score[part.first_score + i];
        EXPECT_EQ(tokens_of(request), tokens_of(alone.score[i]));
        EXPECT_EQ(request.group, static_cast<int>(part.task));
        EXPECT_EQ(batch.work.score_references[part.first_score + i].task, request.group);
      }
      EXPECT_EQ(runs_[part.task].tokens_asked, again.tokens_asked);
    }
  }
  EXPECT_EQ(seen.size(), runs_.size());
  EXPECT_EQ(generations, 40u);  // of gsm8k
}

// mmlu and mmlu_redux have their exemplars in one file: apart they would compute its prefixes twice.
TEST_F(PreparationTest, TasksThatShareAFileAreComputedTogether) {
  open("mmlu,mmlu_redux,mmlu@lmeval,piqa,winogrande,hellaswag", 60);
  std::map<std::string, size_t> batch_of;
  const auto preparation = prepare();
  for (size_t number = 0;; ++number) {
    const std::optional<Batch> batch = preparation->take(false, count());
    if (!batch) break;
    for (const Batch::Part& part : batch->parts) {
      const tasks::Task& task = runs_[part.task].task;
      batch_of[task.name() + "@" + task.variant()] = number;
    }
  }
  ASSERT_EQ(batch_of.size(), 8u);  // mmlu_redux has three subsets
  EXPECT_EQ(batch_of.at("mmlu@ds"), batch_of.at("mmlu@lmeval"));
  EXPECT_EQ(batch_of.at("mmlu@ds"), batch_of.at("mmlu_redux@ds"));
}

TEST_F(PreparationTest, AllAtOnceWhereAsked) {
  open("piqa,winogrande,arc_easy", 60);
  const auto preparation = prepare();
  const std::optional<Batch> batch = preparation->take(true, count());
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->parts.size(), 3u);
  EXPECT_FALSE(preparation->take(true, count()));
}

TEST_F(PreparationTest, WhatRenderingThrowsIsThrownByTake) {
  open("piqa,arc_easy", 20);
  policy_.context_length = 2;  // no continuation fits
  const auto preparation = prepare();
  EXPECT_THROW(preparation->take(false, count()), Error);
}

TEST_F(PreparationTest, CanBeGivenUp) {
  open("mmlu,hellaswag", 0);
  prepare();  // ends while thousands of documents wait
}

TEST_F(PreparationTest, FinishedTasksAreLeftOut) {
  open("piqa,winogrande", 20);
  for (TaskRun& run : runs_) run.finished_before = true;
  const auto preparation = prepare();
  EXPECT_FALSE(preparation->more());
  EXPECT_FALSE(preparation->take(false, count()));
}

}  // namespace
}  // namespace assay::harness
