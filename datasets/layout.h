// The parsed keys of a task file's "data" object; datasets/dataset.h says what they mean.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/field_rules.h"

namespace assay::datasets {

// One condition of "where".
struct Condition {
  std::string field;
  FieldValue from, to;  // equal for a single value
};

// One of the alternatives for a file.
struct FilePattern {
  std::string pattern;
  std::string format;  // "" = the split's
};

// A list made from all rows of the split: the distinct values of `field` among the rows whose `same`
// is the row's, in file order.
struct Gathered {
  std::string name, field, same;
};

struct SplitLayout {
  std::string name;       // the split's
  std::string file_name;  // what {split} stands for
  std::string format = "jsonl";
  std::vector<std::vector<FilePattern>> files;  // read one after the other; each: alternatives
  bool header = true, quotes = true, replace_invalid = false, keep_newlines = false;
  std::vector<std::string> columns;
  std::string delimiter = ",";
  std::string records;  // may hold {group}
  std::string adapter;
  std::vector<FieldRule> fields;
  std::vector<Gathered> gathered;
  std::vector<FilePattern> labels_files;  // alternatives
  std::string labels_field;
  std::vector<Condition> where;
  std::string cluster;
  int64_t rows = -1;                          // -1: not stated
  std::map<std::string, int64_t> group_rows;  // "*" for all others
};

// A file of the publishers, as `assay data` fetches and verifies it.
struct OriginFile {
  std::string url, to, sha256;
  int64_t bytes = -1;
};

struct Layout {
  std::map<std::string, SplitLayout, std::less<>> splits;
  std::vector<Group> groups;
  std::string group_field;
  std::string home, licence, note;
  std::vector<OriginFile> origin;
};

Layout parse_layout(json::Value data);

}  // namespace assay::datasets
