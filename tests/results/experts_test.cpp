// `assay show --experts`: relative load and what is shown of it.
#include "results/experts.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "tests/results/synthetic_run.h"

namespace assay::results {
namespace {

TEST(LoadBalance, ByHand) {
  // 8 positions choose 2 of 4 experts: 16 routed tokens, 4 each would be balance.
  const LoadBalance b = load_balance({3, {8, 4, 4, 0}, {4.0, 1.0, 3.0, 0.0}});
  EXPECT_EQ(b.layer, 3);
  EXPECT_EQ(b.tokens, 16u);
  EXPECT_EQ(b.relative, (std::vector<double>{2, 1, 1, 0}));
  EXPECT_EQ(b.mean_weight, (std::vector<double>{0.5, 0.25, 0.75, 0}));
  EXPECT_EQ(b.highest, 2);
  EXPECT_EQ(b.lowest, 0);
  EXPECT_DOUBLE_EQ(b.deviation, std::sqrt(0.5));  // of 1, 0, 0, -1
  EXPECT_EQ(b.busiest, 0);
  EXPECT_EQ(b.unused, 1);
}

TEST(LoadBalance, NothingRoutedAndOneExpert) {
  const LoadBalance none = load_balance({0, {0, 0}, {0, 0}});
  EXPECT_EQ(none.relative, (std::vector<double>{0, 0}));
  EXPECT_EQ(none.deviation, 0);
  EXPECT_EQ(none.unused, 2);
  EXPECT_EQ(load_balance({0, {7}, {7.0}}).relative, std::vector<double>{1});
}

struct Stored {
  TemporaryDirectory directory;
  Store store = Store::open(directory.path() / "x.sqlite", Store::Access::write);
  RunSummary run;

  explicit Stored(const std::vector<ExpertLoadRecord>& loads) {
    const RunId id = store.begin_run(store.put_model(synthetic::model("m")),
                                     synthetic::run_identity("label"), {"assay run", "{}"});
    synthetic::Shape shape;
    const EvaluationId evaluation = store.begin_evaluation(
        id, synthetic::evaluation_identity(shape), synthetic::description(shape));
    for (const auto& load : loads) store.add_expert_load(evaluation, load);
    store.commit();
    run = find_run(store, "1");
  }
};

TEST(Experts, TableFitsATerminalAndShowsTheLoad) {
  std::vector<uint64_t> many(256, 1);
  many[0] = 3;
  const Stored stored({{3, {8, 4, 4, 0}, {4, 1, 3, 0}}, {60, many, std::vector<double>(256, 0.5)}});
  const std::string text = render(experts_table(stored.store, stored.run), Format::terminal);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    EXPECT_LE(utf8::display_width(text.substr(begin, end - begin)), 80u) << text;
    begin = end + 1;
  }
  EXPECT_NE(text.find("█▄▄·"), std::string::npos) << text;
  EXPECT_NE(text.find("2.98"), std::string::npos) << text;  // 3 * 256 / 258

  const auto json = json::Document::parse(experts_json(stored.store, stored.run), "experts");
  const json::Value layers = json.root().at("tasks")[0].at("layers");
  ASSERT_EQ(layers.size(), 2u);
  EXPECT_EQ(layers[0].at("layer").integer(), 3);
  EXPECT_EQ(layers[0].at("tokens").integer(), 16);
  EXPECT_EQ(layers[0].at("counts")[0].integer(), 8);
  EXPECT_EQ(layers[0].at("relative_load")[0].number(), 2);
  EXPECT_EQ(layers[0].at("mean_weight")[2].number(), 0.75);
  EXPECT_EQ(layers[1].at("counts").size(), 256u);
}

TEST(Experts, ADenseModelHasNone) {
  const Stored stored({});
  const Table table = experts_table(stored.store, stored.run);
  EXPECT_TRUE(table.rows.empty());
  ASSERT_EQ(table.notes.size(), 1u);
  EXPECT_EQ(experts_json(stored.store, stored.run), R"({"run":1,"label":"label","tasks":[]})");
}

}  // namespace
}  // namespace assay::results
