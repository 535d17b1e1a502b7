// String equivalence of LaTeX answers as the MATH authors define it (hendrycks/math,
// math_equivalence.py); AGIEval's cloze tasks use it too. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace assay::tasks::answers {

// The normal form; nullopt where the authors' script would raise and compare the texts as they are
// (two unit texts, a bare \sqrt or \frac at the end).
std::optional<std::string> hendrycks_normal_form(std::string_view text);

// Equal normal forms, or, where one of them does not exist, equal texts.
bool hendrycks_equal(std::string_view a, std::string_view b);

// Two of its steps, which other rules share. \frac12 -> \frac{1}{2}, \frac1{72} -> \frac{1}{72}; false
// where nothing follows a \frac, and the text stays as it was, as it does where one character follows.
bool brace_fractions(std::string& text);
// Whether the text is what Python prints for the integer it denotes.
bool is_plain_integer(std::string_view text);

}  // namespace assay::tasks::answers
