// What each of several ranks holds and may use (parallel_engine.h).
#include <algorithm>

#include "base/error.h"
#include "base/workers.h"
#include "engine/distributed/parallel_engine.h"

namespace assay::engine {

namespace {

bool fits(const ModelConfig& config, Numerics numerics, const EngineOptions& options) {
  try {
    return !plan_memory(config, numerics, options, true).streamed;
  } catch (const Error&) {
    return false;
  }
}

Parallel resolve(const ModelConfig& config, Numerics numerics, const EngineOptions& options, int ranks) {
  if (options.parallel != Parallel::automatic) return options.parallel;
  if (fits(config, numerics, on_device(options_of_rank(options, 0)))) return Parallel::data;
  if (config.moe.routed_experts >= ranks) return Parallel::expert;
  return config.layers >= ranks ? Parallel::pipeline : Parallel::data;
}

}  // namespace

Division divide(const ModelConfig& config, Numerics numerics, const EngineOptions& options, int ranks) {
  Division out;
  if (ranks == 1) {
    if (options.parallel != Parallel::automatic && options.parallel != Parallel::none) {
      throw_usage("--parallel " + std::string(parallel_name(options.parallel)) + " with one rank",
                  "name several devices, e.g. --device cuda:0,1 or --device cpu,cpu");
    }
    out.shares.resize(1);
    return out;
  }
  out.parallel = resolve(config, numerics, options, ranks);
  out.shares.resize(static_cast<size_t>(ranks));
  const std::string count = std::to_string(ranks) + " ranks";
  switch (out.parallel) {
    case Parallel::expert:
      if (config.moe.routed_experts == 0) {
        throw_usage("--parallel expert, but " + config.source + " has no routed experts",
                    "use --parallel data or pipeline");
      }
      if (config.moe.routed_experts < ranks) {
        throw_usage("--parallel expert with " + count + ", but " + config.source + " has " +
                        std::to_string(config.moe.routed_experts) + " routed experts a layer",
                    "name fewer devices, or use --parallel data or pipeline");
      }
      for (ModelShare& share : out.shares) share.expert_ranks = ranks;
      break;
    case Parallel::pipeline: {
      if (config.layers < ranks) {
        throw_usage("--parallel pipeline with " + count + ", but " + config.source + " has " +
                        std::to_string(config.layers) + " layers",
                    "name fewer devices, or use --parallel data");
      }
      const std::vector<LayerRange> stages = cut_layers(config, numerics, ranks);
      for (size_t r = 0; r < out.shares.size(); ++r) out.shares[r].layers = stages[r];
      break;
    }
    case Parallel::none:
      throw_usage("--parallel none with " + count, "name one device, or leave --parallel out");
    default: break;
  }
  return out;
}

EngineOptions options_of_rank(const EngineOptions& options, int rank) {
  EngineOptions out = options;
  const auto ranks = static_cast<int>(options.devices.size());
  out.devices = {options.devices[static_cast<size_t>(rank)]};
  const int threads = options.threads > 0 ? options.threads : available_processors();
  out.threads = std::max(1, threads * (rank + 1) / ranks - threads * rank / ranks);
  const size_t memory = options.memory_bytes > 0 ? options.memory_bytes : available_memory();
  out.memory_bytes = memory / static_cast<size_t>(ranks);
  return out;
}

}  // namespace assay::engine
