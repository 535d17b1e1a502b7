// From file patterns to the files that are there.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/layout.h"

namespace assay::datasets {

// A file below the data root, or a member of an archive there.
struct Located {
  std::filesystem::path path;
  std::string member;  // "" for a file of its own; otherwise a pattern inside the archive
  std::string format;
  std::string shown() const {
    return member.empty() ? path.string() : path.string() + "//" + member;
  }
};

// {split} and {group} filled in; {group-} is the group with hyphens for underscores.
std::string fill_pattern(std::string pattern, std::string_view split, std::string_view group);
// Whether `name` matches `pattern`, whose "*" stands for anything within one path component.
bool matches(std::string_view pattern, std::string_view name);
// Numbers inside names compare by value: "2.txt" before "10.txt".
bool natural_less(std::string_view a, std::string_view b);

// Existing files that a pattern names below root, in natural order. Archive members are not looked
// up.
std::vector<Located> locate(const std::filesystem::path& root, const std::string& pattern);
// For each entry of the split's list the first alternative that exists, or nothing if an entry has
// none; then *missing is the path that was looked for.
std::optional<std::vector<Located>> locate_split(const std::filesystem::path& root,
                                                 const SplitLayout& split, std::string_view group,
                                                 std::string* missing = nullptr);

// Reads files, and archive members in one pass for a whole split.
class FileReader {
 public:
  struct File {
    std::filesystem::path path;  // "archive.tar//member" for a member
    std::string bytes;           // decompressed
    std::string sha256;          // of the file as it lies there; of the member for members
  };
  // All members that any of the given Located name are kept at the first read of their archive.
  explicit FileReader(const std::vector<Located>& all);
  // The file, or the matching members in natural order. Throws if there is none.
  std::vector<File> read(const Located& located);

 private:
  std::map<std::filesystem::path, std::vector<std::string>> patterns_;
  std::map<std::filesystem::path, std::map<std::string, std::string>> archives_;
};

}  // namespace assay::datasets
