// A dry run as text and as JSON.
#pragma once

#include <string>
#include <vector>

#include "harness/evaluation/dry_run.h"

namespace assay::harness {

void print_plan(const std::vector<DryRun>& runs);
std::string plan_json(const std::vector<DryRun>& runs);

}  // namespace assay::harness
