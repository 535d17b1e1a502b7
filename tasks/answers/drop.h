// DROP's own metric (allennlp-models, drop_eval.py) for one predicted span.
//
// A gold answer is a JSON list of spans, as the data set's adapter makes them ("golds"); several
// gold answers are alternatives, and EM and F1 are each maximised over them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace assay::tasks::answers {

// Lower case, tokens at spaces and hyphens, no ASCII punctuation, numbers as Python prints the
// float, no articles.
std::string drop_normal_form(std::string_view span);
// Whether Python's float() reads the text: sign, decimals, exponent, inf, nan, "1_000".
bool is_python_float(std::string_view text);

// A gold answer as one text, its spans joined by ", ".
std::string drop_text(const std::string& gold);

double drop_em(std::string_view prediction, const std::vector<std::string>& golds);
// Rounded to two decimals as the authors do before averaging.
double drop_f1(std::string_view prediction, const std::vector<std::string>& golds);

}  // namespace assay::tasks::answers
