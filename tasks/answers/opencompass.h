// OpenCompass 0.5.4's rules for MATH (math_postprocess_v2, MATHEvaluator v2) and for programs
// between [BEGIN] and [DONE] (MBPPEvaluator). Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace assay::tasks::answers {

// Inside of the last \boxed{}; nullopt where that one is not balanced or has no brace right behind
// it, and for \fbox: such reference answers count as missing.
std::optional<std::string> opencompass_boxed(std::string_view text);

// The answer of a generated solution: the box, else the first sentence that speaks of a final
// answer, else the first sentence, the latter two in normal form. Never "not found".
std::string opencompass_math_answer(std::string_view text);

// Whether the evaluator takes two answers for the same.
bool opencompass_math_equal(std::string_view a, std::string_view b);

// The program in an output: between [BEGIN] ' and ' [DONE], or whichever of the evaluator's other
// marks (a fence, a mark without brackets or quotes) comes first in its list; stripped.
std::string opencompass_program(std::string_view text);

}  // namespace assay::tasks::answers
