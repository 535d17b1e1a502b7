// Answer normalisers of the reading and mathematics benchmarks (task-specs 0.8). Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace assay::tasks::answers {

inline constexpr std::string_view kAsciiPunctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

// SQuAD: lower case, no ASCII punctuation, no articles, single spaces.
std::string n_squad(std::string_view text);
// TriviaQA's own: punctuation becomes spaces before articles go.
std::string n_trivia(std::string_view text);
// OpenCompass's general_postprocess, in lower case: up to the first newline, '.' or ',', letters and
// digits only, no articles.
std::string n_opencompass(std::string_view text);

// Without "," "$" "€" "£" "¥", spaces and a trailing ".".
std::string without_number_marks(std::string_view text);
// N-num: the value of a decimal number after without_number_marks; nullopt for anything else.
std::optional<double> parse_number(std::string_view text);
bool same_number(std::string_view a, std::string_view b);  // |a - b| < 1e-6

// Words of a normalised text.
std::vector<std::string_view> words(std::string_view text);
// SQuAD's F1 of two bags of words; both empty: 1, one empty: 0.
double bag_f1(std::string_view prediction, std::string_view gold);

// Lower case by simple Unicode mapping, as Python's str.lower() for all but a few special letters.
std::string lower(std::string_view text);
// Decimal digits of every script as 0 to 9, as Python's float() reads them; or of the scripts only whose zeros
// are given.
std::string ascii_decimal_digits(std::string_view text, std::u32string_view zeros = {});
std::string without_ascii_punctuation(std::string_view text);
// Letters and digits of every script, and '_': what Python's \w matches.
bool is_word_character(char32_t c);
// Each of the whole words a, an, the replaced by a space; letters of every script make words.
std::string without_articles(std::string_view text);

}  // namespace assay::tasks::answers
