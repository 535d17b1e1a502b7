#include "sandbox/control_group.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <map>
#include <sstream>
#include <thread>
#include <vector>

#include "sandbox/kernel_file.h"

namespace assay::sandbox {
namespace {

namespace fs = std::filesystem;

bool write_number(const fs::path& path, int64_t value) {
  return write_kernel_file(path, std::to_string(value));
}

std::optional<int64_t> number_in(std::string_view text, std::string_view key = {}) {
  size_t at = 0;
  if (!key.empty()) {
    at = text.find(key);
    if (at == std::string_view::npos) return std::nullopt;
    at += key.size();
  }
  while (at < text.size() && text[at] == ' ') ++at;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

void remove_group(const ControlGroupSystem& system, const fs::path& path) {
  if (path.empty()) return;
  // Killed processes leave a group a moment after they are reaped.
  for (int i = 0; i < 400 && !system.remove(path) && errno == EBUSY; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

struct Hierarchy {
  fs::path own;   // the group of this process
  fs::path root;  // the mount point
};

// Controller name ("" for version 2) -> where this process stands in that hierarchy.
std::map<std::string, Hierarchy> hierarchies(const ControlGroupSystem& system) {
  std::map<std::string, std::string> own;  // controller -> path
  std::istringstream groups(read_kernel_file(system.own_groups));
  for (std::string line; std::getline(groups, line);) {
    const size_t a = line.find(':'), b = line.find(':', a + 1);
    if (a == std::string::npos || b == std::string::npos) continue;
    std::istringstream names(line.substr(a + 1, b - a - 1));
    const std::string path = line.substr(b + 1);
    if (b == a + 1) own[""] = path;
    for (std::string name; std::getline(names, name, ',');) own[name] = path;
  }
  std::map<std::string, Hierarchy> found;
  std::istringstream mounts(read_kernel_file(system.mounts));
  for (std::string line; std::getline(mounts, line);) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream left(line.substr(0, dash)), right(line.substr(dash + 3));
    std::string id, parent, device, root, point, type, source, options;
    left >> id >> parent >> device >> root >> point;
    right >> type >> source >> options;
    if (type != "cgroup" && type != "cgroup2") continue;
    for (const auto& [name, path] : own) {
      if (type == "cgroup2"
              ? !name.empty()
              : name.empty() || ("," + options + ",").find("," + name + ",") == std::string::npos) {
        continue;
      }
      // In a container the mount may show only the part of the tree below `root`.
      std::string below = path;
      if (root != "/" && below.rfind(root, 0) == 0) below = below.substr(root.size());
      fs::path here = fs::path(point) / fs::path(below).relative_path();
      if (!fs::exists(here)) here = point;
      found[name] = {here, point};
    }
  }
  return found;
}

// A run that was killed leaves empty groups "assay-PID-N"; their process is gone.
void remove_stale(const ControlGroupSystem& system, const fs::path& parent) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent, error)) {
    const std::string name = entry.path().filename();
    if (name.rfind("assay-", 0) != 0) continue;
    const auto pid = number_in(std::string_view(name).substr(6));
    if (!pid || kill(static_cast<pid_t>(*pid), 0) == 0 || errno != ESRCH) continue;
    std::vector<fs::path> slots;
    for (const auto& inner : fs::directory_iterator(entry.path(), error)) {
      if (inner.is_directory(error)) slots.push_back(inner.path());
    }
    for (const fs::path& slot : slots) system.remove(slot);
    system.remove(entry.path());
  }
}

std::string unique_name() {
  static std::atomic<int> counter{0};
  return "assay-" + std::to_string(getpid()) + "-" + std::to_string(counter++);
}

bool has_words(const std::string& text, std::initializer_list<std::string_view> words) {
  for (std::string_view word : words) {
    std::istringstream stream(text);
    bool found = false;
    for (std::string item; stream >> item;) found = found || item == word;
    if (!found) return false;
  }
  return true;
}

}  // namespace

