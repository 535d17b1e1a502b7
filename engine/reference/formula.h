// The rules of the forward pass that others have got wrong, each as a switch.
//
// The defaults are right (docs/numerics.md). Deviations exist for the switch tests alone: each rule
// has a test that computes the wrong formula and shows that the reference values tell it apart.
#pragma once

namespace assay::engine::reference {

struct Formula {
  // Rotary embedding.
  bool yarn_softmax_factor = true;      // m(mscale_all_dim)^2 on the softmax scale ...
  bool yarn_factor_on_cos_sin = false;  // ... and not m on cos and sin
  bool yarn_ramp = true;                // false: every frequency divided by the factor
  bool rope_scaling = true;             // false: frequencies as without yarn or llama3 scaling
  bool rope_pairs_as_stored = true;     // false: the other family's pairing of dimensions

  // Attention.
  bool norm_latent_only = true;  // false: the norm of kv_a covers k_pe too
  bool kv_b_per_head = true;     // false: all k_nope rows, then all v rows
  bool kv_heads_grouped = true;  // false: query head h uses KV head h mod kv_heads
  bool qkv_bias = true;
  bool qk_norm = true;

  // Router and experts.
  bool selection_bias = true;    // the correction bias takes part in the selection ...
  bool bias_in_weights = false;  // ... and not in the weights
  bool flip_normalize = false;   // normalises where the config says not to, and vice versa
  bool weight_epsilon = true;    // 1e-20 in the denominator
  bool routed_scaling = true;
  bool group_limit = true;
  bool group_score_of_family = true;  // false: maximum for top-2 sum, and vice versa
  bool mask_with_infinity = true;     // false: groups not kept get score 0
  bool router_fp32 = true;            // false: router input, weight and logits rounded to bf16
  bool shared_experts = true;

  // Norms.
  bool latent_norm_class_eps = true;  // MLA latent norms use 1e-6; false: rms_norm_eps
  bool norm_rounds_once = true;       // false: x * rstd is rounded to bf16 before the weight

  // FP8 activations.
  bool clamp_amax = true;         // amax at least 1e-4
  bool ue8m0_activations = true;  // powers of two where scale_fmt says ue8m0

  // Multi-token prediction.
  bool mtp_embedding_first = true;  // eh_proj [embedding; hidden]
};

}  // namespace assay::engine::reference
