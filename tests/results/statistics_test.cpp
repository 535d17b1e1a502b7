// The statistics against an independent library (scipy_values.json, made by scipy_values.py).
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "results/statistics/aggregate.h"
#include "results/statistics/distributions.h"
#include "results/statistics/multiplicity.h"
#include "results/statistics/paired.h"
#include "tests/support/paths.h"

namespace assay::results::statistics {
namespace {

const json::Document& expected() {
  static const json::Document document =
      json::Document::load(test_paths::source().string() + "/tests/results/scipy_values.json");
  return document;
}

// Relative 1e-9, and absolute where the value itself is below 1e-290.
void expect_close(double actual, double wanted, const std::string& what) {
  EXPECT_LE(std::fabs(actual - wanted), 1e-9 * std::fabs(wanted) + 1e-290)
      << what << ": " << actual << " instead of " << wanted;
}

template <class Function>
void check_table(const char* name, Function function) {
  size_t rows = 0;
  expected().root().at(name).for_each_element([&](json::Value row) {
    std::vector<double> cells;
    row.for_each_element([&](json::Value cell) { cells.push_back(cell.number()); });
    const double wanted = cells.back();
    cells.pop_back();
    expect_close(function(cells), wanted, std::string(name) + row.dump());
    ++rows;
  });
  EXPECT_GT(rows, 5u);
}

std::vector<double> numbers(json::Value array) {
  std::vector<double> result;
  array.for_each_element([&](json::Value v) { result.push_back(v.number()); });
  return result;
}

std::vector<Observation> data(bool weights, bool clusters) {
  const json::Value d = expected().root().at("data");
  const auto x = numbers(d.at("x")), w = numbers(d.at("w")), c = numbers(d.at("cluster")),
             g = numbers(d.at("group"));
  std::vector<Observation> result;
  for (size_t i = 0; i < x.size(); ++i)
    result.push_back({x[i], weights ? w[i] : 1.0, static_cast<int32_t>(g[i]),
                      clusters ? static_cast<int32_t>(c[i]) : static_cast<int32_t>(i)});
  return result;
}

void expect_estimate(const char* name, const Estimate& estimate) {
  const auto wanted = numbers(expected().root().at(name));
  expect_close(estimate.value, wanted[0], name);
  ASSERT_TRUE(estimate.standard_error.has_value());
  expect_close(*estimate.standard_error, wanted[1], name);
}

TEST(Distributions, AgreeWithScipy) {
  check_table("normal_cdf", [](auto& v) { return normal_cdf(v[0]); });
  check_table("normal_quantile", [](auto& v) { return normal_quantile(v[0]); });
  check_table("student_cdf", [](auto& v) { return student_cdf(v[0], v[1]); });
  check_table("student_quantile", [](auto& v) { return student_quantile(v[0], v[1]); });
  check_table("incomplete_beta", [](auto& v) { return incomplete_beta(v[0], v[1], v[2]); });
  check_table("mcnemar", [](auto& v) {
    return mcnemar_exact(static_cast<int64_t>(v[0]), static_cast<int64_t>(v[1]));
  });
}

TEST(Distributions, RefuseWhatIsNoProbability) {
  EXPECT_THROW(normal_quantile(0), Error);
  EXPECT_THROW(normal_quantile(1), Error);
  EXPECT_THROW(student_quantile(0.5, 0), Error);
  EXPECT_THROW(incomplete_beta(1, 1, 1.5), Error);
  EXPECT_THROW(binomial_cdf(3, 2, 0.5), Error);
}

TEST(Means, AgreeWithScipyAndStatsmodels) {
  expect_estimate("mean_independent", micro_mean(data(false, false)));
  expect_estimate("mean_clustered", micro_mean(data(false, true)));
  expect_estimate("mean_weighted_clustered", micro_mean(data(true, true)));
  expect_estimate("macro_independent", macro_mean(data(false, false)));
  expect_estimate("macro_clustered", macro_mean(data(false, true)));
  const auto interval = numbers(expected().root().at("student_interval"));
  const Estimate mean = micro_mean(data(false, false));
  expect_close(mean.interval->low, interval[0], "low");
  expect_close(mean.interval->high, interval[1], "high");
}

TEST(Means, CrossedClustersOfEqualGroupsAreTheMicroMean) {
  // 11 languages of the same 25 problems: the macro mean is the micro mean, and so is its error.
  std::vector<Observation> mgsm;
  Random random(3);
  for (int language = 0; language < 11; ++language)
    for (int problem = 0; problem < 25; ++problem)
      mgsm.push_back({random.uniform(), 1, language, problem});
  const Estimate macro = macro_mean(mgsm);
  EXPECT_EQ(macro.method, "macro clustered student");
  // Residuals are taken about the group means, which equal problems up to a constant a group; with
  // centred groups both formulas are the same.
  std::vector<double> means(11, 0.0);
  for (const Observation& o : mgsm) means[static_cast<size_t>(o.group)] += o.value / 25;
  for (Observation& o : mgsm) o.value -= means[static_cast<size_t>(o.group)];
  const Estimate micro = micro_mean(mgsm);
  EXPECT_NEAR(*macro.standard_error, *micro.standard_error, 1e-14);
}

TEST(Means, SmallAndDegenerateSamples) {
  EXPECT_FALSE(micro_mean({}).standard_error.has_value());
  const std::vector<Observation> one = {{1, 1, 0, 0}};
  EXPECT_FALSE(micro_mean(one).standard_error.has_value());
  ASSERT_TRUE(micro_mean(one).interval.has_value());  // Wilson says something of one success
  EXPECT_LT(micro_mean(one).interval->low, 0.25);
  const std::vector<Observation> same = {{1, 1, 0, 0}, {1, 1, 0, 0}};  // one cluster
  EXPECT_FALSE(micro_mean(same).standard_error.has_value());
  EXPECT_FALSE(micro_mean(same).interval.has_value());
  const std::vector<Observation> right = {{1, 1, 0, 0}, {1, 1, 0, 0}, {1, 1, 0, 1}, {1, 1, 0, 2}};
  const Estimate clustered = micro_mean(right);  // all right, three clusters
  EXPECT_EQ(clustered.interval->high, 1);
  EXPECT_LT(clustered.interval->low, wilson_interval(4, 4).low);
  EXPECT_THROW(micro_mean(std::vector<Observation>{{1, 0, 0, 0}}), Error);
}

TEST(Wilson, AgreesWithStatsmodels) {
  expected().root().at("wilson").for_each_element([&](json::Value row) {
    const Interval interval = wilson_interval(row[0].number(), row[1].number());
    EXPECT_NEAR(interval.low, row[2].number(), 1e-9) << row.dump();
    EXPECT_NEAR(interval.high, row[3].number(), 1e-9) << row.dump();
  });
}

TEST(Multiplicity, AgreesWithStatsmodels) {
  const auto p = numbers(expected().root().at("p_values"));
  const auto wanted_holm = numbers(expected().root().at("holm"));
  const auto wanted_bh = numbers(expected().root().at("benjamini_hochberg"));
  const auto actual_holm = holm(p), actual_bh = benjamini_hochberg(p);
  for (size_t i = 0; i < p.size(); ++i) {
    expect_close(actual_holm[i], wanted_holm[i], "holm");
    expect_close(actual_bh[i], wanted_bh[i], "bh");
  }
}

std::vector<Pair> pairs_of(const char* key) {
  const json::Value d = expected().root().at("data");
  const auto difference = numbers(expected().root().at(key)), c = numbers(d.at("cluster")),
             g = numbers(d.at("group"));
  std::vector<Pair> pairs;
  for (size_t i = 0; i < difference.size(); ++i)
    pairs.push_back({0, difference[i], 1, static_cast<int32_t>(g[i]), static_cast<int32_t>(c[i])});
  return pairs;
}

TEST(Bootstrap, AgreesWithAnotherGeneratorWithinMonteCarloError) {
  const auto wanted = numbers(expected().root().at("bootstrap_interval"));
  const double wanted_p = expected().root().at("bootstrap_p").number();
  const Workers workers(2);
  const Bootstrap result = paired_bootstrap(pairs_of("difference"), Mean::micro, workers);
  // Error of an order statistic: sqrt(q (1 - q) / B) / density. The bootstrap distribution is close
  // to normal with sd = width / 3.92; density at its 2.5 % point = 0.0584 / sd. Four errors.
  const double sd = (wanted[1] - wanted[0]) / 3.92;
  const double error = std::sqrt(0.025 * 0.975 / 10000) / (0.0584 / sd);
  EXPECT_NEAR(result.interval.low, wanted[0], 4 * error);
  EXPECT_NEAR(result.interval.high, wanted[1], 4 * error);
  EXPECT_NEAR(result.p, wanted_p, 4 * 2 * std::sqrt(wanted_p / 2 / 10000) + 2e-4);
}

TEST(Bootstrap, SameNumbersForAnyThreadCountAndOrder) {
  std::vector<Pair> pairs = pairs_of("difference");
  const Workers one(1), three(3);
  for (const Mean mean : {Mean::micro, Mean::macro}) {
    const Bootstrap a = paired_bootstrap(pairs, mean, one);
    const Bootstrap b = paired_bootstrap(pairs, mean, three);
    EXPECT_EQ(a.interval.low, b.interval.low);
    EXPECT_EQ(a.interval.high, b.interval.high);
    EXPECT_EQ(a.p, b.p);
    EXPECT_NE(paired_bootstrap(pairs, mean, one, {.seed = 1}).interval.low, a.interval.low);
  }
}

TEST(Paired, PicksTheTestThatFits) {
  const Workers workers(1);
  std::vector<Pair> binary;
  for (int i = 0; i < 100; ++i)
    binary.push_back({i % 2 ? 1.0 : 0.0, i % 3 ? 1.0 : 0.0, 1, i / 25, i});
  const PairedEstimate independent = paired_difference(binary, Mean::micro, workers);
  EXPECT_EQ(independent.p_method, "exact mcnemar");
  EXPECT_EQ(independent.counts.above + independent.counts.below + independent.counts.equal, 100);
  EXPECT_EQ(*independent.p, mcnemar_exact(independent.counts.above, independent.counts.below));
  EXPECT_EQ(paired_difference(binary, Mean::macro, workers).p_method, "macro student");
  for (Pair& pair : binary) pair.cluster /= 4;
  EXPECT_EQ(paired_difference(binary, Mean::micro, workers).p_method, "clustered student");
  binary[0].a = 0.5;
  EXPECT_EQ(paired_difference(binary, Mean::micro, workers).p_method, "paired bootstrap");
  std::vector<Pair> equal(20, Pair{0.25, 0.25, 1, 0, 0});
  for (int i = 0; i < 20; ++i) equal[static_cast<size_t>(i)].cluster = i;
  EXPECT_EQ(*paired_difference(equal, Mean::micro, workers).p, 1.0);
}

// The random cases and edges of scipy_values.py.
json::Value extra(const char* key) { return expected().root().at("extra").at(key); }

template <class Function>
void check_extra(const char* name, size_t least, Function function) {
  size_t rows = 0;
  extra(name).for_each_element([&](json::Value row) {
    std::vector<double> cells = numbers(row);
    const double wanted = cells.back();
    cells.pop_back();
    expect_close(function(cells), wanted, std::string(name) + row.dump());
    ++rows;
  });
  EXPECT_GE(rows, least) << name;
}

TEST(Extra, ClosedFormulasAgreeOnRandomCasesAndEdges) {
  const auto whole = [](double v) { return static_cast<int64_t>(v); };
  check_extra("normal_cdf", 40, [](auto& v) { return normal_cdf(v[0]); });
  check_extra("normal_quantile", 60, [](auto& v) { return normal_quantile(v[0]); });
  check_extra("student_cdf", 80, [](auto& v) { return student_cdf(v[0], v[1]); });
  check_extra("student_quantile", 60, [](auto& v) { return student_quantile(v[0], v[1]); });
  check_extra("incomplete_beta", 120, [](auto& v) { return incomplete_beta(v[0], v[1], v[2]); });
  check_extra("binomial_cdf", 60,
              [&](auto& v) { return binomial_cdf(whole(v[0]), whole(v[1]), v[2]); });
  check_extra("mcnemar", 80, [&](auto& v) { return mcnemar_exact(whole(v[0]), whole(v[1])); });
  check_extra("pass_at_k", 40,
              [&](auto& v) { return pass_at_k(whole(v[0]), whole(v[1]), whole(v[2])); });
  extra("wilson").for_each_element([&](json::Value row) {
    const auto v = numbers(row);
    const Interval interval = wilson_interval(v[0], v[1], v[2]);
    EXPECT_NEAR(interval.low, v[3], 1e-9) << row.dump();
    EXPECT_NEAR(interval.high, v[4], 1e-9) << row.dump();
  });
  extra("multiplicity").for_each_element([&](json::Value row) {
    const auto p = numbers(row[0]), h = numbers(row[1]), b = numbers(row[2]);
    const auto actual_h = holm(p), actual_b = benjamini_hochberg(p);
    ASSERT_EQ(actual_h.size(), h.size());
    for (size_t i = 0; i < p.size(); ++i) {
      expect_close(actual_h[i], h[i], "holm " + row.dump());
      expect_close(actual_b[i], b[i], "bh " + row.dump());
    }
  });
}

void expect_interval(const Interval& actual, json::Value wanted) {
  const double scale = std::fabs(wanted.at("low").number()) + std::fabs(wanted.at("high").number());
  EXPECT_NEAR(actual.low, wanted.at("low").number(), 1e-9 * scale);
  EXPECT_NEAR(actual.high, wanted.at("high").number(), 1e-9 * scale);
}

TEST(Extra, MeansAgreeOnRandomDataAndEdges) {
  extra("micro").for_each_element([&](json::Value row) {
    const auto x = numbers(row.at("x")), w = numbers(row.at("w")), c = numbers(row.at("cluster"));
    std::vector<Observation> all;
    for (size_t i = 0; i < x.size(); ++i)
      all.push_back({x[i], w[i], 0, static_cast<int32_t>(c[i])});
    const Estimate estimate = micro_mean(all);
    expect_close(estimate.value, row.at("value").number(), "value");
    // (equal values: the error is rounding on both sides)
    EXPECT_NEAR(*estimate.standard_error, row.at("error").number(),
                1e-9 * row.at("error").number() + 1e-15);
    expect_interval(*estimate.interval, row);
  });
  extra("welch").for_each_element([&](json::Value row) {
    std::vector<Observation> all;
    for (const char* key : {"x", "y"})
      for (const double v : numbers(row.at(key)))
        all.push_back({v, 1, key[0] == 'y', static_cast<int32_t>(all.size())});
    const Estimate estimate = macro_mean(all);
    expect_close(estimate.value, row.at("value").number(), "value");
    expect_close(*estimate.standard_error, row.at("error").number(), "error");
    expect_close(estimate.degrees_of_freedom, row.at("df").number(), "df");
    expect_interval(*estimate.interval, row);
  });
}

TEST(Extra, PairedProportionsAgree) {
  const Workers workers(1);
  extra("bonett_price").for_each_element([&](json::Value row) {
    const auto v = numbers(row);
    std::vector<Pair> pairs;
    for (int32_t i = 0; i < static_cast<int32_t>(v[0]); ++i) {
      const bool up = i < v[1], down = !up && i < v[1] + v[2];
      pairs.push_back({down ? 1.0 : 0.0, up ? 1.0 : 0.0, 1, 0, i});
    }
    const PairedEstimate estimate = paired_difference(pairs, Mean::micro, workers);
    EXPECT_NEAR(estimate.interval->low, v[3], 1e-9) << row.dump();
    EXPECT_NEAR(estimate.interval->high, v[4], 1e-9) << row.dump();
    expect_close(*estimate.p, v[5], row.dump());
  });
  extra("paired_clustered").for_each_element([&](json::Value row) {
    const auto a = numbers(row.at("a")), b = numbers(row.at("b")), c = numbers(row.at("cluster"));
    std::vector<Pair> pairs;
    for (size_t i = 0; i < a.size(); ++i)
      pairs.push_back({a[i], b[i], 1, 0, static_cast<int32_t>(c[i])});
    const PairedEstimate estimate = paired_difference(pairs, Mean::micro, workers);
    EXPECT_NEAR(estimate.difference, row.at("value").number(), 1e-12);
    expect_close(*estimate.standard_error, row.at("error").number(), "error");
    expect_interval(*estimate.interval, row);
    expect_close(*estimate.p, row.at("p").number(), "p");
  });
}

TEST(Paired, NoSpreadIsNoCertainty) {
  const Workers workers(1);
  // Sixty documents of six clusters that nobody answers otherwise: as sixty documents without
  // clusters.
  std::vector<Pair> same, apart;
  for (int32_t i = 0; i < 60; ++i) {
    same.push_back({i % 2 ? 1.0 : 0.0, i % 2 ? 1.0 : 0.0, 1, i / 10, i / 10});
    apart.push_back(same.back());
    apart.back().cluster = i;
  }
  const PairedEstimate independent = paired_difference(apart, Mean::micro, workers);
  for (const Mean mean : {Mean::micro, Mean::macro}) {
    const PairedEstimate none = paired_difference(same, mean, workers);
    EXPECT_EQ(*none.p, 1);
    EXPECT_EQ(none.interval->low, independent.interval->low);
    EXPECT_EQ(none.interval->high, independent.interval->high);
  }
  // All of them changed alike: six clusters say 2 / 2^6, not certainty.
  for (Pair& pair : same) pair.a = 0, pair.b = 1;
  const PairedEstimate all = paired_difference(same, Mean::micro, workers);
  EXPECT_DOUBLE_EQ(*all.p, 2.0 / 64);
  EXPECT_LT(all.interval->low, 1);
}

TEST(Power, MinimumDetectableEffect) {
  const auto wanted = numbers(expected().root().at("mde"));
  expect_close(minimum_detectable_effect(wanted[0]), wanted[1], "mde");
}

TEST(PassAtK, IsTheUnbiasedEstimator) {
  EXPECT_DOUBLE_EQ(pass_at_k(10, 3, 1), 0.3);
  EXPECT_DOUBLE_EQ(pass_at_k(10, 0, 5), 0);
  EXPECT_DOUBLE_EQ(pass_at_k(10, 6, 5), 1);
  // 1 - C(7, 5) / C(10, 5) = 1 - 21 / 252
  EXPECT_NEAR(pass_at_k(10, 3, 5), 1 - 21.0 / 252.0, 1e-15);
  EXPECT_THROW(pass_at_k(4, 2, 5), Error);
}

TEST(MacroMean, GroupsOfOneDocument) {
  // Twelve subjects of one document, three of them right: the spread of the subjects is all there
  // is.
  std::vector<Observation> lonely;
  for (int32_t g = 0; g < 12; ++g) lonely.push_back({g < 3 ? 1.0 : 0.0, 1, g, g});
  const Estimate estimate = macro_mean(lonely);
  EXPECT_DOUBLE_EQ(estimate.value, 0.25);
  EXPECT_NEAR(*estimate.standard_error, std::sqrt(12 * 0.1875 / (12 * 11)), 1e-15);
  EXPECT_EQ(estimate.method, "macro between groups");
  // Nothing right at all: no spread, but no certainty either.
  for (Observation& o : lonely) o.value = 0;
  const Estimate none = macro_mean(lonely);
  EXPECT_EQ(none.method, "macro wilson");
  EXPECT_GT(none.interval->high, 0.2);
}

TEST(FinitePopulation, ShrinksToNothing) {
  Estimate estimate;
  estimate.value = 0.5;
  estimate.standard_error = 0.1;
  estimate.interval = Interval{0.3, 0.6};
  const Estimate quarter = of_finite_population(estimate, 0.25);
  EXPECT_DOUBLE_EQ(*quarter.standard_error, 0.1 * std::sqrt(0.75));
  EXPECT_DOUBLE_EQ(quarter.interval->low, 0.5 - 0.2 * std::sqrt(0.75));
  EXPECT_DOUBLE_EQ(quarter.interval->high, 0.5 + 0.1 * std::sqrt(0.75));
  EXPECT_EQ(*of_finite_population(estimate, 1).standard_error, 0);
  EXPECT_THROW(of_finite_population(estimate, 1.5), Error);
}

}  // namespace
}  // namespace assay::results::statistics
