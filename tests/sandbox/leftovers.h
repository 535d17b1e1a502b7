// What must be the same before and after programs ran: processes, mounts, control groups, files.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <thread>

namespace assay::sandbox::testing {

class Leftovers {
 public:
  Leftovers() : before_(take(getpid())) {}

  // Waits a little for what the kernel frees late, then expects nothing new. Control groups and
  // directories are those that `supervisor` made.
  void expect_none(pid_t supervisor = getpid()) const {
    std::set<std::string> extra;
    for (int i = 0; i < 100; ++i) {
      extra.clear();
      for (const std::string& line : take(supervisor)) {
        if (!before_.contains(line)) extra.insert(line);
      }
      if (extra.empty()) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    for (const std::string& line : extra) ADD_FAILURE() << "left behind: " << line;
  }

 private:
  // Only what a sandbox of this process makes: others may use the machine at the same time.
  static std::set<std::string> take(pid_t supervisor) {
    namespace fs = std::filesystem;
    std::set<std::string> found;
    const std::string self = std::to_string(getpid()), maker = std::to_string(supervisor);
    std::error_code error;
    for (const auto& entry : fs::directory_iterator("/proc", error)) {
      const std::string pid = entry.path().filename();
      if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
      if (is_descendant(pid, self)) found.insert("process " + pid);
    }
    std::ifstream mounts("/proc/self/mountinfo");
    for (std::string line; std::getline(mounts, line);) found.insert("mount " + line);
    for (const char* root : {"/sys/fs/cgroup"}) {
      fs::recursive_directory_iterator all(root, fs::directory_options::skip_permission_denied,
                                           error);
      for (; all != fs::end(all); all.increment(error)) {
        if (error) break;
        const std::string name = all->path().filename();
        if (name.rfind("assay-" + maker + "-", 0) == 0) found.insert("group " + all->path().string());
      }
    }
    for (const char* folder : {"/tmp", "/dev/shm", "/var/tmp"}) {
      for (const auto& entry : fs::directory_iterator(folder, error)) {
        const std::string name = entry.path().filename();
        if (name.rfind("sandbox_", 0) == 0 || name.rfind("assay-sandbox-" + maker, 0) == 0) {
          found.insert("file " + entry.path().string());
        }
      }
    }
    return found;
  }

  static bool is_descendant(std::string pid, const std::string& ancestor) {
    for (int depth = 0; depth < 20 && pid != "0" && !pid.empty(); ++depth) {
      std::ifstream file("/proc/" + pid + "/stat");
      // Whole: the name of a program may contain line ends. (A process that ends meanwhile leaves it empty.)
      std::ostringstream whole;
      whole << file.rdbuf();
      const std::string line = whole.str();
      const size_t end = line.rfind(')');
      if (end == std::string::npos || end + 4 >= line.size()) return false;
      const std::string parent = line.substr(end + 4, line.find(' ', end + 4) - end - 4);
      if (parent == ancestor) return true;
      pid = parent;
    }
    return false;
  }

  std::set<std::string> before_;
};

}  // namespace assay::sandbox::testing
