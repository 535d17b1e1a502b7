// The seccomp programs that every candidate and checker runs under, built once with libseccomp.
#pragma once

#include <string>

#include "sandbox/sandbox.h"

namespace assay::sandbox {

// Arrays of sock_filter as bytes, for PR_SET_SECCOMP. Below level a forks are refused; at level c
// so is everything that names another process or changes the mode or owner of a file.
//
// Two, because a filter costs when it is put in place (the kernel translates it and tries it on every
// number): the servers take on the long one once and their children inherit it; the short one refuses
// what the servers and the guard still need, and every child takes it on before its program.
struct SyscallFilters {
  std::string server;
  std::string program;
};

// Throws Error(resource) if this architecture is unknown to libseccomp.
SyscallFilters syscall_filters(Level level);

}  // namespace assay::sandbox
