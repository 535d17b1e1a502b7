// Removes what a supervisor that was killed could not: its directory and its control groups.
//
// Reads NUL-terminated paths from descriptor 3 until the supervisor closes it or is gone, then
// removes those that still exist: a control group with the groups in it, any other directory with
// all that lies below it. A program of its own because it has to outlive the supervisor.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "sandbox/purge.h"

namespace {

constexpr int kPaths = 3;
constexpr int kTries = 600;  // of 50 ms: the sandbox's processes end after the supervisor

bool is_control_group(const std::string& path) {
  return access((path + "/cgroup.procs").c_str(), F_OK) == 0;
}

// True when nothing is left.
bool remove(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return true;
  if (is_control_group(path)) {
    assay::sandbox::remove_directories_in(path);
  } else {
    assay::sandbox::purge_directory(path);
  }
  return rmdir(path.c_str()) == 0 || errno == ENOENT;
}

}  // namespace

int main() {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) signal(number, SIG_IGN);
  setsid();
  if (chdir("/") != 0) return 1;
  syscall(SYS_close_range, kPaths + 1, ~0u, 0);
  std::string paths;
  char buffer[4096];
  for (ssize_t n; (n = read(kPaths, buffer, sizeof buffer)) != 0;) {
    if (n < 0 && errno != EINTR) return 1;
    if (n > 0) paths.append(buffer, static_cast<size_t>(n));
  }
  for (size_t at = 0, end; (end = paths.find('\0', at)) != std::string::npos; at = end + 1) {
    const std::string path = paths.substr(at, end - at);
    for (int i = 0; i < kTries && !remove(path); ++i) usleep(50'000);
  }
  return 0;
}
