// Extraction rules that are algorithms, by name: the last balanced \boxed{} ...
#pragma once

#include <string>
#include <string_view>

#include "tasks/answers/extract.h"

namespace assay::tasks::answers {

// An unknown name is bad_input at `where`, with the nearest known one.
ExtractFunction find_extract_function(std::string_view name, const std::string& where);

}  // namespace assay::tasks::answers
