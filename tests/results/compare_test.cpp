#include "results/compare.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "results/scores.h"
#include "synthetic_run.h"

namespace assay::results {
namespace {

using synthetic::Shape;

class CompareTest : public testing::Test {
 protected:
  CompareTest() : store_(Store::open(folder_.path() / "s.sqlite", Store::Access::write)) {}
  RunSummary run(const std::string& name) { return find_run(store_, name); }
  Comparison compare_runs(const CompareOptions& options = {}) {
    return compare(store_, run("a"), run("b"), options, Workers(2));
  }
  TemporaryDirectory folder_{"assay-compare-test"};
  Store store_;
};

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_F(CompareTest, FindsARealDifferenceAndCountsIt) {
  Shape a{.documents = 1500, .skill = 0.5, .seed = 1}, b = a;
  b.skill = 0.62;  // the same random numbers: every document right in A is right in B
  synthetic::store_run(store_, a, "a");
  synthetic::store_run(store_, b, "b");
  int64_t right_a = 0, right_b = 0;
  for (int64_t i = 0; i < a.documents; ++i) {
    right_a += synthetic::right(a, i);
    right_b += synthetic::right(b, i);
  }
  const Comparison result = compare_runs({.by_group = true, .flips = true});
  ASSERT_EQ(result.tasks.size(), 1u);
  const TaskComparison& task = result.tasks[0];
  EXPECT_DOUBLE_EQ(task.estimate.a, static_cast<double>(right_a) / 1500);
  EXPECT_DOUBLE_EQ(task.estimate.b, static_cast<double>(right_b) / 1500);
  EXPECT_EQ(task.estimate.counts.above, right_b - right_a);
  EXPECT_EQ(task.estimate.counts.below, 0);
  EXPECT_EQ(static_cast<int64_t>(task.flips.size()), right_b - right_a);
  EXPECT_EQ(task.verdict, Verdict::better);
  EXPECT_EQ(task.groups.size(), 4u);
  EXPECT_FALSE(result.forced);
  // Exactly the reverse the other way round.
  const Comparison reverse = compare(store_, run("b"), run("a"), {}, Workers(1));
  EXPECT_EQ(reverse.tasks[0].verdict, Verdict::worse);
  EXPECT_DOUBLE_EQ(reverse.tasks[0].estimate.difference, -task.estimate.difference);
  EXPECT_DOUBLE_EQ(*reverse.tasks[0].estimate.p, *task.estimate.p);
}

TEST_F(CompareTest, EqualSkillIsNoDifferenceAndSaysWhatCouldBeSeen) {
  synthetic::store_run(store_, {.documents = 600, .seed = 1}, "a");
  synthetic::store_run(store_, {.documents = 600, .seed = 2}, "b");
  const Comparison result = compare_runs();
  EXPECT_EQ(result.tasks[0].verdict, Verdict::unclear) << result.tasks[0].sentence;
  EXPECT_NE(result.tasks[0].sentence.find("would be found 4 times in 5"), std::string::npos);
}

TEST_F(CompareTest, SameAnswersAreTheSame) {
  synthetic::store_run(store_, {}, "a");
  synthetic::store_run(store_, {}, "b");
  EXPECT_EQ(compare_runs().tasks[0].verdict, Verdict::same);
}

TEST_F(CompareTest, RefusesUnlikeTasksUnlessForced) {
  const Shape shape;
  synthetic::store_run(store_, shape, "a");
  const RunId b =
      store_.begin_run(store_.put_model(synthetic::model("b")), synthetic::run_identity("b"), {});
  EvaluationIdentity identity = synthetic::evaluation_identity(shape);
  identity.shots = 0;
  identity.variant = "lmeval";
  const EvaluationId evaluation =
      store_.begin_evaluation(b, identity, synthetic::description(shape));
  synthetic::complete(store_, {b, evaluation}, shape, 50);
  const std::string message = error_of([&] { compare_runs(); });
  EXPECT_NE(message.find("variant: ds against lmeval"), std::string::npos) << message;
  EXPECT_NE(message.find("shots: 5 against 0"), std::string::npos) << message;
  EXPECT_NE(message.find("--force"), std::string::npos) << message;
  const Comparison forced = compare_runs({.force = true});
  EXPECT_TRUE(forced.forced);
  EXPECT_EQ(forced.tasks[0].differences.size(), 2u);
  EXPECT_NE(comparison_table(forced).title.find("forced"), std::string::npos);
}

TEST_F(CompareTest, NumericsOfOneCheckpointAreAQuestionOfTwoAreRefused) {
  const Shape shape;
  const auto store_with = [&](const std::string& label, const std::string& model,
                              const std::string& numerics) {
    RunIdentity identity = synthetic::run_identity(label);
    identity.numerics = numerics;
    const RunId id = store_.begin_run(store_.put_model(synthetic::model(model)), identity, {});
    const EvaluationId e = store_.begin_evaluation(id, synthetic::evaluation_identity(shape),
                                                   synthetic::description(shape));
    synthetic::complete(store_, {id, e}, shape, 50);
  };
  store_with("a", "model", "bf16");
  store_with("b", "model", "fp8");
  store_with("c", "another", "fp8");
  const Comparison same = compare_runs();
  EXPECT_FALSE(same.forced);
  ASSERT_EQ(same.notes.size(), 1u);
  EXPECT_NE(same.notes[0].find("numerics: bf16 against fp8"), std::string::npos);
  const std::string message =
      error_of([&] { compare(store_, run("a"), run("c"), {}, Workers(1)); });
  EXPECT_NE(message.find("numerics: bf16 against fp8"), std::string::npos) << message;
}

TEST_F(CompareTest, PairsByIdAndContentAndReportsTheRest) {
  Shape shape{.documents = 30};
  synthetic::store_run(store_, shape, "a");
  const auto b = synthetic::begin(store_, shape, "b");
  // Another order, one document missing (another one instead), one with another content.
  for (int64_t i = 0; i < shape.documents; ++i) {
    const int64_t from = shape.documents - 1 - i;
    ItemRecord item = synthetic::item(shape, from);
    item.position = i;
    if (from == 7) item.document.item_id += "x";
    if (from == 9) item.document.content_hash = sha256_hex("changed");
    store_.put_item(b.evaluation, item);
    GradeRecord grade = synthetic::grade(shape, from);
    grade.position = i;
    store_.put_grade(b.evaluation, grade);
  }
  store_.finish_evaluation(b.evaluation);
  store_.finish_run(b.run);
  const TaskComparison task = compare_runs().tasks[0];
  EXPECT_EQ(task.estimate.n, 28);
  EXPECT_EQ(task.only_a, 1);
  EXPECT_EQ(task.only_b, 1);
  EXPECT_EQ(task.changed, 1);
  EXPECT_EQ(task.verdict, Verdict::same);
  EXPECT_NE(comparison_details(store_, compare_runs(), 80).find("1 documents only in A"),
            std::string::npos);
}

TEST_F(CompareTest, OutputFitsTheTerminalAndIsSafe) {
  Shape shape{.documents = 24};
  synthetic::store_run(store_, shape, "a");
  Shape other = shape;
  other.seed = 9;
  const auto b = synthetic::begin(store_, other, "b");
  for (int64_t i = 0; i < shape.documents; ++i) {
    ItemRecord item = synthetic::item(other, i);
    item.context +=
        "\x1b[31mred\x07 \xff\xfe "
        "汉字汉字汉字汉字汉字汉字汉字汉字汉字汉字汉字汉字汉字汉字汉字汉字汉字汉字 end";
    store_.put_item(b.evaluation, item);
    for (int k = 0; k < 4; ++k) {
      OptionRecord option = synthetic::option(other, i, k);
      option.continuation += std::string("\0\x1b]0;title\x07", 12) + std::string(200, 'w');
      store_.put_option(b.evaluation, option);
    }
    GenerationRecord generation = synthetic::generation(other, i);
    generation.text = "\x1b[2J" + std::string(300, 'g') + "\r\nnext";
    store_.put_generation(b.evaluation, generation);
    store_.put_grade(b.evaluation, synthetic::grade(other, i));
  }
  store_.finish_evaluation(b.evaluation);
  const Comparison result =
      compare(store_, run("b"), run("a"), {.by_group = true, .flips = true}, Workers(1));
  const std::string text =
      render(comparison_table(result), Format::terminal) + comparison_details(store_, result, 80);
  EXPECT_GT(result.tasks[0].flips.size(), 3u);
  size_t lines = 0;
  for (size_t at = 0; at < text.size(); ++lines) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    EXPECT_LE(utf8::display_width(line), 80u) << line;
    EXPECT_TRUE(utf8::is_valid(line));
    for (const char c : line) EXPECT_GE(static_cast<uint8_t>(c), 0x20) << line;
    at = end + 1;
  }
  EXPECT_GT(lines, 60u);
  json::Document::parse(comparison_json(result), "comparison");  // well-formed
}

TEST_F(CompareTest, FindRunExplainsItself) {
  synthetic::store_run(store_, {}, "base-step-600");
  EXPECT_EQ(run("base-step-600").id, run("1").id);
  EXPECT_EQ(run("#1").id, run("1").id);
  EXPECT_EQ(run(run("1").digest.substr(0, 8)).id, run("1").id);
  EXPECT_NE(error_of([&] { run("base-step-60"); }).find("did you mean base-step-600"),
            std::string::npos);
  EXPECT_NE(error_of([&] { run("7"); }).find("no run"), std::string::npos);
}

}  // namespace
}  // namespace assay::results
