// What a process uses, as the kernel tells it, of a process that may try to hide it: by a name that
// breaks lines, by ending its first thread, by files without names.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace assay::sandbox {

// Of all threads together; zeros if the process is gone.
struct ProcessUsage {
  double cpu_seconds = 0;
  int64_t threads = 0;
  int64_t resident_bytes = 0;
};
ProcessUsage process_usage(pid_t process);

// From the text of a /proc/PID/stat.
ProcessUsage parse_stat(std::string_view text);

// How long its first thread was ready to run but had no processor.
double starved_seconds(pid_t process);

// Allocated bytes of the files below `directory` that the process holds, open or mapped, and no
// directory names any more. One whose size this process may not see counts as `unknown_bytes`.
int64_t unnamed_bytes(pid_t process, const std::filesystem::path& directory, int64_t unknown_bytes);

}  // namespace assay::sandbox
