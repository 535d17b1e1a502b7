// What a run ends with: the scores, then counts and time.
#pragma once

#include <string>
#include <vector>

#include "harness/evaluation/evaluation.h"

namespace assay::harness {

// Prints the store's table of these runs and a line a checkpoint to standard output.
void print_summary(const std::vector<RunSummary>& runs, const std::string& store);

// One line about MTP drafting: acceptance rate and tokens a verifying step.
std::string drafting_text(const engine::EngineStatistics& statistics);

}  // namespace assay::harness
