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

// Modes are no protection from the owner of the files. Never through a link: a program that is
// still alive may exchange directories for links to any place.
Descriptor open_directory(int parent, const std::string& name) {
  constexpr int kFlags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  Descriptor directory(openat(parent, name.c_str(), O_RDONLY | kFlags));
  if (directory || errno != EACCES) return directory;
  const Descriptor handle(openat(parent, name.c_str(), O_PATH | kFlags));
  const std::string same = "/proc/self/fd/" + std::to_string(handle.get());
  if (!handle || chmod(same.c_str(), 0700) != 0) return {};
  return Descriptor(open(same.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

bool is_directory(int parent, const std::string& name) {
  struct stat info;
  return fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

}  // namespace

namespace {

// Of descriptors of the supervisor, too: many workers may look through such a tree at once.
constexpr int kMaxDepth = 32;

// By descriptors, not by paths: a program can make paths that are too long to open. Directories
// inside directories are opened while their parents are, so depth costs descriptors.
void add_usage(const Descriptor& directory, int depth, int64_t max_entries, Usage& usage) {
  for (const std::string& name : names_in(directory.get())) {
    if (++usage.entries > max_entries) return;
    struct stat info;
    if (fstatat(directory.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    usage.bytes += info.st_blocks * 512;
    if (!S_ISDIR(info.st_mode)) continue;
    const Descriptor inner = open_directory(directory.get(), name);
    // What cannot be looked into (and is still a directory there) may hold anything.
    const bool hidden = !inner && errno != ENOENT && errno != ENOTDIR && errno != ELOOP;
    if (hidden || depth == kMaxDepth) {
      usage.entries = max_entries + 1;
      return;
    }
    if (inner) add_usage(inner, depth + 1, max_entries, usage);
  }
}

}  // namespace

Usage directory_usage(const std::filesystem::path& directory, int64_t max_entries) {
  Usage usage;
  const Descriptor top(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (top) add_usage(top, 0, max_entries, usage);
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
        fchmod(inner.get(), 0700);
        for (const std::string& child : names_in(inner.get())) {
          if (!is_directory(inner.get(), child)) {
            progress |= unlinkat(inner.get(), child.c_str(), 0) == 0;
            continue;
          }
          const std::string target = ".purge-" + std::to_string(moved++);
          if (const Descriptor moving = open_directory(inner.get(), child))
            fchmod(moving.get(), 0700);
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
