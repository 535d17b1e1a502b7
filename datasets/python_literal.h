// Python literals as JSON: some publishers store lists and dicts as Python's repr() in csv cells.
//
// Understands strings (both quotes, tripled, r/u prefixes, escapes, adjacent strings joined),
// numbers, None, True, False, lists, tuples (as lists) and dicts with string keys. Nothing is
// evaluated.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace assay::datasets {

// Compact JSON of the literal. Throws bad_input naming `where` and the 1-based column.
std::string python_literal_to_json(std::string_view text, const std::string& where);

// A list or tuple of literals, each as text (strings as they are, other values as JSON).
std::vector<std::string> python_list(std::string_view text, const std::string& where);

}  // namespace assay::datasets
