// Files of the kernel: small, without a size before reading, written with one call.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace assay::sandbox {

// "" if it cannot be read.
std::string read_kernel_file(const std::filesystem::path& path);
bool write_kernel_file(const std::filesystem::path& path, std::string_view text);

}  // namespace assay::sandbox
