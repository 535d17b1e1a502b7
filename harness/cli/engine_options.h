// The options that every verb with a model shares.
#pragma once

#include <string>

#include "engine/engine.h"

namespace CLI {
class App;
}

namespace assay::harness {

struct EngineFlags {
  std::string numerics = "auto", kernels = "auto", memory, device = "cpu", gpu_memory, parallel = "auto";
  int threads = 0, pass_tokens = 0;
  std::string speculate_with;
  bool no_graphs = false;

  engine::EngineOptions options(const std::string& model) const;
};

// Whether text can be turned into tokens; without, requests are lists of token ids.
bool has_tokenizer(const std::string& model);

// Adds --numerics, --kernels, --device, --parallel, --gpu-memory, --threads, --memory, --pass-tokens (and
// --speculate and --no-graphs for generation).
void add_engine_flags(CLI::App& verb, EngineFlags& flags, bool generates);

}  // namespace assay::harness
