// From router logits to experts and weights, as the model families define it.
//
//   sigmoid: s = sigmoid(logit), c = s + bias; softmax: s = c = softmax over all experts.
//   Groups are rated by the sum of their two largest c (DeepSeek-V3) or their maximum (V2); all but
//   the best kept_groups are masked with -inf; the top-k of c are chosen, ties to the lowest index;
//   weights are s (without bias), divided by (their sum + 1e-20) where the config says so, times
//   the scaling factor. Source: DeepSeek-V3 inference/model.py Gate, DeepSeek-V2 modeling MoEGate.
#pragma once

#include <vector>

#include "engine/checkpoint/config.h"
#include "engine/reference/formula.h"

namespace assay::engine::reference {

struct Routing {
  std::vector<int> experts;     // in order of decreasing selection score
  std::vector<double> weights;  // of the same
};

// `bias` may be empty.
Routing route(const std::vector<double>& logits, const std::vector<double>& bias,
              const MoeConfig& moe, const Formula& formula);

}  // namespace assay::engine::reference
