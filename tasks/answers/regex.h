// Compiled regular expressions, kept for the life of the program. RE2 syntax, UTF-8. Thread-safe.
#pragma once

#include <string>

#include <re2/re2.h>

namespace assay::tasks::answers {

// A pattern that does not compile is bad_input at `where`.
const re2::RE2& compiled(const std::string& pattern,
                         const std::string& where = "regular expression");

}  // namespace assay::tasks::answers
