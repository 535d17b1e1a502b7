// CMRC 2018's own metric (ymcui/cmrc2018, cmrc2018_evaluate.py). Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace assay::tasks::answers {

// Lower case, stripped, without the official list of punctuation (which lacks the ellipsis, ASCII
// commas and brackets, and the opening single quote).
std::string n_zh(std::string_view text);
double cmrc_em(std::string_view prediction, const std::vector<std::string>& golds);
// From the longest common contiguous run of segments: a CJK character (U+4E00 to U+9FA5), or a run
// of other letters and digits, or one other character.
double cmrc_f1(std::string_view prediction, const std::vector<std::string>& golds);

}  // namespace assay::tasks::answers
