// Sampling: the definition against exact probabilities, and every backend against the definition.
#include "engine/ops/sampling.h"

#include <algorithm>
#include <numeric>

#include "tests/engine/ops/fixture.h"

namespace assay::engine::ops {
namespace {

TEST(Sampling, WeightsAreExponentials) {
  EXPECT_EQ(sampling_weight(0), uint64_t{1} << kWeightBits);
  EXPECT_EQ(sampling_weight(-INFINITY), 0u);
  EXPECT_EQ(sampling_weight(std::nan("")), 0u);
  Random random(1);
  uint64_t before = 0;
  std::vector<double> points;
  for (int i = 0; i < 20000; ++i) points.push_back(-33 * random.uniform());
  std::sort(points.begin(), points.end());
  for (const double x : points) {
    const uint64_t weight = sampling_weight(x);
    const double want = std::exp(x) * std::exp2(kWeightBits);
    // Half a unit of the last rounding, and four units in the last place of e^x.
    EXPECT_NEAR(static_cast<double>(weight), want, 0.5 + 4 * std::exp2(-53) * want + 1e-9) << x;
    EXPECT_GE(weight, before);
    before = weight;
  }
}

TEST(Sampling, DrawnWeightIsTheProductsUpperHalf) {
  EXPECT_EQ(drawn_weight(0, ~uint64_t{0}), 0u);
  EXPECT_EQ(drawn_weight((uint64_t{1} << 53) - 1, 1), 0u);
  EXPECT_EQ(drawn_weight((uint64_t{1} << 53) - 1, uint64_t{1} << 53), (uint64_t{1} << 53) - 1);
  EXPECT_EQ(drawn_weight(uint64_t{1} << 52, uint64_t{1} << 63), uint64_t{1} << 62);
  Random random(2);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t number = random.next_u64() >> 11, weight = random.next_u64();
    const long double want = static_cast<long double>(number) * static_cast<long double>(weight) *
                             0x1p-53L;
    EXPECT_NEAR(static_cast<double>(static_cast<long double>(drawn_weight(number, weight)) - want),
                -0.5, 4.0);  // rounded down; long double has 64 bits
  }
}

// Numbers at equal distances meet every token in the proportion of its probability.
TEST(Sampling, TokensComeWithTheirProbabilities) {
  const std::vector<float> logits = {0.5f, -1, 2, 2, -30, 1.25f, -0.125f};
  constexpr int kNumbers = 4000;
  std::vector<std::pair<uint64_t, TokenId>> scratch;
  for (const double temperature : {1.0, 0.5, 3.0}) {
    for (const double top_p : {1.0, 0.9, 0.5, 1e-9}) {
      std::vector<int> order(logits.size());
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return logits[a] > logits[b]; });
      std::vector<double> p;
      double all = 0, at_one = 0;
      for (const float z : logits) {
        p.push_back(std::exp(z / temperature));
        all += p.back();
        at_one += std::exp(static_cast<double>(z));
      }
      double kept = 0;
      std::vector<double> want(logits.size(), 0);
      for (size_t i = 0; i < order.size() && (i == 0 || top_p >= 1 || kept < top_p * all); ++i) {
        want[order[i]] = p[order[i]];
        kept += p[order[i]];
      }
      std::vector<int> seen(logits.size(), 0);
      for (int i = 0; i < kNumbers; ++i) {
        const auto number = static_cast<uint64_t>((i + 0.5) / kNumbers * 0x1p53);
        const Choice choice = sample(logits, {temperature, top_p, number}, scratch);
        ++seen[choice.token];
        EXPECT_NEAR(choice.logprob, logits[choice.token] - std::log(at_one), 1e-6);
        EXPECT_EQ(choice.logprob, sampled_logprob(logits, choice.token));
      }
      for (size_t i = 0; i < seen.size(); ++i) EXPECT_NEAR(seen[i], want[i] / kept * kNumbers, 1.001);
    }
  }
}

TEST(Sampling, LogitsThatAreNotFiniteAreSeen) {
  std::vector<std::pair<uint64_t, TokenId>> scratch;
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    const std::vector<float> logits = {1, bad, 2};
    EXPECT_TRUE(std::isnan(sample(logits, {1, 0.5, 1}, scratch).logprob));
    EXPECT_TRUE(std::isnan(sampled_logprob(logits, 0)));
  }
}

using SamplingTest = OpsTest;

// Of its own logits every backend draws the tokens of the definition, however many rows come together.
TEST_P(SamplingTest, DrawsWhatIsDefined) {
  for (const Numerics numerics : {Numerics::fp32, Numerics::bf16}) {
    const auto ops = backend(numerics);
    for (const int64_t vocabulary : {1, 7, 1500, 3000}) {
      const int64_t rows = vocabulary == 7 ? 70 : 5, k = 20;
      if (emulated() && vocabulary == 3000) continue;
      auto w = random_weights(DType::bf16, vocabulary, k, 8);
      if (vocabulary > 100) {  // ties, also across a tile
        std::copy_n(w->bytes.data() + 5 * k * 2, k * 2, w->bytes.data() + 1100 * k * 2);
        std::copy_n(w->bytes.data() + 5 * k * 2, k * 2, w->bytes.data() + 900 * k * 2);
      }
      const auto head = ops->prepare({&w->view, 1}, Stacking::rows, Role::head);
      const Dense hidden = random_dense(rows, k, 9, 2);
      Dense logits(rows, vocabulary);
      ops->head_logits(*head, hidden.view(), logits.view());
      Random random(11);
      std::vector<std::pair<uint64_t, TokenId>> scratch;
      for (int round = 0; round < 8; ++round) {
        std::vector<Draw> draws;
        for (int64_t r = 0; r < rows; ++r) {
          const double p[] = {1, 0.999, 0.7, 0.0};
          draws.push_back({0.2 + 3 * random.uniform(), p[random.below(4)], random.next_u64() >> 11});
        }
        draws[0].number = round % 2 == 0 ? 0 : (uint64_t{1} << 53) - 1;
        std::vector<Choice> out(rows);
        ops->head_sample(*head, hidden.view(), draws, out.data());
        for (int64_t r = 0; r < rows; ++r) {
          const Choice want = sample({logits.row(r), static_cast<size_t>(vocabulary)}, draws[r], scratch);
          ASSERT_EQ(out[r].token, want.token) << "row " << r << " of " << vocabulary;
          ASSERT_EQ(out[r].logprob, want.logprob);
        }
        const Choice first = out[0];
        ops->head_sample(*head, ConstRows(hidden.row(0), 1, k, k), {draws.data(), 1}, out.data());
        EXPECT_EQ(out[0].token, first.token);
        EXPECT_EQ(out[0].logprob, first.logprob);
      }
    }
  }
}

TEST_P(SamplingTest, LogitsThatAreNotFiniteAreSeen) {
  const auto ops = backend(Numerics::fp32);
  const auto w = random_weights(DType::f32, 40, 20, 8);
  const auto head = ops->prepare({&w->view, 1}, Stacking::rows, Role::head);
  Dense hidden = random_dense(2, 20, 9);
  hidden.row(1)[3] = NAN;
  const Draw draws[] = {{1, 0.9, 1}, {1, 0.9, 1}};
  Choice out[2];
  ops->head_sample(*head, hidden.view(), draws, out);
  EXPECT_TRUE(std::isfinite(out[0].logprob));
  EXPECT_TRUE(std::isnan(out[1].logprob));
}

INSTANTIATE_TEST_SUITE_P(Backends, SamplingTest, testing::ValuesIn(backend_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace assay::engine::ops
