// The table that a run ends with.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "harness/evaluation/evaluation.h"

namespace assay::harness {

// Tasks down, checkpoints across, each score with its 95 % interval; then counts and time. At most
// 80 columns: with many checkpoints, blocks of columns follow each other.
void print_summary(std::ostream& out, const std::vector<RunSummary>& runs, const std::string& store);

}  // namespace assay::harness
