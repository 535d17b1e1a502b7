// Reference answers of the two tasks whose scored files the shared material lacks, on stand-ins of
// the same layout: DROP's contrast set, and CLUEWSC rows of the CLUE release in FewCLUE's files.
#include <gtest/gtest.h>

#include <algorithm>

#include "tasks/task.h"
#include "tests/tasks/shared_data.h"

namespace assay::tasks {
namespace {

// Sum of the primary metric when every answer is the reference; 1 for a preferred gold option.
double reference_score(const Task& task) {
  double sum = 0;
  for (size_t i = 0; i < task.size(); ++i) {
    const Prompt prompt = task.prompt(i);
    Outputs outputs;
    for (size_t o = 0; o < prompt.options.size(); ++o) {
      const double logprob = prompt.gold_options[0] == static_cast<int>(o) ? 0 : -1;
      outputs.options.push_back({logprob, 1, false, false, 0.0, -logprob});
    }
    if (prompt.kind == RequestKind::generate) {
      std::string text = prompt.gold_answer.continuation;
      for (const std::string& stop : prompt.generation.stop)
        text.resize(std::min(text.find(stop), text.size()));
      outputs.generations = {{text, Finish::stop, 0}};
    }
    const Grade grade = task.grade(i, outputs);
    EXPECT_EQ(grade.error, "");
    sum += grade.metrics.at(grade.primary);
  }
  return sum;
}

TEST(ReadingOracle, ClueWsc) {
  const auto shared = shared_datasets("clue_wsc");
  if (!shared) GTEST_SKIP() << missing_shared("clue_wsc");
  const TemporaryDirectory root;
  namespace fs = std::filesystem;
  fs::create_directories(root.path() / "cluewsc");
  fs::create_directory_symlink(*shared / "cluewsc2020", root.path() / "cluewsc2020");
  fs::copy_file(*shared / "cluewsc2020/dev.json", root.path() / "cluewsc/test_public.json");
  fs::copy_file(*shared / "cluewsc2020/train.json", root.path() / "cluewsc/train_0.json");
  Catalog catalog;
  for (const VariantInfo& variant : catalog.info("clue_wsc").variants) {
    const Task task = Task::open(
        catalog, {.task = "clue_wsc", .variant = variant.name, .data_root = root.path()});
    // The labels' counts; every text with a true one has a second span.
    const bool positives = variant.name == "positives_only" || variant.name == "choice";
    EXPECT_EQ(task.size(), positives ? 111u : 304u) << variant.name;
    EXPECT_EQ(reference_score(task), static_cast<double>(task.size())) << variant.name;
  }
}

TEST(ReadingOracle, DropContrastSet) {
  const auto shared = shared_datasets("drop");
  if (!shared) GTEST_SKIP() << missing_shared("drop");
  const TemporaryDirectory tasks;
  write_file_atomically(tasks.path() / "drop.json",
                        R"({"task": "drop_contrast", "extends": "drop", "split": "contrast"})");
  Catalog catalog;
  catalog.add_directory(tasks.path());
  const Task task = Task::open(catalog, {.task = "drop_contrast", .data_root = *shared});
  // Answers of one span score 1. One of n spans, or all n in one text, scores less.
  size_t one_span = 0;
  for (size_t i = 0; i < task.size(); ++i) {
    const std::vector<std::string>& golds = task.document(i).list("golds");
    one_span += json::Document::parse(golds[0], "gold").root().size() == 1;
  }
  const double score = reference_score(task);
  EXPECT_GE(score, static_cast<double>(one_span));
  EXPECT_LT(score, static_cast<double>(task.size()));
  EXPECT_GT(one_span, task.size() * 9 / 10);
}

}  // namespace
}  // namespace assay::tasks
