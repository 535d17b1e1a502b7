// The parts of the forward pass alone: router, FP8 activations, norms, each against tables or
// values worked out by hand, with the rules that whole models cannot tell apart flipped here.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/reference/attention.h"
#include "engine/reference/linear.h"
#include "engine/reference/router.h"
#include "tests/engine/reference_cases.h"

namespace assay::engine::test {
namespace {

using reference::Formula;

MoeConfig moe_of(json::Value config) {
  MoeConfig moe;
  const bool v3 = config.string_or("scoring_func", "softmax") == "sigmoid";
  moe.routed_experts = config.integer_or("n_routed_experts", config.integer_or("num_experts", 0));
  moe.experts_per_token = config.at("num_experts_per_tok").integer();
  moe.score = v3 ? RouterScore::sigmoid : RouterScore::softmax;
  moe.group_score = v3 ? GroupScore::top2_sum : GroupScore::maximum;
  moe.groups = config.integer_or("n_group", 1);
  moe.kept_groups = config.integer_or("topk_group", 1);
  moe.normalize_weights = config.at("norm_topk_prob").boolean();
  moe.weight_scale = config.number_or("routed_scaling_factor", 1);
  return moe;
}

TEST(Router, UnitsOfEveryFamily) {
  ASSAY_NEED_SHARED("reference/units/router.json");
  const auto document = json::Document::load(kReference / "units/router.json");
  int masks_matter = 0;
  document.root().at("cases").for_each_element([&](json::Value c) {
    SCOPED_TRACE(c.at("name").string());
    const std::vector<double> logits = numbers(c.at("logits"));
    const json::Value bias_value = c.find("bias");
    const std::vector<double> bias =
        bias_value.exists() && bias_value.is_array() ? numbers(bias_value) : std::vector<double>();
    const MoeConfig moe = moe_of(c.at("config"));
    const reference::Routing mine = reference::route(logits, bias, moe, {});
    const std::vector<TokenId> experts = ids(c.at("experts"));
    EXPECT_EQ(std::vector<TokenId>(mine.experts.begin(), mine.experts.end()), experts);
    const std::vector<double> weights = numbers(c.at("weights"));
    for (size_t i = 0; i < weights.size(); ++i) EXPECT_NEAR(mine.weights[i], weights[i], 1e-12);

    const json::Value zero = c.find("experts_if_mask_were_zero");
    if (!zero.exists()) return;
    Formula wrong;
    wrong.mask_with_infinity = false;
    const reference::Routing masked = reference::route(logits, bias, moe, wrong);
    EXPECT_EQ(std::vector<TokenId>(masked.experts.begin(), masked.experts.end()), ids(zero));
    masks_matter += masked.experts != mine.experts;
  });
  EXPECT_GE(masks_matter, 3);
}

TEST(Router, EpsilonKeepsVanishingScoresFromBlowingUp) {
  MoeConfig moe;
  moe.score = RouterScore::sigmoid;
  moe.routed_experts = 4;
  moe.experts_per_token = 2;
  moe.normalize_weights = true;
  // sigmoid(-50) = 1.9287e-22: the sum of two is small against 1e-20.
  const std::vector<double> logits(4, -50.0);
  const double s = 1 / (1 + std::exp(50.0));
  const reference::Routing right = reference::route(logits, {}, moe, {});
  EXPECT_EQ(right.experts, (std::vector<int>{0, 1}));  // ties to the lowest index
  EXPECT_NEAR(right.weights[0], s / (2 * s + 1e-20), 1e-15);
  EXPECT_LT(right.weights[0], 0.02);
  Formula wrong;
  wrong.weight_epsilon = false;
  EXPECT_NEAR(reference::route(logits, {}, moe, wrong).weights[0], 0.5, 1e-12);
}

TEST(Fp8Activation, UnitsAndTheRulesBehindThem) {
  ASSAY_NEED_SHARED("reference/units/fp8-activation.json");
  const auto document = json::Document::load(kReference / "units/fp8-activation.json");
  int clamp_matters = 0, ue8m0_matters = 0;
  document.root().at("cases").for_each_element([&](json::Value c) {
    const std::vector<double> wide = numbers(c.at("x"));
    const std::vector<float> x(wide.begin(), wide.end());
    const auto n = static_cast<int64_t>(x.size());
    for (const bool ue8m0 : {false, true}) {
      const json::Value expected = c.at(ue8m0 ? "ue8m0" : "float");
      const reference::QuantizedRow mine = reference::quantize_activation(x.data(), n, ue8m0, {});
      const std::vector<TokenId> bytes = ids(expected.at("bytes"));
      EXPECT_EQ(std::vector<TokenId>(mine.bytes.begin(), mine.bytes.end()), bytes);
      ASSERT_EQ(mine.scales.size(), 1u);
      EXPECT_EQ(mine.scales[0], static_cast<float>(expected.at("scale").number()));
      Formula no_clamp, no_ue8m0;
      no_clamp.clamp_amax = false;
      no_ue8m0.ue8m0_activations = false;
      if (ue8m0) {
        ue8m0_matters +=
            reference::quantize_activation(x.data(), n, true, no_ue8m0).scales != mine.scales;
      } else if (*std::max_element(x.begin(), x.end()) > 0) {
        clamp_matters +=
            reference::quantize_activation(x.data(), n, false, no_clamp).bytes != mine.bytes;
      }
    }
  });
  EXPECT_GE(clamp_matters, 2);
  EXPECT_GE(ue8m0_matters, 5);
}

TEST(Norm, OneRoundingAndTheClassEpsilon) {
  // x = (3, 4): mean square 12.5.
  const std::vector<float> weight = {1.01f, 0.99f};
  double x[] = {3, 4};
  reference::rms_norm(x, 2, weight, 0.5, {});
  EXPECT_NEAR(x[0], 3 / std::sqrt(13.0) * static_cast<double>(1.01f), 1e-15);
  EXPECT_NEAR(x[1], 4 / std::sqrt(13.0) * static_cast<double>(0.99f), 1e-15);
  Formula wrong;
  wrong.norm_rounds_once = false;  // bf16 keeps 8 bits: visible in the third digit
  double y[] = {3, 4};
  reference::rms_norm(y, 2, weight, 0.5, wrong);
  EXPECT_NE(y[0], x[0]);
  EXPECT_NEAR(y[0], x[0], 0.004);
}

}  // namespace
}  // namespace assay::engine::test
