// Official benchmark files in, documents out: the one shape in which tasks see every data set.
//
// A DatasetSpec comes from a task file ("data": {...}, keys below) and says where the publisher's
// files are below the data root and how to read them; load_split() turns one split into Documents
// in official file order. Nothing is downloaded here (datasets/fetch.h does). Text becomes UTF-8
// without byte order mark; CRLF and lone CR of the file become LF (task-specs 0.1), a "\r" that a
// JSON string spells out is data and stays; cells are never mapped to "missing" ("None", "NA" and
// "" are text).
//
// Errors: bad_input naming the file and row for malformed rows, and, for a missing file, the path
// looked for and the command that fetches it. Pure functions; thread-safe.
//
// Keys of "data". Those marked * may stand at the top (for all splits) or inside one split.
//   format*        "csv", "jsonl", "json" or "text" (one document a file, field "text")
//   files*         where, below the data root: one pattern or a list of patterns that are read one
//                  after the other. {split} and {group} are filled in ({group-}: the group with
//                  hyphens for underscores), "*" matches inside one name
//                  (matches in numeric order: 2.txt before 10.txt). A list inside the list gives
//                  alternatives: the first that exists is read; a pattern may be written
//                  {"file": pattern, "format": its own}. Names ending in .gz are
//                  decompressed; "MATH.tar//MATH/test/*.json" reads members of a zip or tar
//                  archive.
//   split_name*    what {split} stands for, where the publisher's word differs from the split's
//   header*        csv: the first row names the columns (default true); else "columns" does
//   columns*       csv: names of the columns of a file without header
//   delimiter*     csv: one character (default ","), or "auto" for files that differ
//   quotes*        csv: RFC 4180 double-quote quoting (default true)
//   invalid_utf8*  "error" (default), or "replace": malformed bytes become U+FFFD, with a warning
//   newlines*      "lf" (default): CR LF and CR of the file become LF; "keep": they stay, as in copies
//                  of the data that were never converted (lm-eval sees such)
//   records*       json: the way from the file's root to the records, e.g. "data.*.qas.*"
//   (json_way.h);
//                  the default is every element of a list, or the one object that the file holds
//   adapter*       name of a layout or row rule that is an algorithm (adapters.h)
//   fields*        {name: rule}: fields made from the publisher's. Rules (field_rules.h): a way
//                  ("target.span1_text", "^.passage"), a list of ways (makes a list), or an object
//                  such as {"letter": "answer"}. Top-level publisher's fields that no rule uses
//                  keep their names; "answer" must be a valid index into "choices" where both
//                  exist.
//   gather*        {name: {"field": f, "same": g}}: the distinct values of f in all rows of the split
//                  whose g is the row's, in file order, those that `where` leaves out included
//   without*       names of "fields" that this split lacks (the answers of a hidden test set)
//   labels*        {"file": pattern, "field": name}: a side file with one label a line
//   where*         {field: value | [from, to]}: only rows that match (inclusive range); "@index" is
//                  the row's position; positions stay those of the file
//   cluster*       template over fields, {group} and {index}, e.g. "{group}"; what documents share
//   groups         list of names, or [name, display name, category]; one file each via {group}
//   group_field*   the field that names a row's group where one file holds all groups
//   splits         {name: {... keys marked * ..., "rows": n, "rows_per_group": n | {"*": n, name:
//   n}}} origin         {"home", "licence", "note", "files": [{"url", "to", "sha256", "bytes"}]}:
//   for
//                  `assay data`; no part of the digest
// A data root may hold "assay-data.json" {"name": .., "rows": {task: {split: n}}}: a collection
// that states its own counts (the bundled sample does), against which counts are then checked.
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

#include "base/error.h"
#include "base/json.h"

namespace assay::datasets {

// A publisher's file that is not there: the one fault of a data root that a caller may choose to
// live with, by leaving the task out.
class MissingData : public Error {
 public:
  using Error::Error;
};

// A field as the publisher gives it. Lists are options, answers, test cases; null is monostate;
// anything nested deeper is its compact JSON text.
using FieldValue =
    std::variant<std::monostate, std::string, int64_t, double, bool, std::vector<std::string>>;

struct Document {
  std::string id;  // "{task}:{split}:{index}" or "{task}:{split}:{group}:{index}"
  std::string split;
  std::string group;         // subject, subtask, language, locale; "" where there is none
  std::string cluster;       // documents that share a passage or source problem; "" = independent
  int64_t source_index = 0;  // 0-based position in the official file (of the group)
  std::map<std::string, FieldValue, std::less<>> fields;
  std::string content_hash;  // SHA-256 of the canonical JSON of `fields` (sorted keys, no spaces)
  std::string where;         // "file:line" it was read from, for messages

  bool has(std::string_view field) const;                 // present and not monostate
  const std::string& text(std::string_view field) const;  // throws if absent or of another type
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
  size_t declared = 0;  // of these, the ones about what the split says of itself (invalid_utf8: replace)
};

struct Group {
  std::string name;          // as in file names and ids
  std::string display_name;  // for prompts; default: `name` with '_' as spaces
  std::string category;      // "" where the task file gives none
};

struct Layout;  // the parsed keys; datasets/layout.h

class DatasetSpec {
 public:
  // Reads the "data" object of a task file (docs/adding-a-task.md describes its keys).
  static DatasetSpec parse(json::Value data, std::string task);

  const std::string& task() const { return task_; }
  // Groups (subjects ...) in the order of the task file; for a data root that holds only some of
  // them (the bundled sample), those whose files exist. Empty for ungrouped data sets.
  std::vector<std::string> groups(const std::filesystem::path& root, std::string_view split) const;
  bool has_split(const std::filesystem::path& root, std::string_view split) const;
  // All groups of the task file; empty for ungrouped data sets and those with only a group_field.
  const std::vector<Group>& all_groups() const;
  // The group of that name; one made from the name alone where the task file does not list it.
  Group group(std::string_view name) const;
  std::vector<std::string> split_names() const;  // sorted
  // SHA-256 over the specification's canonical JSON without "origin"; part of the task identity.
  const std::string& digest() const { return digest_; }
  const Layout& layout() const { return *layout_; }

 private:
  std::string task_, digest_;
  std::shared_ptr<const Layout> layout_;
};

// One split, or one group of it, in official file order (groups in the order of groups()).
Split load_split(const DatasetSpec& spec, const std::filesystem::path& root, std::string_view split,
                 const std::optional<std::string>& group = std::nullopt);

}  // namespace assay::datasets
