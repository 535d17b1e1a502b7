#include "datasets/files.h"

#include <algorithm>
#include <cctype>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"
#include "datasets/archive.h"

namespace assay::datasets {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::string fill_pattern(std::string pattern, std::string_view split, std::string_view group) {
  utf8::replace_all(pattern, "{split}", split);
  utf8::replace_all(pattern, "{group}", group);
  std::string hyphens(group);
  std::replace(hyphens.begin(), hyphens.end(), '_', '-');
  utf8::replace_all(pattern, "{group-}", hyphens);
  return pattern;
}

bool matches(std::string_view pattern, std::string_view name) {
  // Iterative wildcard match: on a mismatch, the last "*" takes one character more.
  size_t p = 0, n = 0, star = std::string_view::npos, mark = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++, mark = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p, ++n;
    } else if (star != std::string_view::npos && name[mark] != '/') {
      p = star + 1, n = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool natural_less(std::string_view a, std::string_view b) {
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      size_t ie = i, je = j;
      while (ie < a.size() && is_digit(a[ie])) ++ie;
      while (je < b.size() && is_digit(b[je])) ++je;
      std::string_view x = a.substr(i, ie - i), y = b.substr(j, je - j);
      while (x.size() > 1 && x[0] == '0') x.remove_prefix(1);
      while (y.size() > 1 && y[0] == '0') y.remove_prefix(1);
      if (x.size() != y.size()) return x.size() < y.size();
      if (x != y) return x < y;
      i = ie, j = je;
    } else {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i, ++j;
    }
  }
  if ((a.size() - i) != (b.size() - j)) return a.size() - i < b.size() - j;
  return a < b;  // equal but for leading zeros
}

std::vector<Located> locate(const fs::path& root, const std::string& pattern) {
  const size_t inside = pattern.find("//");
  const std::string member = inside == std::string::npos ? "" : pattern.substr(inside + 2);
  std::vector<fs::path> found = {root};
  for (const fs::path& part : fs::path(pattern.substr(0, inside))) {
    std::vector<fs::path> next;
    for (const fs::path& base : found) {
      if (part.string().find('*') == std::string::npos) {
        std::error_code ignored;
        if (fs::exists(base / part, ignored)) next.push_back(base / part);
        continue;
      }
      std::vector<std::string> names;
      std::error_code ignored;
      for (fs::directory_iterator it(base, ignored), end; it != end; it.increment(ignored)) {
        const std::string name = it->path().filename().string();
        if (!name.starts_with('.') && matches(part.string(), name)) names.push_back(name);
      }
      std::sort(names.begin(), names.end(), natural_less);
      for (const std::string& name : names) next.push_back(base / name);
    }
    found = std::move(next);
  }
  std::vector<Located> out;
  for (fs::path& path : found) {
    std::error_code ignored;
    if (!fs::is_directory(path, ignored)) out.push_back({std::move(path), member, {}});
  }
  return out;
}

std::optional<std::vector<Located>> locate_split(const fs::path& root, const SplitLayout& split,
                                                 std::string_view group, std::string* missing) {
  std::vector<Located> all;
  for (const auto& alternatives : split.files) {
    bool there = false;
    for (const FilePattern& file : alternatives) {
      auto found = locate(root, fill_pattern(file.pattern, split.file_name, group));
      if (found.empty()) continue;
      for (Located& f : found) f.format = file.format.empty() ? split.format : file.format;
      all.insert(all.end(), found.begin(), found.end());
      there = true;
      break;
    }
    if (!there) {
      if (missing) {
        *missing =
            (root / fill_pattern(alternatives.front().pattern, split.file_name, group)).string();
      }
      return std::nullopt;
    }
  }
  return all;
}

FileReader::FileReader(const std::vector<Located>& all) {
  for (const Located& located : all) {
    if (!located.member.empty()) patterns_[located.path].push_back(located.member);
  }
}

std::vector<FileReader::File> FileReader::read(const Located& located) {
  if (located.member.empty()) {
    return {{located.path, read_file(located.path), sha256_file_hex(located.path)}};
  }
  auto it = archives_.find(located.path);
  if (it == archives_.end()) {
    const auto& patterns = patterns_[located.path];
    auto members = read_archive(located.path, [&](std::string_view name) {
      return std::any_of(patterns.begin(), patterns.end(),
                         [&](const std::string& pattern) { return matches(pattern, name); });
    });
    it = archives_.emplace(located.path, std::move(members)).first;
  }
  std::vector<std::string> names;
  for (const auto& [name, bytes] : it->second) {
    if (matches(located.member, name)) names.push_back(name);
  }
  if (names.empty()) {
    throw_bad_input("archive has no member \"" + located.member + "\"", located.path.string());
  }
  std::sort(names.begin(), names.end(), natural_less);
  std::vector<File> files;
  for (const std::string& name : names) {
    const std::string& bytes = it->second.at(name);
    files.push_back({located.path.string() + "//" + name, bytes, sha256_hex(bytes)});
  }
  return files;
}

}  // namespace assay::datasets
