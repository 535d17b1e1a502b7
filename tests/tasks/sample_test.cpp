// The bundled sample benchmarks: published exemplar lists do not exist there, and the identity says
// so.
#include <gtest/gtest.h>

#include <cmath>

#include "tasks/exemplars.h"
#include "tasks/task.h"
#include "tests/support/paths.h"

namespace assay::tasks {
namespace {

const std::filesystem::path kSample = test_paths::source() / "datasets/sample";

TEST(Sample, AllTasksOpen) {
  Catalog catalog;
  for (const char* name : {"mmlu", "hellaswag", "gsm8k", "humaneval", "ceval", "cmmlu", "text"}) {
    Task task = Task::open(catalog, {.task = name, .data_root = kSample});
    EXPECT_GT(task.size(), 0u) << name;
    EXPECT_TRUE(task.warnings().empty()) << name << ": " << task.warnings().front();
    for (size_t i = 0; i < task.size(); ++i) {
      Prompt prompt = task.prompt(i);
      EXPECT_EQ(prompt.shots_used, task.shots()) << name;
      EXPECT_FALSE(prompt.context.empty()) << name;
    }
  }
}

TEST(Sample, PublishedListsFallBackToHashOrder) {
  Catalog catalog;
  Task hellaswag = Task::open(catalog, {.task = "hellaswag", .data_root = kSample});
  Prompt prompt = hellaswag.prompt(0);
  ASSERT_EQ(prompt.exemplars.size(), 10u);
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < 40; ++i) rows.push_back(i);
  std::vector<size_t> order = hash_order("hellaswag", 0, rows);
  for (size_t e = 0; e < 10; ++e) {
    EXPECT_EQ(prompt.exemplars[e], "hellaswag:train:" + std::to_string(order[e]));
  }
  Task gsm8k = Task::open(catalog, {.task = "gsm8k", .data_root = kSample});
  EXPECT_TRUE(gsm8k.prompt(0).exemplars[0].starts_with("gsm8k:train:"));
  // Another seed gives other exemplars and another identity; the same seed the same one.
  Selection other{.task = "gsm8k", .data_root = kSample, .seed = 1};
  EXPECT_NE(Task::open(catalog, other).digest({}), gsm8k.digest({}));
  EXPECT_EQ(Task::open(catalog, {.task = "gsm8k", .data_root = kSample}).digest({}),
            gsm8k.digest({}));
}

TEST(Sample, IdentityNamesWhatChangesAScore) {
  Catalog catalog;
  Selection base{.task = "mmlu", .data_root = kSample};
  Task task = Task::open(catalog, base);
  std::string identity = task.identity({});
  EXPECT_TRUE(identity.starts_with("mmlu/ds/test/5/")) << identity;
  EXPECT_TRUE(identity.ends_with("/sum/4096/joint/tokenizer")) << identity;
  EXPECT_NE(task.identity({.boundary = "split"}), identity);
  auto changed = [&](auto change) {
    Selection selection = base;
    change(selection);
    return Task::open(catalog, selection).digest({});
  };
  std::string digest = task.digest({});
  EXPECT_NE(changed([](Selection& s) { s.shots = 4; }), digest);
  EXPECT_NE(changed([](Selection& s) { s.max_len = 2048; }), digest);
  EXPECT_NE(changed([](Selection& s) { s.limit = 10; }), digest);
  EXPECT_NE(changed([](Selection& s) { s.variant = "lmeval"; }), digest);
}

TEST(Sample, LimitsAreNestedAndInFileOrder) {
  Catalog catalog;
  auto ids = [&](int64_t limit) {
    std::vector<std::string> ids;
    Task task = Task::open(catalog, {.task = "mmlu", .data_root = kSample, .limit = limit});
    EXPECT_EQ(task.total(), 120u);
    for (size_t i = 0; i < task.size(); ++i) ids.push_back(task.document(i).id);
    return ids;
  };
  std::vector<std::string> few = ids(12), more = ids(40), all = ids(0);
  EXPECT_EQ(few.size(), 12u);
  for (const std::string& id : few) EXPECT_NE(std::find(more.begin(), more.end(), id), more.end());
  auto in_order = [&](const std::vector<std::string>& part) {
    auto at = all.begin();
    for (const std::string& id : part) at = std::find(at, all.end(), id);
    return at != all.end();
  };
  EXPECT_TRUE(in_order(few));
  EXPECT_TRUE(in_order(more));
}

TEST(Sample, TokenBudgetNeverExceeded) {
  Catalog catalog;
  // Three bytes a token, rounded up: an upper bound of bytes as every tokenizer's.
  int64_t calls = 0;
  TokenCounter count = [&](std::string_view text) {
    ++calls;
    return static_cast<int64_t>(text.size() + 2) / 3 + 1;
  };
  Task task = Task::open(catalog, {.task = "mmlu", .data_root = kSample, .max_len = 160});
  int dropped = 0;
  for (size_t i = 0; i < task.size(); ++i) {
    Prompt prompt = task.prompt(i, count);
    EXPECT_LE(count(prompt.context + prompt.options[0].continuation), 160);
    dropped += prompt.shots_asked - prompt.shots_used;
    if (prompt.shots_used < prompt.shots_asked) {
      // One more would not have fitted.
      Prompt full = task.prompt(i);
      std::string query = prompt.context.substr(prompt.context.rfind("\n\n"));
      EXPECT_LT(prompt.context.size(), full.context.size());
    }
  }
  EXPECT_GT(dropped, 0);
}

TEST(Sample, AggregatesMicroMacroCategories) {
  AggregationRule rule;
  rule.metric = "acc";
  rule.headline = "macro";
  rule.categories = {{"both", {"a", "b"}, true}, {"joined", {"a", "b"}, false}};
  rule.breakdowns = {"level"};
  std::vector<ItemKey> items{{"a", "", {{"level", "1"}}},
                             {"a", "", {{"level", "2"}}},
                             {"a", "", {{"level", "1"}}},
                             {"b", "", {{"level", "2"}}}};
  std::vector<double> values{1, 1, 0, 0};
  std::map<std::string, double> means;
  std::vector<Aggregate> aggregates = rule.aggregates(items);
  for (const Aggregate& aggregate : aggregates) means[aggregate.name] = mean(aggregate, values);
  EXPECT_EQ(aggregates.front().name, "macro");
  EXPECT_TRUE(aggregates.front().primary);
  EXPECT_DOUBLE_EQ(means["micro"], 0.5);
  EXPECT_DOUBLE_EQ(means["macro"], (2.0 / 3 + 0) / 2);
  EXPECT_DOUBLE_EQ(means["category:both"], (2.0 / 3 + 0) / 2);
  EXPECT_DOUBLE_EQ(means["category:joined"], 0.5);
  EXPECT_DOUBLE_EQ(means["group:a"], 2.0 / 3);
  EXPECT_DOUBLE_EQ(means["level:2"], 0.5);
  // Bits per byte: the weighted mean is the ratio of the sums.
  std::vector<double> bits{2, 1, 1, 4}, bytes{10, 30, 20, 40};
  EXPECT_DOUBLE_EQ(mean({"micro", {{0, 1, 2, 3}}, true}, bits, bytes),
                   (2 * 10 + 30 + 20 + 4 * 40) / 100.0);
}

}  // namespace
}  // namespace assay::tasks
