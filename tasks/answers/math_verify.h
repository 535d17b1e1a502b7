// What the package math-verify 0.9.0 finds in a text and calls equal, as lm-eval's minerva_math asks it
// (the metric math_verify). Its search is followed; its symbolic comparison (SymPy) is replaced by
// values of the free variables' points. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace assay::tasks::answers {

// The answer in a solution: after "final answer is", in a box, after "answer:", after "answer", or the
// last formula or number of all; of several places of one kind the one that ends last. Formulas come
// without their marks, boxes without the box, several joined by "and" as a list.
std::optional<std::string> math_verify_answer(std::string_view text);

// Equal as texts, names, values, sets, tuples, intervals, matrices, equations or inequalities. Not
// symmetric: of an equation only the right side counts where the other is none, but of the gold only if it
// assigns to a name.
bool math_verify_equal(std::string_view gold, std::string_view prediction);

}  // namespace assay::tasks::answers
