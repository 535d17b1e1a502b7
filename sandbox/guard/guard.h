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

// In the server: forks a child that has its descriptors in place, has given up everything, and has reported
// on the wire: an empty frame 'R' when it is locked up, or a frame 'F' with the failed step, after which
// it ends; with kGuardNamespaces it is process 1 of a new pid namespace. Returns the child's process id,
// 0 in the child, or a negative errno value when there is no child.
// `descriptors`: wire, link if `has_link`, then standard input, output and error or none of them;
// they become 3, 4, 0, 1, 2 in the child, and all others are closed there.
// To be called with Python's lock held (ctypes.PyDLL) in a process with a single thread: the child runs
// none of Python's own hooks after fork. They renew locks that another thread might have held, reseed
// `random`, which a program's start does anyway, and touch 190 pages, half of what a small program
// touches altogether.
int guard_fork(const GuardLimits* limits, const int* descriptors, uint32_t count, uint32_t has_link);

}  // extern "C"
