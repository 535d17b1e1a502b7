// Ways through a JSON file: where the records are, and where a record's fields are.
//
// A way is a list of steps separated by dots:
//   name    member of an object        3    element of a list (member "3" of an object)
//   *       every element of a list, or every member of an object in file order
//   ^       up: what encloses the record (each "*" on the way to it opened one level)
//   #       the element whose position is the record's own position in its list (parallel lists)
//   @key    the record's name in the enclosing object; @position its 0-based position
//   @file   the file's name without directories and the last extension
//   .       (the whole way) the record itself
// SQuAD's questions are "data.*.paragraphs.*.qas.*"; from there "^.context" is the passage.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "datasets/dataset.h"

namespace assay::datasets {

// One level on the way from a file's root to a record.
struct Level {
  json::Value value;
  std::string key;      // its name in an object, or ""
  size_t position = 0;  // its 0-based position in the list or object
};

// A record and what encloses it; valid while the file's json::Document lives.
struct Place {
  std::vector<Level> levels;                 // [0] the root ... back() the record
  std::map<std::string, std::string> extra;  // fields from side files (labels)
  std::string where;                         // "file:line" or "file: way", for errors
  std::string file;                          // for @file

  json::Value record() const { return levels.back().value; }
  [[noreturn]] void fail(const std::string& what) const;
};

class Way {
 public:
  Way() = default;
  // Throws bad_input naming `where` for a way that cannot be.
  Way(std::string_view text, const std::string& where);

  const std::string& text() const { return text_; }
  // The top-level member of the record that this way reads, or "".
  std::string_view first_member() const;

  // Calls `body` for every record of the file; its steps may be names, positions and "*".
  void for_each(json::Value root, const std::string& where,
                const std::function<void(Place&)>& body) const;

  // The value at this way, as a field; a way with "*" gives a list of strings. nullptr_t-like
  // absence is reported by `found`; without `found`, absence is an error.
  FieldValue read(const Place& place, bool* found = nullptr) const;

 private:
  void walk(json::Value value, size_t step, Place& place,
            const std::function<void(Place&)>& body) const;
  bool collect(json::Value value, size_t step, const Place& place, bool must,
               std::vector<json::Value>& out) const;

  std::string text_;
  std::vector<std::string> steps_;
  bool many_ = false;
};

// A JSON value as a field: nested values become compact JSON text.
FieldValue field_of(json::Value value);
// A number, string or boolean as text, for lists and templates.
std::string text_of(json::Value value);
std::string text_of(const FieldValue& value);

}  // namespace assay::datasets
