// AGIEval: what is read from an output, and when it is right, by the field `kind` of the document's
// group: "single" (one letter), "multi" (a set of letters) or "cloze" (a formula).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/fields.h"

namespace assay::tasks::answers {

// single: the first character in A-F. multi: all of them, in alphabetical order, once each. cloze:
// the last \boxed{} , else the inside of the first $...$, else the first line without trailing "."
// or "。".
std::optional<std::string> extract_agieval(std::string_view text, const Fields& fields);

// OpenCompass: the first run of A to D, or, for cloze, what AGIEval's own parser finds.
std::optional<std::string> extract_agieval_opencompass(std::string_view text, const Fields& fields);

// single: equal texts. multi: equal sets of letters. cloze: E-hendrycks.
double score_agieval(std::string_view prediction, const std::vector<std::string>& golds,
                     const Fields& fields);

// AGIEval's own parser of mathematical answers (ruixiangcui/AGIEval, post_process.py), which
// lm-eval applies to output and gold alike: the last \boxed{}; else what stands between the first
// and the last $ of a line; of either what follows the last "="; else what follows the last "=";
// else the last plain number.
std::optional<std::string> parse_math_answer(std::string_view text);
// E-hendrycks on both sides' parsed answers. As in lm-eval, two texts without an answer are equal.
double score_agieval_math(std::string_view prediction, const std::vector<std::string>& golds);

}  // namespace assay::tasks::answers
