#include "sandbox/purge.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "sandbox/descriptor.h"

namespace assay::sandbox {
namespace {

std::vector<std::string> names_in(int directory) {
  std::vector<std::string> names;
  const int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return names;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(copy), closedir);
  while (const dirent* entry = stream ? readdir(stream.get()) : nullptr) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

Descriptor open_directory(int parent, const std::string& name) {
  // Modes 000 are no protection from the owner of the files.
  fchmodat(parent, name.c_str(), 0700, 0);
  return Descriptor(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

bool is_directory(int parent, const std::string& name) {
  struct stat info;
  return fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

}  // namespace

Usage directory_usage(const std::filesystem::path& directory, int64_t max_entries) {
  constexpr int kMaxDepth = 100;
  struct Open {
    std::string path;
    int depth;
  };
  Usage usage;
  std::vector<Open> open_list = {{directory, 0}};
  while (!open_list.empty() && usage.entries <= max_entries) {
    const Open next = std::move(open_list.back());
    open_list.pop_back();
    const Descriptor fd(open(next.path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) continue;
    for (const std::string& name : names_in(fd.get())) {
      struct stat info;
      ++usage.entries;
      if (fstatat(fd.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
      usage.bytes += info.st_blocks * 512;
      if (!S_ISDIR(info.st_mode)) continue;
      if (next.depth == kMaxDepth) {
        usage.entries = max_entries + 1;
        break;
      }
      open_list.push_back({next.path + "/" + name, next.depth + 1});
    }
  }
  return usage;
}

bool purge_directory(const std::filesystem::path& directory) {
  const Descriptor top(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!top) return false;
  // Directories inside directories are moved up here first: no recursion, no long paths. A name
  // that is taken costs another round; rounds end when one changes nothing.
  int moved = 0;
  for (bool progress = true; progress;) {
    progress = false;
    for (const std::string& name : names_in(top.get())) {
      if (!is_directory(top.get(), name)) {
        progress |= unlinkat(top.get(), name.c_str(), 0) == 0;
        continue;
      }
      if (const Descriptor inner = open_directory(top.get(), name)) {
        for (const std::string& child : names_in(inner.get())) {
          if (!is_directory(inner.get(), child)) {
            progress |= unlinkat(inner.get(), child.c_str(), 0) == 0;
            continue;
          }
          const std::string target = ".purge-" + std::to_string(moved++);
          fchmodat(inner.get(), child.c_str(), 0700, 0);
          progress |= renameat(inner.get(), child.c_str(), top.get(), target.c_str()) == 0;
        }
      }
      progress |= unlinkat(top.get(), name.c_str(), AT_REMOVEDIR) == 0;
    }
  }
  return names_in(top.get()).empty();
}

void remove_directories_in(const std::filesystem::path& directory) {
  const Descriptor top(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!top) return;
  for (const std::string& name : names_in(top.get())) {
    if (is_directory(top.get(), name)) unlinkat(top.get(), name.c_str(), AT_REMOVEDIR);
  }
}

}  // namespace assay::sandbox
