// What an evaluation would compute: prompts rendered, tokenised and planned, nothing more.
//
// Needs tokenizer.json, config.json and the benchmarks' files; no weights, no store, no sandbox.
#pragma once

#include <string>
#include <vector>

#include "harness/evaluation/evaluation.h"

namespace assay::harness {

struct TaskPlan {
  std::string task, variant;
  int64_t documents = 0, requests = 0;
  uint64_t tokens_asked = 0;     // of all its requests, prompts and continuations, unshared
  uint64_t prompt_tokens = 0;    // of the documents' prompts, each once, unshared
  uint64_t tokens_computed = 0;  // what its requests alone need after sharing prefixes
  uint64_t tokens_generated = 0;  // at most
};

struct DryRun {
  std::string model;
  int ranks = 1;  // that share the work; memory is each one's
  engine::Parallel parallel = engine::Parallel::none;
  std::vector<TaskPlan> tasks;
  engine::PlanSummary score, generate;  // of all tasks together
  double planning_seconds = 0;   // from tokens to passes
  engine::PlanEstimate estimate;  // of the engine
  uint64_t tokens_computed() const { return score.tokens_computed + generate.tokens_computed; }
  // Weights that are held, keys and values, workspace at its largest; of a GPU, its own memory.
  uint64_t memory_bytes() const;
  // The plan that streams and binds memory: scoring's, unless there is only generation.
  const engine::PlanSummary& plan() const { return score.requests > 0 ? score : generate; }
};

std::vector<DryRun> plan_evaluations(const std::vector<std::string>& models,
                                     const EvaluationOptions& options, ProgressDisplay& display);

}  // namespace assay::harness
