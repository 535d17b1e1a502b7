// Files of the source tree that are compiled into the program (cmake/EmbedFiles.cmake).
#pragma once

#include <string_view>

namespace assay::results {

// The bytes of an embedded file by its name ("schema.sql"); a null data() for an unknown name.
std::string_view embedded_file(std::string_view name);

}  // namespace assay::results
