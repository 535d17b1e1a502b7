// Control groups, version 1 or 2, by what can be written: memory and process limits of a slot.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace assay::sandbox {

// Where the kernel shows the groups and how their directories come and go; tests have their own.
struct ControlGroupSystem {
  std::filesystem::path own_groups = "/proc/self/cgroup";
  std::filesystem::path mounts = "/proc/self/mountinfo";
  std::function<bool(const std::filesystem::path&)> make;    // null: mkdir
  std::function<bool(const std::filesystem::path&)> remove;  // null: rmdir; false with EBUSY: later
};

// One group: a directory in each hierarchy in use. Removed with its last process by the destructor.
// Not thread-safe.
class ControlGroup {
 public:
  ~ControlGroup();
  ControlGroup(const ControlGroup&) = delete;
  ControlGroup& operator=(const ControlGroup&) = delete;

  bool attach(pid_t process);
  // Limits hold for all processes of the group together; swap is not an extra allowance.
  bool set_limits(int64_t memory_bytes, int64_t processes);
  std::optional<int64_t> memory_usage() const;
  int64_t oom_kills() const;                  // since the group was made
  std::optional<double> cpu_seconds() const;  // since the group was made
  void reset_peak();
  std::optional<int64_t> peak_bytes() const;  // since reset_peak(), where the kernel can
  bool empty() const;

 private:
  friend class ControlGroups;
  ControlGroup() = default;
  std::shared_ptr<const ControlGroupSystem> system_;
  int version_ = 0;
  std::filesystem::path memory_, pids_, cpu_;  // the same directory in version 2
  int64_t memory_limit_ = -1, process_limit_ = -1;
};

// The place below which this process may make groups. Destroying it removes the parent group.
class ControlGroups {
 public:
  // Tries by doing; nullptr if memory and process limits cannot be had, with why in `reason`.
  static std::unique_ptr<ControlGroups> find(std::string& reason, ControlGroupSystem system = {});
  ~ControlGroups();

  int version() const { return version_; }
  bool has_cpu() const { return !cpu_.empty(); }
  std::vector<std::filesystem::path> paths() const;  // the parent groups, one a hierarchy
  // nullptr if it cannot be made.
  std::unique_ptr<ControlGroup> make(const std::string& name) const;

 private:
  ControlGroups() = default;
  std::shared_ptr<const ControlGroupSystem> system_;
  int version_ = 0;
  std::filesystem::path memory_, pids_, cpu_;  // our own directories
};

}  // namespace assay::sandbox
