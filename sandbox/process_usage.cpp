#include "sandbox/process_usage.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "sandbox/kernel_file.h"

namespace assay::sandbox {
namespace {

namespace fs = std::filesystem;

fs::path proc(pid_t process) { return fs::path("/proc") / std::to_string(process); }

std::vector<fs::path> entries(const fs::path& directory) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    found.push_back(it->path());
  }
  return found;
}

// The process's directory in /proc, or that of one of its threads where the first has ended: what the
// threads share (memory, descriptors) is only shown for those that are alive.
fs::path living(pid_t process) {
  const fs::path leader = proc(process);
  if (!read_kernel_file(leader / "maps").empty()) return leader;
  for (const fs::path& thread : entries(leader / "task")) {
    if (!read_kernel_file(thread / "maps").empty()) return thread;
  }
  return leader;
}

}  // namespace

ProcessUsage parse_stat(std::string_view text) {
  ProcessUsage usage;
  // Fields after the command name, which may contain anything, line ends too, but ends at the last ')'.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return usage;
  std::istringstream fields{std::string(text.substr(name_end + 1))};
  std::string skip;
  int64_t user = 0, system = 0, resident_pages = 0;
  for (int i = 3; i <= 13; ++i) fields >> skip;
  fields >> user >> system;
  for (int i = 16; i <= 19; ++i) fields >> skip;
  fields >> usage.threads >> skip >> skip >> skip >> resident_pages;
  usage.cpu_seconds =
      static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  usage.resident_bytes = resident_pages * sysconf(_SC_PAGESIZE);
  return usage;
}

ProcessUsage process_usage(pid_t process) {
  if (process <= 0) return {};
  const fs::path leader = proc(process);
  ProcessUsage usage = parse_stat(read_kernel_file(leader / "stat"));
  if (usage.resident_bytes == 0 && usage.threads > 1) {
    for (const fs::path& thread : entries(leader / "task")) {
      const ProcessUsage one = parse_stat(read_kernel_file(thread / "stat"));
      usage.resident_bytes = std::max(usage.resident_bytes, one.resident_bytes);
    }
  }
  return usage;
}

double starved_seconds(pid_t process) {
  std::istringstream fields(read_kernel_file(proc(process) / "schedstat"));
  double running = 0, waiting = 0;
  return fields >> running >> waiting ? waiting * 1e-9 : 0;
}

int64_t unnamed_bytes(pid_t process, const fs::path& directory, int64_t unknown_bytes) {
  if (process <= 0) return 0;
  const fs::path seen_by = living(process);
  std::set<ino_t> counted;
  int64_t bytes = 0;
  const auto count = [&](const fs::path& handle) {
    struct stat info;
    if (stat(handle.c_str(), &info) != 0) return false;
    if (S_ISREG(info.st_mode) && info.st_nlink == 0 && counted.insert(info.st_ino).second) {
      bytes += info.st_blocks * 512;
    }
    return true;
  };
  for (const fs::path& handle : entries(seen_by / "fd")) count(handle);
  // Lines of maps: range, rights, offset, device, inode, path. Line ends in paths are escaped.
  std::error_code error;
  const std::string prefix = fs::canonical(directory, error).string() + "/";
  std::istringstream maps(read_kernel_file(seen_by / "maps"));
  for (std::string line; std::getline(maps, line);) {
    const size_t path = line.find('/');
    if (path == std::string::npos || !line.ends_with(" (deleted)") ||
        line.compare(path, prefix.size(), prefix) != 0) {
      continue;
    }
    std::istringstream fields(line);
    std::string range, skip;
    ino_t inode = 0;
    fields >> range >> skip >> skip >> skip >> inode;
    if (counted.contains(inode)) continue;
    if (!count(seen_by / "map_files" / range)) {
      counted.insert(inode);
      bytes += unknown_bytes;
    }
  }
  return bytes;
}

}  // namespace assay::sandbox