std::unique_ptr<ControlGroups> ControlGroups::find(std::string& reason, ControlGroupSystem given) {
  if (!given.make) given.make = [](const fs::path& path) { return mkdir(path.c_str(), 0755) == 0; };
  if (!given.remove) given.remove = [](const fs::path& path) { return rmdir(path.c_str()) == 0; };
  std::unique_ptr<ControlGroups> groups(new ControlGroups);
  groups->system_ = std::make_shared<const ControlGroupSystem>(std::move(given));
  const ControlGroupSystem& system = *groups->system_;
  const auto all = hierarchies(system);
  const std::string name = unique_name();
  const auto make_in = [&](const fs::path& parent) -> fs::path {
    remove_stale(system, parent);
    const fs::path path = parent / name;
    return system.make(path) ? path : fs::path();
  };
  // Version 1 where its memory controller is mounted; a controller is in one version only.
  const auto memory = all.find("memory"), pids = all.find("pids"), cpu = all.find("cpuacct");
  if (memory != all.end() && pids != all.end()) {
    groups->version_ = 1;
    groups->memory_ = make_in(memory->second.own);
    if (groups->memory_.empty()) reason = "cgroup v1: cannot make a memory group: ";
    if (!groups->memory_.empty()) groups->pids_ = make_in(pids->second.own);
    if (reason.empty() && groups->pids_.empty()) reason = "cgroup v1: cannot make a pids group: ";
    if (!reason.empty()) {
      reason += std::strerror(errno);
      return nullptr;
    }
    write_kernel_file(groups->memory_ / "memory.use_hierarchy", "1");
    if (cpu != all.end()) groups->cpu_ = make_in(cpu->second.own);
  } else if (const auto unified = all.find(""); unified != all.end()) {
    groups->version_ = 2;
    // A group may have children with controllers only if it has no processes of its own (unless it
    // is the root): so beside us rather than below us, as far up as it takes.
    for (fs::path parent = unified->second.own;; parent = parent.parent_path()) {
      const bool offers =
          has_words(read_kernel_file(parent / "cgroup.subtree_control"), {"memory", "pids"}) ||
          write_kernel_file(parent / "cgroup.subtree_control", "+memory +pids");
      if (offers) {
        const fs::path made = make_in(parent);
        if (!made.empty() && write_kernel_file(made / "cgroup.subtree_control", "+memory +pids")) {
          groups->memory_ = groups->pids_ = made;
          write_kernel_file(made / "cgroup.subtree_control", "+cpu");
          groups->cpu_ = made;  // cpu.stat counts time without the controller
          break;
        }
        if (!made.empty()) system.remove(made);
      }
      if (parent == unified->second.root || parent == parent.parent_path()) break;
    }
    if (groups->memory_.empty()) {
      reason = "cgroup v2: no group above this process may be given children with memory and pids";
      return nullptr;
    }
  } else {
    reason = "no cgroup hierarchy with memory and pids is mounted";
    return nullptr;
  }
  // By doing: a group that takes a process and limits.
  const auto trial = groups->make("trial");
  if (!trial || !trial->set_limits(int64_t{256} << 20, 64) || !trial->memory_usage()) {
    reason = "cgroup v" + std::to_string(groups->version_) + ": limits cannot be set";
    return nullptr;
  }
  return groups;
}

ControlGroups::~ControlGroups() {
  remove_group(*system_, memory_);
  if (pids_ != memory_) remove_group(*system_, pids_);
  if (cpu_ != memory_) remove_group(*system_, cpu_);
}

std::vector<fs::path> ControlGroups::paths() const {
  std::vector<fs::path> all = {memory_};
  for (const fs::path& path : {pids_, cpu_}) {
    if (!path.empty() && path != memory_) all.push_back(path);
  }
  return all;
}

