// What is said aloud beside a score, grids of scores, intervals of samples.
#include "results/diagnostics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "results/heat_map.h"
#include "tests/results/synthetic_run.h"

namespace assay::results {
namespace {

struct Made {
  TemporaryDirectory folder;
  Store store = Store::open(folder.path() / "s.sqlite", Store::Access::write);
  EvaluationSummary evaluation;
};

// `letter` is chosen for every document; `flags` are metrics that the first `marked` documents have.
void make(Made& made, const std::string& letter, const std::vector<std::string>& flags, int64_t marked,
          EvaluationIdentity identity, int64_t population, std::span<const AggregateRule> rules = {}) {
  const synthetic::Shape shape{.documents = 200, .groups = 0};
  const RunId run = made.store.begin_run(made.store.put_model(synthetic::model("m")),
                                         synthetic::run_identity("m"), {});
  EvaluationDescription description = synthetic::description(shape);
  description.population = population;
  const EvaluationId id = made.store.begin_evaluation(run, identity, description);
  for (int64_t i = 0; i < shape.documents; ++i) {
    made.store.put_item(id, synthetic::item(shape, i));
    GradeRecord grade = synthetic::grade(shape, i);
    if (!letter.empty()) grade.predicted = letter;
    for (const std::string& flag : flags) grade.metrics.push_back({flag, i < marked ? 1.0 : 0.0, 1});
    made.store.put_grade(id, grade);
  }
  made.store.finish_evaluation(id, rules);
  made.store.finish_run(run);
  made.evaluation = list_evaluations(made.store, run).front();
}

TEST(Diagnostics, NothingToSayOfAGoodRun) {
  Made made;
  make(made, "", {"no_extract", "boundary_merge"}, 1, synthetic::evaluation_identity({}), 200);
  const Diagnostics d = diagnose(made.store, made.evaluation);
  EXPECT_EQ(d.documents, 200);
  EXPECT_EQ(d.no_extract, 1);
  EXPECT_EQ(d.right.at("A"), 50);
  EXPECT_TRUE(notable(d).empty()) << notable(d).front();  // one document of 200 is negligible
}

TEST(Diagnostics, OneWrittenBeginTokenIsSaid) {
  Made made;
  make(made, "", {"literal_bos"}, 1, synthetic::evaluation_identity({}), 200);
  EXPECT_EQ(notable(diagnose(made.store, made.evaluation)),
            std::vector<std::string>{"1 of 200 prompts begin with the begin token written out"});
}

TEST(Diagnostics, CountsAndLettersThatAreNotNegligible) {
  Made made;
  make(made, "A", {"no_extract", "length_limited", "shots_dropped", "boundary_merge"}, 7,
       synthetic::evaluation_identity({}), 200);
  const std::vector<std::string> clauses = notable(diagnose(made.store, made.evaluation));
  ASSERT_EQ(clauses.size(), 5u);
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(clauses[i].starts_with("7 of 200 ")) << clauses[i];
  EXPECT_EQ(clauses[4],
            "options chosen: A 100 % (right 25 %), B 0 % (right 25 %), C 0 % (right 25 %), "
            "D 0 % (right 25 %)");
}

TEST(Diagnostics, IntervalsOfASampleShrinkToTheSplit) {
  EvaluationIdentity all = synthetic::evaluation_identity({}), sample = all, first = all;
  sample.limit = first.limit = 200;
  first.settings = R"({"limit_first": true})";
  Made whole, drawn, begun;
  make(whole, "", {}, 0, all, 200);
  make(drawn, "", {}, 0, sample, 800);
  make(begun, "", {}, 0, first, 800);
  const AggregateRecord& a = *whole.evaluation.headline;
  const AggregateRecord& b = *drawn.evaluation.headline;
  const AggregateRecord& c = *begun.evaluation.headline;
  EXPECT_EQ(a.value, b.value);
  EXPECT_NEAR(*b.standard_error, *a.standard_error * std::sqrt(0.75), 1e-12);
  EXPECT_NEAR(b.value - *b.low, (a.value - *a.low) * std::sqrt(0.75), 1e-12);
  EXPECT_NE(b.interval.find("finite"), std::string::npos);
  EXPECT_EQ(*c.standard_error, *a.standard_error);  // the first documents are no random sample
}

TEST(HeatMap, RowsAndColumnsInNumericOrder) {
  Made made;
  std::vector<AggregateRule> rules{{"micro", {{}}},
                                   {"cell:512|100", {{0, 1}}},
                                   {"cell:2048|0", {{2}}},
                                   {"cell:512|20", {{3}}}};
  for (int64_t i = 0; i < 200; ++i) rules[0].strata[0].push_back(i);
  make(made, "", {}, 0, synthetic::evaluation_identity({}), 200, rules);
  const std::vector<HeatMap> maps = heat_maps(made.store, list_runs(made.store).front());
  ASSERT_EQ(maps.size(), 1u);
  EXPECT_EQ(maps[0].columns, (std::vector<std::string>{"512", "2048"}));
  EXPECT_EQ(maps[0].rows, (std::vector<std::string>{"0", "20", "100"}));
  EXPECT_FALSE(maps[0].cells[0][0].has_value());
  EXPECT_TRUE(maps[0].cells[0][1].has_value());
  const std::string text = heat_map_text(maps[0], 80, false);
  EXPECT_NE(text.find("  512  2048\n    0     -"), std::string::npos) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(heat_map_text(maps[0], 80, true).find("\x1b[30;48;5;"), std::string::npos);
  // Forty columns of text at most: every line fits.
  const std::string narrow = heat_map_text(maps[0], 12, false);
  EXPECT_NE(narrow.find(" 2048\n"), std::string::npos) << narrow;
}

}  // namespace
}  // namespace assay::results
