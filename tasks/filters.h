// Named text functions of templates and extraction rules: strip, capitalize, hellaswag_clean ...
//
// filters.cpp holds the table; docs/adding-a-task.md lists them. Pure; byte-exact; no locale.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tasks/fields.h"

namespace assay::tasks {

// One "name" or "name:argument" of a template or a "clean" list, looked up once.
class Filter {
 public:
  // An unknown name is bad_input at `where`, with the nearest known one.
  Filter(std::string_view spec, const std::string& where);

  // Text filters on a list apply to each element; `join` and `last` make one text of it.
  FieldValue apply(FieldValue value, const std::string& where) const;
  std::string apply_text(std::string text) const;

  struct Entry;

 private:
  const Entry* entry_;
  std::string argument_;
};

std::vector<std::string> filter_names();

}  // namespace assay::tasks
