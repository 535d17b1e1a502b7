// What a server process needs to put a forked child into its sandbox; loaded into CPython by
// ctypes.
//
// Plain C interface without Python's API, so that one library serves every CPython 3. Runs inside
// the outer sandbox (launch.cpp), between fork and the first byte of untrusted code. Every step
// either succeeds or names itself; a child whose set-up failed never sees a program.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

enum GuardFlag : uint32_t {
  kGuardNamespaces = 1,  // own pid, mount and user namespace for every program
  kGuardOwnSignals = 2,  // signals only to the own process (where no pid namespace hides others)
};

// Limits of one program; the layout is mirrored in python/server.py.
struct GuardLimits {
  uint64_t address_space_bytes;
  uint64_t cpu_seconds;
  uint64_t processes;
  uint64_t files_bytes;
  uint64_t file_bytes;
  uint64_t files;
  uint64_t descriptors;
  uint64_t stack_bytes;
};

// In the main server, when its interpreter is warm: refuses what no process here will do any more.
// Takes an array of sock_filter; returns 0 or an errno value.
int guard_filter_server(const void* filter, uint32_t filter_bytes);

// Once per slot server: takes the seccomp program of its children (array of sock_filter), the
// directory programs may write below, and a NUL-separated list of paths that they may read.
// Returns 0, or an errno value with the failed step in `error`.
int guard_configure(uint32_t flags, const void* filter, uint32_t filter_bytes,
                    const char* writable_directory, const char* readable, uint32_t readable_bytes,
                    char* error, size_t error_size);

// In the server, before fork: the next child is process 1 of a new pid namespace.
int guard_new_pid_namespace();
// After fork: further children are wanted in the server's own namespace again; `self` is a pidfd
// of the server.
int guard_restore_pid_namespace(int self);

// In the child: puts its descriptors in place, gives up everything, and reports on the wire: an
// empty frame 'R' when it is locked up, or a frame 'F' with the failed step, after which it ends.
// `descriptors`: wire, link if `has_link`, then standard input, output and error or none of them;
// they become 3, 4, 0, 1, 2, and all others are closed.
void guard_enter(const GuardLimits* limits, const int* descriptors, uint32_t count,
                 uint32_t has_link);

}  // extern "C"