std::unique_ptr<ControlGroup> ControlGroups::make(const std::string& name) const {
  std::unique_ptr<ControlGroup> group(new ControlGroup);
  group->system_ = system_;
  group->version_ = version_;
  const auto make_in = [&](const fs::path& parent, fs::path& path) {
    if (parent.empty()) return true;
    if (!system_->make(parent / name)) return false;
    path = parent / name;
    return true;
  };
  if (!make_in(memory_, group->memory_)) return nullptr;
  if (version_ == 2) {
    group->pids_ = group->cpu_ = group->memory_;
  } else if (!make_in(pids_, group->pids_) || !make_in(cpu_, group->cpu_)) {
    return nullptr;
  }
  return group;
}

ControlGroup::~ControlGroup() {
  remove_group(*system_, memory_);
  if (version_ == 1) {
    remove_group(*system_, pids_);
    remove_group(*system_, cpu_);
  }
}

bool ControlGroup::attach(pid_t process) {
  bool ok = write_number(memory_ / "cgroup.procs", process);
  if (version_ == 1) {
    ok = ok && write_number(pids_ / "cgroup.procs", process);
    if (!cpu_.empty()) ok = ok && write_number(cpu_ / "cgroup.procs", process);
  }
  return ok;
}

bool ControlGroup::set_limits(int64_t memory_bytes, int64_t processes) {
  if (memory_bytes != memory_limit_) {
    if (version_ == 1) {
      // The limit with swap may never be below the one without: one of the two orders works.
      const fs::path plain = memory_ / "memory.limit_in_bytes";
      const fs::path swap = memory_ / "memory.memsw.limit_in_bytes";
      const bool has_swap = access(swap.c_str(), W_OK) == 0;
      bool ok = write_number(plain, memory_bytes);
      if (has_swap) {
        if (!write_number(swap, memory_bytes)) return false;
        if (!ok) ok = write_number(plain, memory_bytes);
      }
      if (!ok) return false;
    } else {
      if (!write_number(memory_ / "memory.max", memory_bytes)) return false;
      write_kernel_file(memory_ / "memory.swap.max", "0");  // absent without swap
    }
    memory_limit_ = memory_bytes;
  }
  if (processes != process_limit_) {
    if (!write_number(pids_ / "pids.max", processes)) return false;
    process_limit_ = processes;
  }
  return true;
}

std::optional<int64_t> ControlGroup::memory_usage() const {
  return number_in(
      read_kernel_file(memory_ / (version_ == 1 ? "memory.usage_in_bytes" : "memory.current")));
}

int64_t ControlGroup::oom_kills() const {
  return number_in(read_kernel_file(memory_ / (version_ == 1 ? "memory.oom_control" : "memory.events")),
                   "oom_kill ")
      .value_or(0);
}

std::optional<double> ControlGroup::cpu_seconds() const {
  if (cpu_.empty()) return std::nullopt;
  if (version_ == 1) {
    const auto nanoseconds = number_in(read_kernel_file(cpu_ / "cpuacct.usage"));
    if (!nanoseconds) return std::nullopt;
    return static_cast<double>(*nanoseconds) * 1e-9;
  }
  const auto microseconds = number_in(read_kernel_file(cpu_ / "cpu.stat"), "usage_usec ");
  if (!microseconds) return std::nullopt;
  return static_cast<double>(*microseconds) * 1e-6;
}

void ControlGroup::reset_peak() {
  if (version_ == 1) write_kernel_file(memory_ / "memory.max_usage_in_bytes", "0");
}

std::optional<int64_t> ControlGroup::peak_bytes() const {
  // In version 2 memory.peak is the peak of all programs so far: no use.
  if (version_ != 1) return std::nullopt;
  return number_in(read_kernel_file(memory_ / "memory.max_usage_in_bytes"));
}

bool ControlGroup::empty() const {
  return read_kernel_file(memory_ / "cgroup.procs").empty() &&
         (version_ == 2 || read_kernel_file(pids_ / "cgroup.procs").empty());
}

}  // namespace assay::sandbox
