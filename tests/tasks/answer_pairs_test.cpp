// Extraction and equivalence on hundreds of pairs whose outcome comes from the published scripts
// and from exact arithmetic (tests/fixtures/answers/README.md), right and wrong answers about
// equally often.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "base/json.h"
#include "tasks/answers/agieval.h"
#include "tasks/answers/hendrycks.h"
#include "tasks/answers/latex.h"
#include "tasks/answers/normalise.h"
#include "tasks/answers/opencompass.h"
#include "tasks/task_file.h"
#include "tests/support/paths.h"

namespace assay::tasks {
namespace {

template <class Body>
void for_each_case(const std::string& name, Body&& body) {
  const std::filesystem::path path = test_paths::source() / "tests/fixtures/answers" / name;
  const std::string text = read_file(path);
  json::for_each_line(text, path.string(), [&](json::Value value, size_t line) {
    SCOPED_TRACE(name + ":" + std::to_string(line));
    body(value);
  });
}

TEST(AnswerPairs, StringEquivalence) {
  size_t equal = 0, different = 0;
  for_each_case("latex_pairs.jsonl", [&](json::Value c) {
    const std::string a(c.at("a").string()), b(c.at("b").string());
    EXPECT_EQ(answers::hendrycks_equal(a, b), c.at("hendrycks").boolean()) << a << "  |  " << b;
    EXPECT_EQ(answers::minerva_equal(a, b), c.at("minerva").boolean()) << a << "  |  " << b;
    EXPECT_EQ(answers::minerva_form(a), c.at("minerva_form").string()) << a;
    EXPECT_EQ(answers::minerva_lmeval_form(a), c.at("lmeval_form").string()) << a;
    (c.at("hendrycks").boolean() ? equal : different) += 1;
  });
  EXPECT_GT(equal, 200u);
  EXPECT_GT(different, 200u);
}

TEST(AnswerPairs, NumericEquivalence) {
  size_t equal = 0, different = 0;
  for_each_case("latex_numeric.jsonl", [&](json::Value c) {
    const std::string a(c.at("a").string()), b(c.at("b").string());
    EXPECT_EQ(answers::numerically_equal(a, b), c.at("equal").boolean()) << a << "  |  " << b;
    EXPECT_EQ(answers::numerically_equal(b, a), c.at("equal").boolean()) << b << "  |  " << a;
    (c.at("equal").boolean() ? equal : different) += 1;
  });
  EXPECT_GT(equal, 100u);
  EXPECT_GT(different, 100u);
}

TEST(AnswerPairs, NumberExtraction) {
  const Catalog catalog;
  std::map<bool, size_t> seen;
  for_each_case("number_extraction.jsonl", [&](json::Value c) {
    const auto file = catalog.file(c.at("task").string(), "ds");
    const TextMetric& metric = file->metrics.front();
    const std::string text(c.at("text").string()), gold(c.at("gold").string());
    const Fields none;
    const answers::Extraction::Result found = metric.extraction.apply(text, none);
    EXPECT_EQ(found.found, !c.at("extract").is_null()) << text;
    const double value = metric.scorer.score({found.answer, {gold}, none});
    EXPECT_EQ(value, c.at("right").boolean() ? 1 : 0)
        << text << "\nfound " << found.answer << ", gold " << gold;
    ++seen[c.at("right").boolean()];
  });
  EXPECT_GT(seen[true], 150u);
  EXPECT_GT(seen[false], 150u);
}

// Every text in its normal form, or as AGIEval's parser reads it.
TEST(AnswerPairs, TextForms) {
  std::map<std::string, size_t> seen;
  for_each_case("text_forms.jsonl", [&](json::Value c) {
    const std::string rule(c.at("rule").string()), text(c.at("text").string());
    ++seen[rule];
    if (rule == "parse_math") {
      const std::optional<std::string> found = answers::parse_math_answer(text);
      EXPECT_EQ(found.has_value(), !c.at("result").is_null()) << text;
      EXPECT_EQ(found.value_or(""), c.at("result").is_null() ? "" : c.at("result").string()) << text;
      return;
    }
    const std::string form = rule == "squad"    ? answers::n_squad(text)
                             : rule == "trivia" ? answers::n_trivia(text)
                             : rule == "opencompass_program" ? answers::opencompass_program(text)
                                                             : answers::n_opencompass(text);
    EXPECT_EQ(form, c.at("result").string()) << rule << ": " << text;
  });
  EXPECT_EQ(seen.size(), 5u);
  for (const auto& [rule, count] : seen) EXPECT_GT(count, 50u) << rule;
}

// Metrics of whole outputs: extraction and comparison together.
TEST(AnswerPairs, ScorerValues) {
  const Catalog catalog;
  std::map<std::string, std::pair<size_t, size_t>> seen;  // right, not
  for_each_case("scorer_values.jsonl", [&](json::Value c) {
    const std::string task(c.at("task").string()), variant(c.at("variant").string()),
        name(c.at("metric").string());
    const auto file = catalog.file(task, variant);
    const auto metric = std::ranges::find_if(file->metrics, [&](const TextMetric& m) { return m.name == name; });
    ASSERT_NE(metric, file->metrics.end()) << name;
    Fields fields;
    if (json::Value own = c.find("fields"); own.exists()) {
      own.for_each_member([&](std::string_view key, json::Value value) {
        fields.set(std::string(key), std::string(value.string()));
      });
    }
    const answers::Extraction::Result found = metric->extraction.apply(c.at("text").string(), fields);
    const double value = metric->scorer.score({found.answer, c.at("golds").strings(), fields});
    EXPECT_NEAR(value, c.at("value").number(), 1e-12) << c.at("text").string() << "\nfound " << found.answer;
    auto& [right, other] = seen[task + "@" + variant + "/" + name];
    ++(c.at("value").number() == 1 ? right : other);
  });
  EXPECT_EQ(seen.size(), 15u);
  for (const auto& [name, counts] : seen) {
    EXPECT_GT(counts.first, 50u) << name;
    EXPECT_GT(counts.second, 50u) << name;
  }
}

}  // namespace
}  // namespace assay::tasks
