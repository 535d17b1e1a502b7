// Where math-verify 0.9.0 looks for an answer in a text, as lm-eval's minerva_math asks it. Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace assay::tasks::answers {

// A place that may hold the answer; formulas without their marks, boxes without the box.
struct AnswerPlace {
  size_t start = 0, end = 0;
  std::string answer;
};

// The kinds of places in the order in which they count: after "final answer is"; in a box or after "final
// answer ... is"; after "answer:"; after "answer"; any formula or number.
inline constexpr int kAnswerPlaceKinds = 5;
std::vector<AnswerPlace> answer_places(std::string_view text, int kind);

// The contents of the boxes, from the last one backwards, as long as they stand together (`all`: every one).
std::string boxed(std::string_view text, bool all);

}  // namespace assay::tasks::answers
