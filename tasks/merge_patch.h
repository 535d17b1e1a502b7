// JSON merge patch (RFC 7386): how a variant of a task overrides the base.
#pragma once

#include <string>

#include "base/json.h"

namespace assay::tasks {

// `target` with `patch` applied, as JSON text: objects merge member by member, null deletes,
// anything else replaces. Members keep the target's order; new ones follow in the patch's order.
std::string merge_patch(json::Value target, json::Value patch);

}  // namespace assay::tasks
