// The feed-forward part of a layer: one SwiGLU MLP, or routed experts plus shared ones.
//
//   mlp(x) = down(silu(gate x) * (up x)), silu(g) = g / (1 + e^-g)
//   moe(x) = sum over chosen experts, ascending, of weight * mlp_e(x), + mlp_shared(x)
#pragma once

#include <vector>

#include "base/workers.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/reference/linear.h"
#include "engine/reference/matrix.h"
#include "engine/reference/router.h"

namespace assay::engine::reference {

class FeedForward {
 public:
  FeedForward(const ModelConfig& config, const LayerWeights& weights, const Arithmetic& arithmetic);

  // [tokens, hidden] (normed) -> [tokens, hidden]; `routing` gets one entry a token in MoE layers.
  Matrix apply(const Matrix& x, const Workers& workers, std::vector<Routing>& routing) const;

 private:
  struct Mlp {
    Linear gate, up, down;
    void add_to(const double* x, double weight, double* y) const;
  };
  Mlp load(const MlpWeights& weights) const;
  Routing choose(const double* x) const;

  MoeConfig moe_;
  Arithmetic arithmetic_;
  Mlp dense_, shared_;
  std::vector<Mlp> experts_;
  std::vector<float> router_, router_bias_;  // [routed_experts, hidden]
  int64_t hidden_;
};

}  // namespace assay::engine::reference
