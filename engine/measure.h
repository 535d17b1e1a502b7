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

// The limits of where the options compute (device, kernels, threads). CPU: measured on all threads
// at once with the instructions of the kernels (peak.h), one slice of about `seconds`. GPU: what
// the device could do at its highest clocks (ops/cuda/peak.h); takes no time. 10^9 a second: FLOP
// (multiply and add are two), integer operations, bytes read from memory beyond the caches. 0 where
// there is no such instruction.
class MachineLimits {
 public:
  explicit MachineLimits(
      const EngineOptions& options);  // throws resource where there is no such device
  ~MachineLimits();
  int threads() const;
  const std::string& device() const;  // empty: the CPU
  double fp32(double seconds) const;
  double bf16(double seconds) const;
  // The same with operands from the first-level cache; 0 where that is no other limit.
  double fed_bf16(double seconds) const;
  double fp8(double seconds) const;
  double int8(double seconds) const;
  double read(double seconds) const;
  // Of products in this mode: fp8 where the device multiplies such operands, else bf16 or fp32.
  double products(Numerics numerics, double seconds) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

enum class WeightType { bf16, fp8 };

// A model's shape without its weights.
struct ModelShape {
  std::string config;                 // text of a config.json
  std::string source;                 // where it comes from, for messages
  std::optional<WeightType> weights;  // default: as the config says
  // So many layers of the kind of the last one (V3: MoE layers) instead of all; 0: all.
  int64_t layers = 0;
};

// An engine whose weights are random numbers in a few MiB of memory, whatever the size of the
// model; what the engine prepares from them is as large as always. `options.model` and `config` are
// not used; there is no tokenizer.
std::unique_ptr<Engine> open_random_engine(const ModelShape& shape, const EngineOptions& options);

// Layers of the whole model, whatever `shape.layers` says.
int64_t all_layers(const ModelShape& shape);

// The ops of a model's layers by themselves.
class OpTimer {
 public:
  // The options' device, kernels, numerics and threads.
  OpTimer(const ModelShape& shape, const EngineOptions& options);
  ~OpTimer();

  // The distinct weight matrices of the model: one layer's attention and MLP, one routed expert.
  struct Product {
    std::string name;      // "gate_up"
    int64_t n = 0, k = 0;  // outputs, inputs
    size_t bytes = 0;      // of the prepared weights
    bool fp8 = false;      // operands are e4m3 with block scales
  };
  const std::vector<Product>& products() const;
  Numerics numerics() const;
  // Multiplies `rows` random rows by product `index`, `times` times one after the other, and
  // returns the seconds. Consecutive products take turns among copies that together exceed the
  // caches, as a model's layers do.
  double run(size_t index, int64_t rows, int times);

  // The best of cuBLASLt's algorithms for the same operands: seconds of one product; absent on the
  // CPU and where the library can't.
  std::optional<double> peer(size_t index, int64_t rows);
  // Why not, if it never can; empty on the CPU.
  const std::string& no_peer() const;

  // Everything else, once for all rows: "experts" (routed, all rows of a pass), "attention" (one
  // prompt, expanded), "decode attention" (one new token of `rows` sequences of 1024, absorbed
  // where there is MLA), "norm", "router", "head". As far as the model has them.
  const std::vector<std::string>& others() const;
  struct Timed {
    double seconds = 0, flops = 0, bytes = 0;  // useful FLOP; bytes read and written, each once
  };
  Timed run_other(size_t index, int64_t rows, int times);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace assay::engine
