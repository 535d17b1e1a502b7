// Tasks whose real files are not at hand, on made-up files in the publishers' layouts
// (tests/fixtures/layouts): names, columns, prompts, exemplars, gold answers, groups.
#include <gtest/gtest.h>

#include <set>

#include "tasks/task.h"
#include "tests/support/paths.h"

namespace assay::tasks {
namespace {

Task open(const std::string& task, const std::string& variant = "") {
  static const Catalog catalog;
  return Task::open(catalog, {.task = task,
                              .variant = variant,
                              .data_root = test_paths::source() / "tests/fixtures/layouts"});
}

// 14 locales of 7 + 6 rows; the first five of each subject are exemplars and not scored.
TEST(PublisherLayout, Mmmlu) {
  const Task task = open("mmmlu");
  EXPECT_EQ(task.size(), 14u * 3);
  EXPECT_EQ(task.groups().size(), 14u);
  const Prompt prompt = task.prompt(0);
  EXPECT_TRUE(prompt.context.starts_with(
      "The following are multiple choice questions (with answers) about abstract algebra.\n\n"));
  ASSERT_EQ(prompt.exemplars.size(), 5u);
  EXPECT_EQ(prompt.exemplars[0], "mmmlu:test:AR_XY:0");
  EXPECT_EQ(prompt.exemplars[4], "mmmlu:test:AR_XY:4");
  // Row 2's question holds a line break, row 5's first option is the word None.
  EXPECT_NE(
      prompt.context.find("سؤال 2, \"abstract_algebra\"\nzweite Zeile\nA. a2\nB. NA\nC. c, 2\n"),
      std::string::npos);
  EXPECT_TRUE(prompt.context.ends_with(
      "سؤال 5, \"abstract_algebra\"\nA. None\nB. NA\nC. c, 5\nD. d5\nAnswer:"));
  EXPECT_EQ(prompt.options[3].continuation, " D");
  EXPECT_EQ(prompt.gold_options, std::vector<int>{(5 + 5 + 5) % 4});
  EXPECT_EQ(task.item_key(0).labels.at("subject_category"), "STEM");
  EXPECT_EQ(task.item_key(2).labels.at("subject_category"), "Other");
  EXPECT_EQ(task.item_key(0).cluster, task.item_key(3).cluster);  // the same question elsewhere
  // lm-eval scores all rows, each with the first five others.
  const Task lmeval = open("mmmlu", "lmeval");
  EXPECT_EQ(lmeval.size(), 14u * 13);
  EXPECT_EQ(lmeval.prompt(1).exemplars[1], "mmmlu:test:AR_XY:2");
}

TEST(PublisherLayout, PileTest) {
  const Task task = open("pile_test");
  ASSERT_EQ(task.size(), 5u);
  EXPECT_EQ(task.prompt(1).context, "def f(x):\n    return x\n");
  EXPECT_EQ(task.prompt(2).context, "");
  EXPECT_EQ(task.item_key(1).labels.at("pile_set_name"), "Github");
  const std::string nul = task.prompt(3).context;
  EXPECT_NE(nul.find('\0'), std::string::npos);
  ASSERT_EQ(task.warnings().size(), 1u);
  EXPECT_NE(task.warnings()[0].find("5 rows, expected 214670"), std::string::npos);
  // Bits per byte over the bytes of the text; the loss over its tokens.
  Outputs outputs;
  outputs.rolling = RollingScore{26 * 0.6931471805599453, 13};
  const Grade grade = task.grade(0, outputs);
  EXPECT_NEAR(grade.metrics.at("bits_per_byte"), 1.0, 1e-12);
  EXPECT_NEAR(grade.metrics.at("loss"), 2 * 0.6931471805599453, 1e-12);
  EXPECT_EQ(grade.weight, 26);
  EXPECT_EQ(grade.weights.at("loss"), 13);
  outputs.rolling = RollingScore{};
  const Grade empty = task.grade(2, outputs);
  EXPECT_TRUE(empty.metrics.empty() && empty.error.empty());
}

TEST(PublisherLayout, CluewscOfFewClue) {
  const Task task = open("clue_wsc");
  ASSERT_EQ(task.size(), 6u);
  const Prompt prompt = task.prompt(0);
  EXPECT_EQ(prompt.exemplars.front(), "clue_wsc:train_0:21");
  EXPECT_TRUE(prompt.context.starts_with(
      "小明21说完话，他就离开了第21个房间。\n上面的句子中的\"他\"指的是\n小明21\n\n小明7说完话"));
  EXPECT_TRUE(prompt.context.ends_with("他就离开了第100个房间。\n上面的句子中的\"他\"指的是"));
  const auto accuracy = [&](size_t i, const std::string& text) {
    Outputs outputs;
    outputs.generations = {{text, Finish::stop, 0}};
    return task.grade(i, outputs).metrics.at("acc");
  };
  EXPECT_EQ(accuracy(0, "\n小明100。\n\n别的"), 1);  // label true
  EXPECT_EQ(accuracy(0, "\n小红"), 0);
  EXPECT_EQ(accuracy(1, "\n小明101"), 0);  // label false
  EXPECT_EQ(accuracy(1, "\n小红"), 1);
  EXPECT_EQ(open("clue_wsc", "positives_only").size(), 3u);
}

TEST(PublisherLayout, LiveCodeBench) {
  const Task task = open("lcb_base");
  ASSERT_EQ(task.size(), 3u);  // contests from 2024-08-01 to 2024-11-01
  EXPECT_TRUE(task.prompt(0).context.ends_with("### Question\nDo sum.\n\n### Answer\n\n"));
  EXPECT_NE(task.prompt(1).context.find(
                "### Question\nDo double.\n\n### Starter Code\nclass Solution:\n    def double("),
            std::string::npos);
  EXPECT_EQ(task.prompt(0).shots_used, 3);
  const std::vector<ProgramRequest> stdio = task.programs(0, {{"print(3)", Finish::stop, 0}});
  ASSERT_EQ(stdio.size(), 1u);
  EXPECT_EQ(stdio[0].kind, ProgramKind::stdio);
  ASSERT_EQ(stdio[0].cases.size(), 3u);
  EXPECT_EQ(stdio[0].cases[0].input, "1 2\n");   // public tests first
  EXPECT_EQ(stdio[0].cases[2].expected, "0\n");  // then the pickled ones
  const std::vector<ProgramRequest> call = task.programs(1, {{"x", Finish::stop, 0}});
  EXPECT_EQ(call[0].kind, ProgramKind::call);
  EXPECT_EQ(call[0].entry_point, "double");
  EXPECT_EQ(call[0].cases.size(), 3u);
  EXPECT_EQ(call[0].cases[2].input, "-2");
}

// Every line of HumanEval's solutions once, as the authors' single-line infilling set.
TEST(PublisherLayout, HumanEvalInfilling) {
  const Catalog catalog;
  const std::filesystem::path root = test_paths::shared() / "datasets";
  if (!std::filesystem::exists(root / "humaneval")) {
    GTEST_SKIP() << "SKIPPED: HumanEval is missing: " << root / "humaneval";
  }
  const Task task = Task::open(catalog, {.task = "humaneval_fim", .data_root = root});
  EXPECT_EQ(task.size(), 1033u);
  EXPECT_TRUE(task.warnings().empty());
  std::set<std::string> clusters;
  for (size_t i = 0; i < task.size(); ++i) {
    clusters.insert(task.item_key(i).cluster);
    const Prompt prompt = task.prompt(i);
    ASSERT_TRUE(prompt.suffix.has_value());
    const std::vector<ProgramRequest> programs =
        task.programs(i, {{prompt.gold_answer.continuation, Finish::stop, 0}});
    EXPECT_EQ(programs.at(0).program, programs.at(0).reference + "\n");
  }
  EXPECT_EQ(clusters.size(), 164u);
}

}  // namespace
}  // namespace assay::tasks
