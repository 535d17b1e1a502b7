#include "tests/support/paths.h"

namespace assay::test_paths {

std::filesystem::path source() { return ASSAY_SOURCE_DIR; }

std::filesystem::path shared() { return source().parent_path() / "shared"; }

}  // namespace assay::test_paths
