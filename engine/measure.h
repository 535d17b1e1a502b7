// For measuring speed: the machine's limits, engines with random weights, single matrix products.
//
// Rates of this machine move by 10 % and more within seconds (clock, neighbours). A rate means
// something as a fraction of a limit that was measured in slices between the slices of the work.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace assay::engine {

// The machine's limits on all `threads` at once, with the instructions of `kernels` (peak.h).
// One slice of about `seconds`; 10^9 a second: FLOP (multiply and add are two), integer operations,
// bytes read from memory beyond the caches. 0 where the kernels have no such instruction.
class MachineLimits {
 public:
  MachineLimits(Kernels kernels, int threads);
  ~MachineLimits();
  int threads() const;
  double fp32(double seconds) const;
  double bf16(double seconds) const;
  double int8(double seconds) const;
  double read(double seconds) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

enum class WeightType { bf16, fp8 };

// A model's shape without its weights.
struct ModelShape {
  std::string config;                // text of a config.json
  std::string source;                // where it comes from, for messages
  std::optional<WeightType> weights; // default: as the config says
};

// An engine whose weights are random numbers in a few MiB of memory, whatever the size of the model;
// what the engine prepares from them is as large as always. `options.model` and `config` are not
// used; there is no tokenizer.
std::unique_ptr<Engine> open_random_engine(const ModelShape& shape, const EngineOptions& options);

// The matrix products of a model's layers by themselves.
class ProductTimer {
 public:
  // The distinct weight matrices of the model: one layer's attention and MLP, one routed expert.
  ProductTimer(const ModelShape& shape, Kernels kernels, Numerics numerics, int threads);
  ~ProductTimer();

  struct Product {
    std::string name;      // "gate_up"
    int64_t n = 0, k = 0;  // outputs, inputs
    size_t bytes = 0;      // of the prepared weights
  };
  const std::vector<Product>& products() const;
  Numerics numerics() const;
  // Multiplies `rows` random rows by product `index` once and returns the seconds. Consecutive calls
  // take turns among copies that together exceed the caches, as a model's layers do.
  double run(size_t index, int64_t rows);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace assay::engine
