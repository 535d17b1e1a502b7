// Weights for a configuration without a file: random numbers, for measuring speed.
//
// Internal to engine/checkpoint. Every tensor is a window into a few MiB of random numbers that are
// mapped over and over, so that a model of any size is made at once and takes no memory beside what
// the engine prepares from it. Matrices are drawn from N(0, 0.02^2) (the usual initializer_range),
// norms near one, block scales near 2^-12; windows begin at different places, so that no two experts
// are alike. The same configuration gives the same weights on every machine.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "engine/checkpoint/binding.h"
#include "engine/measure.h"

namespace assay::engine {

// Throws resource where the system refuses the memory.
class RandomWeights {
 public:
  // FP8 (e4m3 with a scale per 128x128 block) for linear layers where config.fp8_weights says so;
  // all else BF16.
  explicit RandomWeights(const ModelConfig& config);
  ~RandomWeights();

  // Its views live as long as this object.
  Binding take_binding() { return std::move(binding_); }

 private:
  class Pool;
  std::vector<std::unique_ptr<Pool>> pools_;
  std::deque<std::string> names_;
  Binding binding_;
};

// The configuration, with the type of weights that the shape asks for.
ModelConfig config_of(const ModelShape& shape);

}  // namespace assay::engine
