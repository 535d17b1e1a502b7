// Where the tests find the repository and the shared material beside it.
//
// Functions instead of compile definitions: a test's object file does not depend on where the
// checkout lies, so that a compiler cache serves several of them.
#pragma once

#include <filesystem>

namespace assay::test_paths {

/// The root of the repository that these tests were built from.
std::filesystem::path source();

/// `../shared` beside the repository; may be missing, then what needs it skips loudly.
std::filesystem::path shared();

}  // namespace assay::test_paths
