// The task and suite files of this source tree, as the build embedded them
// (cmake/EmbedFiles.cmake).
#pragma once

#include <cstddef>
#include <string_view>

namespace assay::tasks {

std::string_view embedded_file(std::string_view name);  // "mmlu.json"
std::string_view embedded_name(std::size_t index);      // null data() past the last

}  // namespace assay::tasks
