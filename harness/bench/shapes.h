// Shapes of models that `assay bench` can make up: published configurations, compiled in.
#pragma once

#include <string>
#include <vector>

#include "engine/measure.h"

namespace assay::harness {

// "deepseek-v3-1b", ... in alphabetical order.
std::vector<std::string> shape_names();

// A named shape, or the config.json at that path. Throws usage for a name that is neither, listing
// the names; bad_input for an unreadable file.
engine::ModelShape find_shape(const std::string& name_or_file);

}  // namespace assay::harness
