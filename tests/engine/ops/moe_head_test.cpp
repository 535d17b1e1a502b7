// Experts, routing and the fused head of every backend.
#include <algorithm>
#include <numeric>

#include "base/json.h"
#include "tests/engine/ops/fixture.h"
#include "tests/support/paths.h"

namespace assay::engine::ops {
namespace {

using MoeTest = OpsTest;

struct Mixture {
  int64_t hidden, width;
  std::vector<std::unique_ptr<Weights>> gate, up, down;
  std::vector<std::unique_ptr<Matrix>> held;
  std::vector<ExpertWeights> experts;

  Mixture(const Backend& ops, int count, int64_t h, int64_t w, DType dtype) : hidden(h), width(w) {
    for (int e = 0; e < count; ++e) {
      gate.push_back(random_weights(dtype, w, h, 1000 + e));
      up.push_back(random_weights(dtype, w, h, 2000 + e));
      down.push_back(random_weights(dtype, h, w, 3000 + e));
      const std::vector<TensorView> pair = {gate.back()->view, up.back()->view};
      held.push_back(ops.prepare(pair, Stacking::gate_up, Role::linear));
      held.push_back(ops.prepare({&down.back()->view, 1}, Stacking::rows, Role::linear));
      experts.push_back({held[held.size() - 2].get(), held.back().get()});
    }
  }
};

// Ascending distinct experts; the low ones far more often than the others.
Routing skewed_routing(int64_t rows, int top_k, int experts, uint64_t seed) {
  Random random(seed);
  Routing routing;
  for (int64_t i = 0; i < rows; ++i) {
    std::vector<int32_t> chosen;
    while (static_cast<int>(chosen.size()) < top_k) {
      const auto e = static_cast<int32_t>(random.below(random.below(experts) + 1));
      if (std::find(chosen.begin(), chosen.end(), e) == chosen.end()) chosen.push_back(e);
    }
    std::sort(chosen.begin(), chosen.end());
    for (const int32_t e : chosen) {
      routing.expert.push_back(e);
      routing.weight.push_back(static_cast<float>(random.uniform()));
    }
  }
  return routing;
}

// The contract, spelled out with the ops that are tested elsewhere: equal bits where the backend
// adds with one rounding or two, hence a tolerance of one rounding per expert.
TEST_P(MoeTest, ExpertsAreWeightedSums) {
  for (const Numerics numerics : {Numerics::bf16, Numerics::fp8}) {
    const auto ops = backend(numerics);
    const DType dtype = numerics == Numerics::fp8 ? DType::f8_e4m3 : DType::bf16;
    const Mixture mixture(*ops, 9, 70, 45, dtype);
    for (const int64_t rows : {1, 3, 90}) {
      if (emulated() && rows > 3) continue;
      const Routing routing = skewed_routing(rows, 3, 8, rows);  // expert 8 gets no row
      const Dense x = random_dense(rows, 70, 5, 0.1);
      Dense out(rows, 70, NAN);
      std::vector<ExpertWeights> present = mixture.experts;
      for (int e = 0; e < 9; ++e) {
        if (std::find(routing.expert.begin(), routing.expert.end(), e) == routing.expert.end()) {
          present[e] = {};
        }
      }
      ops->experts(present, 3, routing, x.view(), out.view());
      for (int64_t i = 0; i < rows; ++i) {
        std::vector<double> want(70, 0), size(70, 0);
        for (int j = 0; j < 3; ++j) {
          const int32_t e = routing.expert[i * 3 + j];
          Dense hidden(1, 45), y(1, 70);
          ops->linear_swiglu(*mixture.experts[e].gate_up, ConstRows(x.row(i), 1, 70, 70),
                             hidden.view());
          ops->linear(*mixture.experts[e].down, hidden.view(), nullptr, y.view());
          for (int c = 0; c < 70; ++c) {
            const double term = static_cast<double>(routing.weight[i * 3 + j]) * y.value[c];
            want[c] += term;
            size[c] += std::fabs(term);
          }
        }
        for (int c = 0; c < 70; ++c) {
          ASSERT_NEAR(out.row(i)[c], want[c], 8 * std::exp2(-24) * size[c] + 1e-30);
        }
      }
    }
  }
}

TEST_P(MoeTest, ExpertBitsDoNotDependOnTheBatch) {
  for (const Numerics numerics :
       {Numerics::fp32, Numerics::bf16, Numerics::fp8, Numerics::fp8_weights}) {
    const auto ops = backend(numerics);
    const Mixture mixture(*ops, 6, 130, 50, DType::f8_e4m3);
    const int64_t rows = emulated() ? 16 : 60;
    const Routing routing = skewed_routing(rows, 2, 6, 77);
    const Dense x = random_dense(rows, 130, 6, 0.1);
    Dense want(rows, 130);
    ops->experts(mixture.experts, 2, routing, x.view(), want.view());
    for (const int threads : {1, 4}) {
      const Workers workers(threads);
      const auto other = make_backend(GetParam(), numerics, workers);
      for (const int64_t step : {1, 7}) {
        for (int64_t begin = 0; begin < rows; begin += step) {
          const int64_t count = std::min(step, rows - begin);
          Routing part;
          part.expert.assign(&routing.expert[begin * 2], &routing.expert[begin * 2] + count * 2);
          part.weight.assign(&routing.weight[begin * 2], &routing.weight[begin * 2] + count * 2);
          Dense out(count, 130);
          other->experts(mixture.experts, 2, part, ConstRows(x.row(begin), count, 130, 130),
                         out.view());
          ASSERT_EQ(0, std::memcmp(out.row(0), want.row(begin), count * 130 * sizeof(float)));
        }
      }
    }
  }
}

TEST_P(MoeTest, HeadScoresTargets) {
  for (const Numerics numerics : {Numerics::fp32, Numerics::bf16}) {
    const auto ops = backend(numerics);
    for (const int64_t vocabulary : {1, 100, 257, 1003}) {
      if (emulated() && vocabulary > 257) continue;
      const int64_t rows = 23, k = 66;
      const auto w = random_weights(DType::bf16, vocabulary, k, 8);
      const auto head = ops->prepare({&w->view, 1}, Stacking::rows, Role::head);
      const Dense hidden = random_dense(rows, k, 9);
      std::vector<int32_t> first = {0}, target;
      Random random(10);
      for (int64_t r = 0; r < rows; ++r) {  // none, one or several targets
        for (uint64_t t = random.below(4); t > 0; --t) {
          target.push_back(static_cast<int32_t>(random.below(vocabulary)));
        }
        first.push_back(static_cast<int32_t>(target.size()));
      }
      std::vector<float> logprob(target.size()), best_logprob(rows);
      std::vector<int32_t> best(rows);
      ops->head_score(*head, hidden.view(), {first, target}, logprob.data(), best.data(),
                      best_logprob.data());
      Dense logits(rows, vocabulary);
      ops->head_logits(*head, hidden.view(), logits.view());
      for (int64_t r = 0; r < rows; ++r) {
        const float* z = logits.row(r);
        const auto top = std::max_element(z, z + vocabulary) - z;
        double sum = 0;
        for (int64_t v = 0; v < vocabulary; ++v)
          sum += std::exp(static_cast<double>(z[v]) - z[top]);
        const double log_sum = z[top] + std::log(sum);
        // Two units of each exponential and the rounding of the sum, relative to a sum >= its
        // terms.
        const double bound =
            (vocabulary + 16) * std::exp2(-23) + std::exp2(-22) * std::fabs(log_sum);
        EXPECT_EQ(best[r], top);
        EXPECT_NEAR(best_logprob[r], z[top] - log_sum, bound);
        for (int32_t t = first[r]; t < first[r + 1]; ++t) {
          EXPECT_NEAR(logprob[t], z[target[t]] - log_sum, bound);
        }
      }
      // Alone: the same bits.
      for (int64_t r = 0; r < rows; ++r) {
        const std::vector<int32_t> mine = {0, first[r + 1] - first[r]};
        std::vector<float> alone(mine[1] + 1);
        float one = 0;
        int32_t index = 0;
        ops->head_score(*head, ConstRows(hidden.row(r), 1, k, k),
                        {mine, std::span(target).subspan(first[r], mine[1])}, alone.data(), &index,
                        &one);
        EXPECT_EQ(index, best[r]);
        EXPECT_EQ(one, best_logprob[r]);
        for (int32_t t = 0; t < mine[1]; ++t) EXPECT_EQ(alone[t], logprob[first[r] + t]);
      }
    }
  }
}

TEST_P(MoeTest, HeadTiesGoToTheLowestToken) {
  const auto ops = backend(Numerics::bf16);
  auto w = random_weights(DType::bf16, 700, 16, 11);
  std::fill(w->bytes.begin(), w->bytes.end(), std::byte{0});
  for (const int token : {5, 300, 650}) {
    for (int c = 0; c < 16; ++c) w->bytes[(token * 16 + c) * 2 + 1] = std::byte{0x3f};
  }
  const auto head = ops->prepare({&w->view, 1}, Stacking::rows, Role::head);
  const Dense hidden(2, 16, 1);
  const std::vector<int32_t> first = {0, 0, 0};
  std::vector<int32_t> best(2);
  ops->head_score(*head, hidden.view(), {first, {}}, nullptr, best.data(), nullptr);
  EXPECT_EQ(best[0], 5);
  EXPECT_EQ(best[1], 5);
}

TEST_P(MoeTest, RoutesAsTheReference) {
  const std::string file = test_paths::shared().string() + "/reference/units/router.json";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "missing " << file;
  const auto ops = backend(Numerics::bf16);
  const auto document = json::Document::load(file);
  document.root().at("cases").for_each_element([&](json::Value c) {
    const json::Value config = c.at("config");
    Router router;
    const bool qwen = config.at("model_type").string() == "qwen3_moe";
    router.experts = static_cast<int>(qwen ? config.at("num_experts").integer()
                                           : config.at("n_routed_experts").integer());
    router.top_k = static_cast<int>(config.at("num_experts_per_tok").integer());
    const std::string scoring = config.string_or("scoring_func", "softmax");
    router.scoring = scoring == "sigmoid" ? Scoring::sigmoid : Scoring::softmax;
    const std::string method = config.string_or("topk_method", "greedy");
    router.group_rule = method == "noaux_tc"               ? GroupRule::top2_sum
                        : method == "group_limited_greedy" ? GroupRule::maximum
                                                           : GroupRule::none;
    router.groups = static_cast<int>(config.integer_or("n_group", 1));
    router.kept_groups = static_cast<int>(config.integer_or("topk_group", 1));
    router.normalise = config.boolean_or("norm_topk_prob", false);
    router.scaling = config.number_or("routed_scaling_factor", 1);
    std::vector<float> bias;
    if (!c.at("bias").is_null()) {
      c.at("bias").for_each_element(
          [&](json::Value v) { bias.push_back(static_cast<float>(v.number())); });
      router.bias = bias.data();
    }
    Dense logits(1, router.experts);
    for (int e = 0; e < router.experts; ++e) {
      logits.value[e] = static_cast<float>(c.at("logits")[e].number());
    }
    std::vector<std::pair<int32_t, double>> want;
    for (int j = 0; j < router.top_k; ++j) {
      want.emplace_back(c.at("experts")[j].integer(), c.at("weights")[j].number());
    }
    std::sort(want.begin(), want.end());
    Routing routing;
    ops->route(router, logits.view(), routing);
    ops->read_routing(routing);
    for (int j = 0; j < router.top_k; ++j) {
      EXPECT_EQ(routing.expert[j], want[j].first) << c.at("name").string();
      EXPECT_NEAR(routing.weight[j], want[j].second, 1e-6 * std::fabs(want[j].second));
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Backends, MoeTest, testing::ValuesIn(backend_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace assay::engine::ops
