// The seccomp program that every candidate and checker runs under, built once with libseccomp.
#pragma once

#include <string>

#include "sandbox/sandbox.h"

namespace assay::sandbox {

// An array of sock_filter as bytes, for PR_SET_SECCOMP. Below level a forks are refused; at level c
// so is everything that names another process or changes the mode or owner of a file.
// Throws Error(resource) if this architecture is unknown to libseccomp.
std::string syscall_filter(Level level);

}  // namespace assay::sandbox
