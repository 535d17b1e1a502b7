// Intervals cover, tests keep their level, the gate raises as few false alarms as it says: by
// simulation. Short here; ASSAY_CALIBRATION=2000 (data sets a cell) runs at full length and prints the
// tables of docs/statistics.md.
//
// Bands: a share estimated from R data sets has a standard error of sqrt(q (1 - q) / R); a check allows
// four of them beyond the claim, so that 200 checks fail by chance once in 80 full runs.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "results/gate.h"
#include "simulated_tasks.h"

namespace assay::results::simulation {
namespace {

using statistics::Estimate;
using statistics::PairedEstimate;

int full_length() {
  const char* text = std::getenv("ASSAY_CALIBRATION");
  return text == nullptr ? 0 : std::atoi(text);
}
// Data sets a cell: at full length as asked, else as many as cost about `documents` draws.
int data_sets(const TaskShape& shape, int documents) {
  return full_length() > 0 ? full_length() : std::max(40, documents / shape.documents);
}

double error_of_share(double share, int count) { return std::sqrt(share * (1 - share) / count); }

struct Share {
  int hits = 0, count = 0;
  double value() const { return count == 0 ? 0 : static_cast<double>(hits) / count; }
  void add(bool hit) {
    hits += hit;
    ++count;
  }
};

Estimate estimate_of(const Sampler& sampler, const std::vector<Pair>& pairs) {
  const std::vector<Observation> values = first_run(pairs);
  return sampler.mean() == Mean::micro ? statistics::micro_mean(values)
                                       : statistics::macro_mean(values);
}

// A claim of 94 to 96 % for every task, over the base rates of the published models.
TEST(Calibration, IntervalsCover) {
  Share all;
  if (full_length() > 0) std::printf("\n| task | documents | method | rates | coverage | half width |\n|:--|--:|:--|:--|--:|--:|\n");
  uint64_t seed = 1;
  for (const TaskShape& shape : task_shapes()) {
    const std::vector<double> rates = published_rates(shape.task);
    ASSERT_FALSE(rates.empty()) << shape.task;
    Share covered;
    std::string method, rate_text;
    double width = 0;
    for (const double rate : rates) {
      Sampler sampler(shape, ++seed);
      const int count = data_sets(shape, 200000);
      for (int i = 0; i < count; ++i) {
        const Estimate estimate = estimate_of(sampler, sampler.draw(rate, rate));
        ASSERT_TRUE(estimate.interval.has_value()) << shape.task;
        const bool hit = estimate.interval->low <= rate && rate <= estimate.interval->high;
        covered.add(hit);
        all.add(hit);
        method = estimate.method;
        width += (estimate.interval->high - estimate.interval->low) / 2;
      }
      char text[16];
      std::snprintf(text, sizeof(text), "%s%.3g", rate_text.empty() ? "" : ", ", rate);
      rate_text += text;
    }
    const double slack = 4 * error_of_share(0.95, covered.count);
    EXPECT_GT(covered.value(), 0.94 - slack) << shape.task << " " << method;
    EXPECT_LT(covered.value(), 0.96 + slack) << shape.task << " " << method;
    if (full_length() > 0)
      std::printf("| %s | %d | %s | %s | %.1f %% | %.4f |\n", shape.task, shape.documents,
                  method.c_str(), rate_text.c_str(), 100 * covered.value(), width / covered.count);
  }
  EXPECT_GT(all.value(), 0.94);
  EXPECT_LT(all.value(), 0.96);
  if (full_length() > 0) std::printf("\nTogether: %.2f %% of %d intervals.\n", 100 * all.value(), all.count);
}

// Two runs of equal strength whose answers are correlated: a test at 5 % finds a difference in at most
// 5 % of the data sets (exact McNemar stays below: discordant pairs are few and whole).
TEST(Calibration, PairedTestsKeepTheirLevel) {
  const Workers workers(2);
  if (full_length() > 0) std::printf("\n| task | documents | test | false differences | interval covers 0 |\n|:--|--:|:--|--:|--:|\n");
  uint64_t seed = 1000;
  for (const TaskShape& shape : task_shapes()) {
    const double rate = published_rates(shape.task).back();
    Sampler sampler(shape, ++seed);
    const bool resamples = shape.values != Values::binary;
    const int count = resamples && full_length() > 0 ? std::min(full_length(), 1000)
                                                     : data_sets(shape, resamples ? 0 : 200000);
    Share found, covered;
    std::string method;
    for (int i = 0; i < count; ++i) {
      const PairedEstimate estimate =
          statistics::paired_difference(sampler.draw(rate, rate), sampler.mean(), workers,
                                        {.resamples = full_length() > 0 ? 1999 : 399, .seed = 5});
      ASSERT_TRUE(estimate.p && estimate.interval) << shape.task;
      found.add(*estimate.p < 0.05);
      covered.add(estimate.interval->low <= 0 && 0 <= estimate.interval->high);
      method = estimate.p_method;
    }
    const double slack = 4 * error_of_share(0.05, found.count);
    EXPECT_LT(found.value(), 0.055 + slack) << shape.task << " " << method;
    EXPECT_GT(covered.value(), 0.94 - slack) << shape.task << " " << method;
    if (full_length() > 0)
      std::printf("| %s | %d | %s | %.1f %% | %.1f %% |\n", shape.task, shape.documents,
                  method.c_str(), 100 * found.value(), 100 * covered.value());
  }
}

// A comparison as the gate takes it, of one simulated task.
TaskComparison compared(const TaskShape& shape, Sampler& sampler, double rate_a, double rate_b,
                        const Workers& workers) {
  TaskComparison task;
  task.a.identity.task = shape.task;
  task.a.description.title = shape.task;
  task.a.description.unit = "percent";
  task.b = task.a;
  task.estimate =
      statistics::paired_difference(sampler.draw(rate_a, rate_b), sampler.mean(), workers);
  return task;
}

// Thirty-two rules, every task worse by exactly its margin: the hardest place for both errors. A gate
// that says "regression" is wrong in at most 5 % (Holm over the rules); one that lets a single such
// task pass is wrong in at most 5 %.
TEST(Calibration, GateRaisesFewFalseAlarms) {
  const Workers workers(1);
  const int count = full_length() > 0 ? full_length() : 150;
  constexpr double kMargin = 0.02;
  std::vector<Sampler> samplers;
  std::vector<TaskShape> shapes;
  for (TaskShape shape : task_shapes()) {
    if (shape.values != Values::binary) continue;  // resampling thousands of times takes hours
    shape.documents = std::min(shape.documents, 1500);
    shapes.push_back(shape);
    samplers.emplace_back(shape, 2000 + shapes.size());
  }
  Share alarms, passes, alarms_without_change;
  for (int i = 0; i < count; ++i) {
    Comparison at_margin, unchanged;
    for (size_t t = 0; t < shapes.size(); ++t) {
      at_margin.tasks.push_back(compared(shapes[t], samplers[t], 0.62, 0.62 - kMargin, workers));
      unchanged.tasks.push_back(compared(shapes[t], samplers[t], 0.62, 0.62, workers));
    }
    GateRules rules;
    rules.margin = 100 * kMargin;
    const GateResult result = judge_gate(at_margin, rules);
    alarms.add(result.status == GateStatus::regression);
    for (const GateRow& row : result.rows) passes.add(row.status == GateStatus::pass);
    alarms_without_change.add(judge_gate(unchanged, rules).status == GateStatus::regression);
  }
  EXPECT_LT(alarms.value(), 0.05 + 4 * error_of_share(0.05, alarms.count));
  EXPECT_LT(passes.value(), 0.055 + 4 * error_of_share(0.05, alarms.count));
  EXPECT_LE(alarms_without_change.value(), 0.01 + 4 * error_of_share(0.01, alarms.count));
  if (full_length() > 0)
    std::printf("\nGate of %zu rules, margin 2 points, %d gates: at the margin %.2f %% regressions, "
                "%.2f %% of the rules pass; without a change %.2f %% regressions.\n",
                shapes.size(), count, 100 * alarms.value(), 100 * passes.value(),
                100 * alarms_without_change.value());
}

// Recipes of equal strength whose checkpoints jump by 0.8 points: with the noise estimated from five
// checkpoints of a series the gate keeps its level; without it, jumps are taken for regressions.
TEST(Calibration, NoiseAwareGateKeepsItsLevel) {
  const Workers workers(1);
  const int count = full_length() > 0 ? full_length() : 400;
  const TaskShape shape{"gsm8k", 1319};
  Sampler sampler(shape, 77);
  Random jump(78);
  constexpr double kNoise = 0.008;
  Share aware, unaware;
  for (int i = 0; i < count; ++i) {
    std::vector<double> x, y;
    for (int k = 0; k < 5; ++k) {
      x.push_back(k);
      y.push_back(0.6 + kNoise * jump.normal());
    }
    Comparison comparison;
    comparison.tasks.push_back(compared(shape, sampler, 0.6 + kNoise * jump.normal(),
                                        0.6 + kNoise * jump.normal(), workers));
    GateRules rules;
    rules.margin = 0;
    unaware.add(judge_gate(comparison, rules).status == GateStatus::regression);
    const CheckpointNoise noise{*detrended_noise(x, y), 3};
    aware.add(judge_gate(comparison, rules, {{"gsm8k", noise}}).status == GateStatus::regression);
  }
  EXPECT_LT(aware.value(), 0.055 + 4 * error_of_share(0.05, count));
  EXPECT_GT(unaware.value(), aware.value());
  if (full_length() > 0)
    std::printf("\nEqual recipes, checkpoint noise 0.8 points, margin 0, %d gates: %.1f %% regressions "
                "with the noise counted, %.1f %% without.\n",
                count, 100 * aware.value(), 100 * unaware.value());
}

// How often a difference is found, and whether the smallest detectable one is what it claims: found
// 4 times in 5.
TEST(Calibration, PowerIsAsPromised) {
  const Workers workers(1);
  const int count = full_length() > 0 ? full_length() : 250;
  const int sizes[] = {164, 500, 1319, 5000, 14042};
  const double effects[] = {0.005, 0.01, 0.02, 0.03, 0.05, 0.08};
  if (full_length() > 0) std::printf("\n| documents | detectable | power there | 0.5 | 1 | 2 | 3 | 5 | 8 |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
  for (const int n : sizes) {
    const TaskShape shape{"math", n};
    Sampler sampler(shape, static_cast<uint64_t>(n));
    // The standard error that a comparison would report, averaged.
    double error = 0;
    for (int i = 0; i < 20; ++i)
      error += *statistics::paired_difference(sampler.draw(0.6, 0.6), Mean::micro, workers)
                    .standard_error / 20;
    const double detectable = statistics::minimum_detectable_effect(error);
    const auto power = [&](double effect, int times) {
      Share found;
      for (int i = 0; i < times; ++i)
        found.add(*statistics::paired_difference(sampler.draw(0.6, 0.6 + effect), Mean::micro, workers)
                       .p < 0.05);
      return found;
    };
    const Share there = power(detectable, full_length() > 0 ? count : std::max(60, 400000 / n));
    // The exact test is a little conservative for few documents.
    EXPECT_GT(there.value(), (n < 1000 ? 0.70 : 0.76) - 4 * error_of_share(0.8, there.count)) << n;
    EXPECT_LT(there.value(), 0.84 + 4 * error_of_share(0.8, there.count)) << n;
    if (full_length() == 0) continue;
    std::printf("| %d | %.1f | %.0f %% |", n, 100 * detectable, 100 * there.value());
    for (const double effect : effects) std::printf(" %.0f %% |", 100 * power(effect, count).value());
    std::printf("\n");
  }
}

}  // namespace
}  // namespace assay::results::simulation
