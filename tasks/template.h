// The template language of task files: a subset of Mustache, never escaping, with named filters.
//
//   {{name}}                     the field as text; an unknown field is an error
//   {{name|strip|join:, }}       through filters (tasks/filters.h), left to right
//   {{#name}} .. {{/name}}       a list: once per element, with {{letter}} (A, B ..), {{number}}
//   (1,
//                                2 ..) and {{text}}; any other value: once if it is not empty
//   {{^name}} .. {{/name}}       if it is empty, null or absent
//
// Everything else is literal, line breaks included. Parsed once, rendered by many threads.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/fields.h"

namespace assay::tasks {

class Template {
 public:
  Template() = default;  // the empty text
  // `where` names the file and key in errors (bad_input).
  Template(std::string_view source, std::string where);

  std::string render(const Fields& fields) const;
  bool empty() const { return source_.empty(); }
  const std::string& source() const { return source_; }

  struct Node;

 private:
  std::string source_, where_;
  std::shared_ptr<const std::vector<Node>> nodes_;
};

// "A" .. "Z" for 0 .. 25; more options than letters is an error.
std::string option_letter(size_t index);

}  // namespace assay::tasks
