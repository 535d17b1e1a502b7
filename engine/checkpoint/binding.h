// The tensors of the files against those that the configuration demands.
//
// Internal to engine/checkpoint. Fills ModelWeights and reports every missing, surplus or
// contradictory tensor; what may be ignored goes into `notes`.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/shards.h"

namespace assay::engine {

struct Binding {
  ModelWeights weights;
  std::vector<TensorView> tensors;                  // every bound one once, by name
  std::vector<std::unique_ptr<uint64_t[]>> copies;  // of tensors that lie misaligned in their file
  std::vector<Error> problems;
  std::vector<std::string> notes;
};

// `directory` names the checkpoint in problems about tensors that are nowhere.
Binding bind_weights(const ModelConfig& config, const ShardSet& shards,
                     const std::string& directory);

}  // namespace assay::engine
