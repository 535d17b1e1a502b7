// Switch tests: each rule of the forward pass, flipped, must move the log-probabilities by exactly
// as much as the independent implementation moved when the same rule was flipped there
// (`sensitivity_s200`), which is far more than any tolerance. A rule that is dead code, or was
// already wrong, cannot pass.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "engine/reference/model.h"
#include "tests/engine/reference_cases.h"

namespace assay::engine::test {
namespace {

using reference::Formula;

Formula wrong(const std::string& name) {
  static const std::map<std::string, void (*)(Formula&)> kFlips = {
      {"yarn_no_softmax_factor", [](Formula& f) { f.yarn_softmax_factor = false; }},
      {"yarn_factor_on_cos_sin",
       [](Formula& f) {
         f.yarn_softmax_factor = false;
         f.yarn_factor_on_cos_sin = true;
       }},
      {"yarn_no_ramp", [](Formula& f) { f.yarn_ramp = false; }},
      {"rope_unscaled",  // as if the configuration had no rope_scaling
       [](Formula& f) {
         f.rope_scaling = false;
         f.yarn_softmax_factor = false;
       }},
      {"rope_other_layout", [](Formula& f) { f.rope_pairs_as_stored = false; }},
      {"norm_k_pe_too", [](Formula& f) { f.norm_latent_only = false; }},
      {"kv_b_two_blocks", [](Formula& f) { f.kv_b_per_head = false; }},
      {"kv_heads_tiled", [](Formula& f) { f.kv_heads_grouped = false; }},
      {"no_qkv_bias", [](Formula& f) { f.qkv_bias = false; }},
      {"no_qk_norm", [](Formula& f) { f.qk_norm = false; }},
      {"no_bias", [](Formula& f) { f.selection_bias = false; }},
      {"bias_in_weights", [](Formula& f) { f.bias_in_weights = true; }},
      {"no_norm_topk", [](Formula& f) { f.flip_normalize = true; }},
      {"flip_norm_topk", [](Formula& f) { f.flip_normalize = true; }},
      {"no_routed_scaling", [](Formula& f) { f.routed_scaling = false; }},
      {"no_shared", [](Formula& f) { f.shared_experts = false; }},
      {"router_bf16", [](Formula& f) { f.router_fp32 = false; }},
      {"no_groups", [](Formula& f) { f.group_limit = false; }},
      {"group_max", [](Formula& f) { f.group_score_of_family = false; }},
      {"group_top2", [](Formula& f) { f.group_score_of_family = false; }},
      {"mask_zero", [](Formula& f) { f.mask_with_infinity = false; }}};
  Formula formula;
  kFlips.at(name)(formula);
  return formula;
}

class Switch : public ::testing::TestWithParam<const char*> {};

TEST_P(Switch, MovesTheResultsAsItShould) {
  ASSAY_NEED_SHARED("reference");
  const ReferenceCase c = reference_case(GetParam(), "ref");
  const Workers workers;
  const Checkpoint checkpoint = Checkpoint::open(c.model, c.config);
  const auto sequences = reference_sequences(c);
  const ReferenceSequence* s200 = nullptr;
  for (const ReferenceSequence& q : sequences)
    if (q.id == "s200") s200 = &q;
  ASSERT_NE(s200, nullptr);
  const auto document = reference_document(c);
  document.root().at("sensitivity_s200").for_each_member([&](std::string_view key, json::Value v) {
    const std::string name(key);
    SCOPED_TRACE(name);
    const reference::Model model(checkpoint, workers, {.formula = wrong(name)});
    const reference::Output out = model.forward(s200->tokens);
    double sum = 0, largest = 0;
    const size_t n = s200->next_logprob.size();
    for (size_t i = 0; i < n; ++i) {
      const double mine = out.logprobs.row(static_cast<int64_t>(i))[s200->tokens[i + 1]];
      const double diff = std::fabs(mine - s200->next_logprob[i]);
      sum += diff;
      largest = std::max(largest, diff);
    }
    const double mean = sum / static_cast<double>(n);
    const double expected_mean = v.at("mean_abs_diff").number();
    const double expected_max = v.at("max_abs_diff").number();
    // How the router was rounded to bf16 is not recorded, only that it hardly matters.
    const double slack = name == "router_bf16" ? 0.8 : 2e-3;
    EXPECT_NEAR(mean / expected_mean, 1, slack) << mean << " against " << expected_mean;
    EXPECT_NEAR(largest / expected_max, 1, slack) << largest << " against " << expected_max;
    if (name == "router_bf16") return;
    EXPECT_GT(largest, 100 * 2e-4);
  });
}

// Between them, these flip every rule; the others of ../shared/reference repeat them.
INSTANTIATE_TEST_SUITE_P(Cases, Switch,
                         ::testing::Values("dsv3-bf16-yarn-short", "dsv2-yarn-short", "dsv2-lite",
                                           "qwen2-tied", "llama3.1-yarn-short", "qwen3-moe"));

}  // namespace
}  // namespace assay::engine::test
