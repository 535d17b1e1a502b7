// What `assay bench` measures: limits, matrix products, prefill, decode, scoring.
//
// Prompts are random token ids from a fixed seed. Weights are prepared before anything is timed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/measure.h"
#include "harness/bench/measurement.h"

namespace assay::harness {

struct SpeedOptions {
  std::string shape;           // name in the measurements
  double full_model = 0;       // of a stack: its layers / the model's; 0: the whole model
  int64_t pass_tokens = 4096;  // prompts of one prefill measurement together
  bool quick = false;          // a quarter of the work, one repetition
};

// Prepares the weights that scoring needs, and with `generation` those of generated tokens.
void warm_up(engine::Engine& engine, bool generation);

// fp32, bf16, fp8, int8 and read bandwidth, the best of a few slices each (of a GPU: as stated).
void measure_limits(const engine::MachineLimits& limits, const std::string& kernels,
                    const MeasurementSink& sink);

// Every product of the model's layers with each number of rows; on a GPU beside cuBLASLt.
void measure_products(engine::OpTimer& timer, const engine::MachineLimits& limits,
                      const std::vector<int64_t>& rows, const SpeedOptions& options,
                      const MeasurementSink& sink);

// Everything else that layers are made of, and the head, with each number of rows.
void measure_ops(engine::OpTimer& timer, const engine::MachineLimits& limits,
                 const std::vector<int64_t>& rows, const SpeedOptions& options,
                 const MeasurementSink& sink);

// One token predicted after each of several prompts of `length` tokens; together a full pass.
Measurement measure_prefill(engine::Engine& engine, const engine::MachineLimits& limits,
                            int64_t length, const SpeedOptions& options);

// `batch` sequences that generate together, after prompts of 64 tokens; steps with all of them
// only.
Measurement measure_decode(engine::Engine& engine, const engine::MachineLimits& limits,
                           int64_t batch, const SpeedOptions& options);

// Requests shaped like five-shot MMLU with DeepSeek-V3's tokenizer: subjects whose questions share
// a prefix of 585 tokens, questions of 20 to 160 tokens (mean 90), four options of one token.
Measurement measure_scoring(engine::Engine& engine, const engine::MachineLimits& limits,
                            const SpeedOptions& options);

}  // namespace assay::harness
