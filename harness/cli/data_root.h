// Where a verb finds benchmark data.
#pragma once

#include <filesystem>
#include <string>

namespace assay::harness {

// --data as given; "sample" is the bundled sample benchmarks ("./sample" a folder of that name);
// empty: $ASSAY_DATA, else ./data. The folder need not exist: tasks say which file they miss.
std::filesystem::path data_root(const std::string& option);

inline constexpr const char* kDataHelp =
    "Folder with the benchmarks' official files; \"sample\" is the\n"
    "bundled sample; default: $ASSAY_DATA, else ./data";

}  // namespace assay::harness
