// The options that every verb shares which evaluates checkpoints: run, watch.
#pragma once

#include <string>

#include "harness/cli/engine_options.h"
#include "harness/evaluation/evaluation.h"

namespace assay::harness {

struct EvaluationFlags {
  EvaluationOptions evaluation;  // as far as options go there directly
  EngineFlags engine;
  std::string data, store = "assay.sqlite";
  int shots = -1;
  int64_t max_length = 0;
  bool no_gold = false;

  // Everything together, with the data folder resolved.
  EvaluationOptions options() const;
};

void add_evaluation_flags(CLI::App& verb, EvaluationFlags& flags);

}  // namespace assay::harness
