// What the store keeps of a task beside its documents: identity, description, averages.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "results/records.h"
#include "tasks/task.h"

namespace assay::harness {

// What of the run's options is part of an evaluation's identity.
struct IdentityOptions {
  std::string boundary = "joint";
  int64_t limit = 0;
  bool limit_first = false;
  bool gold_answers = true;
  bool token_healing = false;
  std::string sandbox_level = {};  // that holds; used where the task executes programs
};

results::EvaluationIdentity evaluation_identity(const tasks::Task& task, const IdentityOptions& options);
results::EvaluationDescription describe(const tasks::Task& task);
// The task's averages over the evaluated documents, for the store to compute with intervals.
std::vector<results::AggregateRule> aggregate_rules(const tasks::Task& task);

}  // namespace assay::harness
