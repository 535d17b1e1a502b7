#include "tasks/haystack.h"

#include <gtest/gtest.h>

#include <set>

#include "tasks/task.h"

namespace assay::tasks {
namespace {

// A tokenizer of four bytes a token.
int64_t count(std::string_view text) { return static_cast<int64_t>((text.size() + 3) / 4) + 1; }

Task open(int64_t context) {
  static const Catalog catalog;
  return Task::open(catalog, {.task = "niah", .max_len = context});
}

TEST(Haystack, GridOfLengthsAndDepths) {
  const Task task = open(2000);
  std::set<std::string> cells;
  std::set<std::string> lengths;
  for (size_t i = 0; i < task.size(); ++i) {
    const ItemKey key = task.item_key(i);
    cells.insert(key.labels.at("cell"));
    lengths.insert(key.labels.at("length"));
  }
  EXPECT_EQ(lengths, (std::set<std::string>{"512", "1024", "2000"}));
  EXPECT_EQ(cells.size(), 33u);
  EXPECT_EQ(task.size(), 66u);
}

TEST(Haystack, FillsTheLengthAndPlacesTheNeedle) {
  const Task task = open(2000);
  for (size_t i = 0; i < task.size(); ++i) {
    const datasets::Document& document = task.document(i);
    const Prompt prompt = task.prompt(i, count);
    const int64_t length = document.integer("length");
    const int64_t used = count(prompt.context) + prompt.generation.max_new_tokens;
    EXPECT_LE(used, length);
    EXPECT_GT(used, length - 60) << "no sentence more would fit";  // the longest has 45 tokens
    const std::string needle = "The access code of the " + document.text("city") + " office is " +
                               document.text("number") + ".";
    const size_t at = prompt.context.find(needle);
    ASSERT_NE(at, std::string::npos);
    EXPECT_EQ(prompt.context.find(needle, at + 1), std::string::npos);
    const size_t text = prompt.context.find("\n\nQuestion:");
    const double depth = static_cast<double>(at) / static_cast<double>(text - needle.size());
    EXPECT_NEAR(depth, static_cast<double>(document.integer("depth")) / 100, 0.12);
    EXPECT_FALSE(prompt.truncated);
    Outputs outputs;
    outputs.generations = {{" " + document.text("number") + ".", Finish::stop, 0}};
    EXPECT_TRUE(task.grade(i, outputs).correct);
    outputs.generations = {{" 1234.", Finish::stop, 0}};
    EXPECT_FALSE(task.grade(i, outputs).correct);
  }
}

TEST(Haystack, SameTextEveryTimeAndSharedBeginnings) {
  const Task a = open(2000), b = open(4000);
  EXPECT_EQ(a.prompt(3, count).context, open(2000).prompt(3, count).context);
  // Depth 100 of two lengths, same repetition: the shorter text begins the longer one.
  const auto context = [&](const Task& task, const std::string& cell) {
    for (size_t i = 0; i < task.size(); ++i) {
      if (task.item_key(i).labels.at("cell") == cell) return task.prompt(i, count).context;
    }
    return std::string();
  };
  const std::string brief = context(b, "512|100"), full = context(b, "4000|100");
  size_t same = 0;
  while (same < brief.size() && brief[same] == full[same]) ++same;
  EXPECT_GT(same, brief.size() / 2);
}

}  // namespace
}  // namespace assay::tasks
