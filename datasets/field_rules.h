// Rules that make a task's fields out of the publisher's; see "fields" in datasets/dataset.h.
//
//   "way" or {"way": w}              the value itself
//   ["w1", "w2", ...]                a list of the values' texts
//   {"first_of": [w1, w2]}           the first way that exists
//   {"letter": w}                    "A" -> 0, "B" -> 1 ...; one capital letter, nothing else
//   {"one_based": w}                 "1" or 1 -> 0 ...
//   {"integer": w}                   a number, or text that is one
//   {"index_of": [w, list]}          position of a text in a list, which is a way or written out
//                                    (["true", "false"]); error if it is not there
//   {"letters": w}                   "AC", "A C" or ["A", "C"] -> ["A", "C"]; null -> []
//   {"join": [w, separator]}         the texts of a list as one text; null stays null
//   {"without": [list way, text]}    the list without the entries equal to text
//   {"unquoted": w}                  text in double quotes without them, and each "" inside as one
//   "
//                                    (a second level of csv quoting; other text stays as it is)
//   {"python_list": w}               text that is a Python list literal
//   {"json": w}                      text that is JSON
//   {"before": [w, mark]}            text before the first mark; the whole text if there is none
//   {"after": [w, mark]}             text after the first mark, as it is; "" if there is none
//   {"element": [rule, rule]}        of the list that the first rule makes, the element at the
//                                    position that the second makes
//   {"constant": value}
// A rule object may say "optional": true (the field is left out where the way leads nowhere) or
// "default": value (which then stands there).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "datasets/json_way.h"

namespace assay::datasets {

using Fields = std::map<std::string, FieldValue, std::less<>>;

class FieldRule {
 public:
  FieldRule(std::string name, json::Value rule);

  const std::string& name() const { return name_; }
  // The field's value, or nothing for an optional one that is absent. Errors name place.where.
  std::optional<FieldValue> apply(const Place& place) const;
  // The ways that this rule reads, those of rules inside it included.
  std::vector<const Way*> ways() const;

 private:
  enum class Kind {
    way,
    list,
    first_of,
    letter,
    one_based,
    integer,
    index_of,
    letters,
    join,
    without,
    unquoted,
    before,
    after,
    element,
    python_list,
    json,
    constant,
  };

  std::string read_text(size_t way, const Place& place) const;
  int64_t read_integer(const Place& place) const;

  std::string name_;
  Kind kind_ = Kind::way;
  std::vector<Way> ways_;
  std::string argument_;  // separator, or the text to leave out
  std::vector<FieldRule> inner_;
  std::vector<std::string> list_;  // written out
  FieldValue constant_;
  std::optional<FieldValue> default_;
  bool optional_ = false;
};

}  // namespace assay::datasets
