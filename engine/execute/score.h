// Scoring: requests -> forest -> passes -> log-probabilities at the scored positions.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/checkpoint/config.h"
#include "engine/engine.h"
#include "engine/execute/expert_load.h"
#include "engine/execute/forest.h"
#include "engine/execute/plan.h"

namespace assay::engine {

class Runner;
struct MemoryPlan;

// Refuses empty parts, ids outside the vocabulary and paths beyond the context (bad_input).
void check_requests(std::span<const ScoreRequest> requests, const ModelConfig& config);

// Which log-probability a request wants at which row.
struct ScoreTarget {
  uint32_t row;
  TokenId token;
  uint32_t request;
  uint32_t index;  // in the request's continuation
};

// Everything about a scoring call that does not need weights.
class ScoreSchedule {
 public:
  ScoreSchedule(std::span<const ScoreRequest> requests, const PlanLimits& limits, bool expert_load);

  struct PassWork {
    std::vector<ScoreTarget> targets;    // by row, then token
    std::vector<LoadPiece> load;
    std::vector<uint32_t> completed;     // requests whose last position is in this pass
  };
  std::span<const PathView> paths() const { return paths_; }
  std::span<const ForestEntry> forest() const { return forest_; }
  std::span<const PassPlan> passes() const { return passes_; }
  PassWork& work(size_t pass) { return work_[pass]; }
  // What the schedule computes; byte counts are left to the caller.
  PlanSummary summary() const;

 private:
  std::span<const ScoreRequest> requests_;
  std::vector<PathView> paths_;
  std::vector<ForestEntry> forest_;  // of the unfinished requests
  std::vector<PassPlan> passes_;
  std::vector<PassWork> work_;
};

// `budget`: the plan that the limits are from, if passes are to be checked against it before the first one
// (memory_plan.h's check_budget).
void run_score(Runner& runner, std::span<const ScoreRequest> requests, const PlanLimits& limits,
               bool expert_load, ScoreSink& sink, EngineStatistics& statistics,
               const MemoryPlan* budget = nullptr);

}  // namespace assay::engine
