// Official benchmark files in, documents out: the one shape in which tasks see every data set.
//
// A DatasetSpec comes from a task file ("data": {...}) and says where the publisher's files are below
// the data root and how to read them; load_split() turns one split into Documents in official file
// order. Nothing is downloaded here. Text becomes UTF-8 with LF newlines and no byte order mark
// (task-specs 0.1); cells are never mapped to "missing" ("None", "NA" and "" are text).
//
// Errors: bad_input naming the file and row for malformed rows, and, for a missing file, the path
// looked for and the command that fetches it. Pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"

namespace assay::datasets {

// A field as the publisher gives it. Lists are options, answers, test cases.
using FieldValue = std::variant<std::monostate, std::string, int64_t, double, bool,
                                std::vector<std::string>>;

struct Document {
  std::string id;            // "{task}:{split}:{index}" or "{task}:{split}:{group}:{index}"
  std::string split;
  std::string group;         // subject, subtask, language, locale; "" where there is none
  std::string cluster;       // documents that share a passage or source problem; "" = independent
  int64_t source_index = 0;  // 0-based position in the official file (of the group)
  std::map<std::string, FieldValue, std::less<>> fields;
  std::string content_hash;  // SHA-256 of the canonical JSON of `fields` (sorted keys, no spaces)

  bool has(std::string_view field) const;                     // present and not monostate
  const std::string& text(std::string_view field) const;      // throws if absent or of another type
  const std::vector<std::string>& list(std::string_view field) const;
  int64_t integer(std::string_view field) const;
};

struct SourceFile {
  std::filesystem::path path;  // as opened
  std::string sha256;
  uint64_t rows = 0;
};

struct Split {
  std::vector<Document> documents;
  std::vector<SourceFile> files;
  std::vector<std::string> warnings;  // e.g. "mmlu test: 14041 rows, expected 14042"
};

class DatasetSpec {
 public:
  // Reads the "data" object of a task file (docs/adding-a-task.md describes its keys).
  static DatasetSpec parse(json::Value data, std::string task);

  const std::string& task() const { return task_; }
  // Groups (subjects ...) in the order of the task file; for a data root that holds only some of
  // them (the bundled sample), those whose files exist. Empty for ungrouped data sets.
  std::vector<std::string> groups(const std::filesystem::path& root, std::string_view split) const;
  bool has_split(const std::filesystem::path& root, std::string_view split) const;
  // SHA-256 over the specification's canonical JSON; part of the task identity.
  const std::string& digest() const { return digest_; }

 private:
  friend Split load_split(const DatasetSpec&, const std::filesystem::path&, std::string_view,
                          const std::optional<std::string>&);
  std::string task_, digest_;
  std::shared_ptr<const json::Document> json_;
};

// One split, or one group of it, in official file order (groups in the order of groups()).
Split load_split(const DatasetSpec& spec, const std::filesystem::path& root, std::string_view split,
                 const std::optional<std::string>& group = std::nullopt);

}  // namespace assay::datasets
