// Whether two LaTeX answers are the same: the string rules of Hendrycks and of Minerva, and a
// numeric comparison (task-specs 4.2). Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace assay::tasks::answers {

// Content of the last balanced \boxed{} or \fbox{} ("\boxed 7" too); nullopt without one.
std::optional<std::string> last_boxed(std::string_view text);

// E-minerva: normalize_final_answer of Lewkowycz et al.
std::string minerva_form(std::string_view answer);
// The same as lm-eval 0.4.13 has it.
std::string minerva_lmeval_form(std::string_view answer);

bool minerva_equal(std::string_view a, std::string_view b);

struct Tolerance {
  double relative = 1e-4, absolute = 0;
};

// E-numeric: both sides parsed as arithmetic (fractions, roots, powers, pi, e, percent, mixed
// numbers, tuples, intervals, unions, comma lists) and compared with relative tolerance 1e-4; free
// variables at 12 fixed points. False where one side is not of that grammar.
bool numerically_equal(std::string_view a, std::string_view b, Tolerance tolerance = {});
// Whether two expressions are the same but for a constant factor that is not 0, likewise.
bool numerically_proportional(std::string_view a, std::string_view b);

}  // namespace assay::tasks::answers
