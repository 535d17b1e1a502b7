// Landlock by its system calls: distributions' headers are older than the kernels they run on.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace assay::sandbox::landlock {

struct RulesetAttributes {  // struct landlock_ruleset_attr, ABI 6
  uint64_t handled_access_fs;
  uint64_t handled_access_net;
  uint64_t scoped;
};
struct __attribute__((packed)) PathBeneath {  // struct landlock_path_beneath_attr
  uint64_t allowed_access;
  int32_t parent_fd;
};

inline constexpr long kCreateRuleset = 444, kAddRule = 445, kRestrictSelf = 446;  // all arches
inline constexpr uint32_t kRulePathBeneath = 1, kCreateRulesetVersion = 1;

inline constexpr uint64_t kExecute = 1 << 0, kWriteFile = 1 << 1, kReadFile = 1 << 2,
                          kReadDir = 1 << 3, kTruncate = 1 << 14;
inline constexpr uint64_t kReadOnly = kExecute | kReadFile | kReadDir;
// What a rule for something that is not a directory may contain.
inline constexpr uint64_t kFileRights = kExecute | kWriteFile | kReadFile | kTruncate | 1 << 15;

// The highest ABI of the running kernel, 0 if there is none.
inline int abi() {
  const long version = syscall(kCreateRuleset, nullptr, 0, kCreateRulesetVersion);
  return version > 0 ? static_cast<int>(version) : 0;
}
// All file rights that ABI `abi` knows: 13 in the first, then refer, truncate, (4: net), ioctl.
inline uint64_t file_rights(int abi) {
  const int bits = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;
  return (uint64_t{1} << bits) - 1;
}

}  // namespace assay::sandbox::landlock
