// Which tensors a configuration demands: name, shape, and the member of ModelWeights it is.
//
// Internal to engine/checkpoint: the one list behind binding, checking, counting and writing.
#pragma once

#include <array>
#include <functional>
#include <string>

#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/config.h"

namespace assay::engine {

enum class WeightKind {
  matrix,  // a linear layer: F32, BF16, F16, or F8_E4M3 with block scales
  table,   // embedding, head, router: F32, BF16 or F16
  vector,  // norms, biases: F32, BF16 or F16
};

struct WeightSlot {
  std::string name;
  WeightKind kind = WeightKind::matrix;
  int rank = 2;
  std::array<int64_t, 2> shape{};  // a vector of n is {n, 1}
  bool mtp = false;                // belongs to the multi-token prediction layer
  bool mtp_copy = false;           // its copy of embedding or head; may be left out
  bool routed_expert = false;
  TensorView* view = nullptr;  // into the ModelWeights given
};

// Sizes `weights` for the configuration and calls `body` once per demanded tensor, layer by layer.
// A tied head has no slot of its own. The MTP layer's slots come last, if the config has one.
void for_each_weight(const ModelConfig& config, ModelWeights& weights,
                     const std::function<void(const WeightSlot&)>& body);

}  // namespace assay::engine
