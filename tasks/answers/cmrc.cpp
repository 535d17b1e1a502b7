#include "tasks/answers/cmrc.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "tasks/answers/normalise.h"

namespace assay::tasks::answers {
namespace {

constexpr std::string_view kPunctuation = "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Whether the text begins with a single letter or digit that is no English contraction: an apostrophe before it
// is apart.
bool one_word_character(std::string_view text) {
  size_t at = 0;
  if (text.empty() || !is_word_character(utf8::decode(text, at))) return false;
  if (std::string_view("mtsdn").find(text[0]) != std::string_view::npos) return false;
  return at == text.size() || !is_word_character(utf8::decode(text, at));
}

// The words of a run without Chinese characters, as NLTK's Treebank tokenizer finds them (the authors'
// script calls it): numbers keep their commas and points, a full stop is apart at the end only.
// Contractions of English other than 's and n't stay together.
void add_words(std::string_view run, std::vector<std::string>& out) {
  constexpr std::string_view kApart = ";@#$%&?!()[]{}<>", kClosing = "])}>\"' ";
  std::string word;
  const auto end_word = [&] {
    for (const std::string_view ending : {"n't", "'ll", "'re", "'ve", "'s", "'m", "'d", "'"}) {
      if (word.size() > ending.size() && word.ends_with(ending) && word[word.size() - ending.size() - 1] != '\'') {
        out.push_back(word.substr(0, word.size() - ending.size()));
        word = ending;
        break;
      }
    }
    if (!word.empty()) out.push_back(word);
    word.clear();
  };
  const auto apart = [&](std::string_view text) {
    end_word();
    out.emplace_back(text);
  };
  bool after_comma = false;  // NLTK's pattern takes the character after a comma with it
  for (size_t at = 0; at < run.size();) {
    const size_t start = at;
    const char32_t c = utf8::decode(run, at);
    const std::string_view character = run.substr(start, at - start);
    const bool taken = std::exchange(after_comma, false);
    if (utf8::is_space(c)) {
      end_word();
    } else if (kApart.find(character) != std::string_view::npos || (c >= U'‒' && c <= U'―') ||
               character == "‘" || character == "«" || character == "»" || character == "„") {
      apart(character);
    } else if (c == ',' && (at == run.size() || (!taken && !is_digit(run[at])))) {
      apart(character);
      after_comma = true;
    } else if (c == '.') {
      const size_t dots = std::min(run.find_first_not_of('.', start), run.size());
      const bool last = run.find_first_not_of(kClosing, dots) == std::string_view::npos;
      if (dots - start > 1 || (last && start > 0)) {
        apart(run.substr(start, dots - start));
      } else {
        word += '.';
      }
      at = dots;
    } else if (c == '\'' && one_word_character(run.substr(at))) {
      word += '\'';
      end_word();
    } else if (c == '"') {
      const bool opening = start == 0 || std::string_view(" ([{<").find(run[start - 1]) != std::string_view::npos;
      apart(opening ? "``" : "''");
    } else {
      word += character;
    }
  }
  end_word();
}

std::vector<std::string> segments(std::string_view text) {
  const std::string clean = n_zh(text);
  std::vector<std::string> out;
  size_t run = 0;  // begin of the characters since the last Chinese one
  for (size_t position = 0; position < clean.size();) {
    const size_t start = position;
    const char32_t c = utf8::decode(clean, position);
    if (c < 0x4E00 || c > 0x9FA5) continue;
    add_words(std::string_view(clean).substr(run, start - run), out);
    out.push_back(clean.substr(start, position - start));
    run = position;
  }
  add_words(std::string_view(clean).substr(run), out);
  return out;
}

}  // namespace

std::string n_zh(std::string_view text) {
  const std::string lowered = lower(text);
  const std::string_view stripped = utf8::strip(lowered);
  std::string out;
  for (size_t position = 0; position < stripped.size();) {
    const size_t start = position;
    utf8::decode(stripped, position);
    const std::string_view character = stripped.substr(start, position - start);
    if (kPunctuation.find(character) == std::string_view::npos) out += character;
  }
  return out;
}

double cmrc_em(std::string_view prediction, const std::vector<std::string>& golds) {
  const std::string predicted = n_zh(prediction);
  return std::any_of(golds.begin(), golds.end(),
                     [&](const std::string& gold) { return n_zh(gold) == predicted; });
}

double cmrc_f1(std::string_view prediction, const std::vector<std::string>& golds) {
  const auto predicted = segments(prediction);
  double best = 0;
  for (const std::string& gold : golds) {
    const auto wanted = segments(gold);
    // run[j]: length of the common run that ends at wanted[i - 1] and predicted[j - 1].
    std::vector<size_t> run(predicted.size() + 1), next(predicted.size() + 1);
    size_t longest = 0;
    for (const std::string& segment : wanted) {
      for (size_t j = 0; j < predicted.size(); ++j) {
        next[j + 1] = segment == predicted[j] ? run[j] + 1 : 0;
        longest = std::max(longest, next[j + 1]);
      }
      std::swap(run, next);
    }
    if (longest == 0) continue;
    const double common = static_cast<double>(longest);
    const double precision = common / static_cast<double>(predicted.size());
    const double recall = common / static_cast<double>(wanted.size());
    best = std::max(best, 2 * precision * recall / (precision + recall));
  }
  return best;
}

}  // namespace assay::tasks::answers
