#include "harness/cli/data_root.h"

#include <unistd.h>

#include <cstdlib>

#include "base/error.h"

namespace assay::harness {

namespace fs = std::filesystem;

namespace {

// The bundled sample lies in the source tree, or in share/assay beside an installed program.
fs::path sample_root() {
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  const fs::path installed = program.parent_path().parent_path() / "share/assay/sample";
  if (fs::is_directory(installed, ignored)) return installed;
  return fs::path(ASSAY_SOURCE_DIR) / "datasets/sample";
}

}  // namespace

fs::path data_root(const std::string& option) {
  std::error_code ignored;
  if (option == "sample") return sample_root();
  if (!option.empty()) {
    if (!fs::is_directory(option, ignored)) {
      throw_bad_input("is no directory", option,
                      "--data takes the folder with the benchmarks' files, or \"sample\"");
    }
    return option;
  }
  if (const char* variable = std::getenv("ASSAY_DATA")) return variable;
  return "data";
}

}  // namespace assay::harness
