// Members of zip and tar archives (libarchive), so that publishers' downloads are read as they are.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace assay::datasets {

// The regular members whose path `wanted` accepts, by path ("./a" is "a"), in one pass over the
// archive. Throws bad_input for a damaged or truncated archive, and for one that other bytes follow.
std::map<std::string, std::string> read_archive(
    const std::filesystem::path& archive, const std::function<bool(std::string_view)>& wanted);

}  // namespace assay::datasets
