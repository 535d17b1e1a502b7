#include "tasks/answers/normalise.h"

#include <re2/re2.h>
#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/utf8.h"

namespace assay::tasks::answers {
namespace {

bool is_punctuation(char c) { return kAsciiPunctuation.find(c) != std::string_view::npos; }

// Python's " ".join(text.split()).
std::string collapsed(std::string_view text) {
  std::string out;
  for (std::string_view word : words(text)) {
    if (!out.empty()) out += ' ';
    out += word;
  }
  return out;
}

}  // namespace

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> out;
  size_t begin = std::string_view::npos;
  for (size_t position = 0; position < text.size();) {
    size_t start = position;
    bool space = utf8::is_space(utf8::decode(text, position));
    if (!space && begin == std::string_view::npos) begin = start;
    if (space && begin != std::string_view::npos) {
      out.push_back(text.substr(begin, start - begin));
      begin = std::string_view::npos;
    }
  }
  if (begin != std::string_view::npos) out.push_back(text.substr(begin));
  return out;
}

namespace {

bool is_cased(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT;
}

}  // namespace

std::string lower(std::string_view text) {
  std::string out;
  bool in_word = false;  // the character before is a cased letter
  for (size_t position = 0; position < text.size();) {
    size_t start = position;
    bool valid = true;
    char32_t c = utf8::decode(text, position, &valid);
    const bool word_before = std::exchange(in_word, valid && is_cased(c));
    if (valid && c == 0x130) {
      out += "i\u0307";  // the one letter whose lower case is two
    } else if (valid && c == U'Σ' && word_before) {
      size_t next = position;
      out += next < text.size() && is_cased(utf8::decode(text, next)) ? "σ" : "ς";
    } else if (valid) {
      utf8::append(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    } else {
      out += text[start];
    }
  }
  return out;
}

std::string ascii_decimal_digits(std::string_view text, std::u32string_view zeros) {
  const auto is_digit = [](char32_t c) {
    return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_ND;
  };
  std::string out;
  for (size_t position = 0; position < text.size();) {
    const size_t start = position;
    char32_t c = utf8::decode(text, position);
    if (position - start == 1 || !is_digit(c)) {
      out += text.substr(start, position - start);
      continue;
    }
    // Each script's digits are ten code points from its zero on; some such runs adjoin.
    char32_t zero = c;
    while (is_digit(zero - 1)) --zero;
    const char32_t digit = (c - zero) % 10;
    if (!zeros.empty() && zeros.find(c - digit) == std::u32string_view::npos) {
      out += text.substr(start, position - start);
    } else {
      out += static_cast<char>('0' + digit);
    }
  }
  return out;
}

bool is_word_character(char32_t c) {
  if (c == '_') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return true;
    default:
      return false;
  }
}

// Python's \b counts letters of every script as word characters; RE2's only ASCII. Articles are
// therefore cut between code points that are neither letters, digits nor '_'.
std::string without_articles(std::string_view text) {
  std::string out;
  for (size_t position = 0; position < text.size();) {
    size_t start = position;
    if (!is_word_character(utf8::decode(text, position))) {
      out += text.substr(start, position - start);
      continue;
    }
    size_t end = position;
    while (end < text.size()) {
      size_t next = end;
      if (!is_word_character(utf8::decode(text, next))) break;
      end = next;
    }
    std::string_view word = text.substr(start, end - start);
    if (word == "a" || word == "an" || word == "the") {
      out += ' ';
    } else {
      out += word;
    }
    position = end;
  }
  return out;
}

std::string without_ascii_punctuation(std::string_view text) {
  std::string out;
  std::copy_if(text.begin(), text.end(), std::back_inserter(out),
               [](char c) { return !is_punctuation(c); });
  return out;
}

std::string n_squad(std::string_view text) {
  return collapsed(without_articles(without_ascii_punctuation(lower(text))));
}

std::string n_trivia(std::string_view text) {
  static const re2::RE2 kQuotes("[‘’´`]");
  std::string out(text);
  std::replace(out.begin(), out.end(), '_', ' ');
  out = lower(out);
  std::replace_if(out.begin(), out.end(), is_punctuation, ' ');
  re2::RE2::GlobalReplace(&out, kQuotes, " ");
  return collapsed(without_articles(out));
}

std::string n_opencompass(std::string_view text) {
  text = text.substr(0, text.find_first_of("\n.,"));
  std::string kept;
  for (size_t position = 0; position < text.size();) {
    const size_t start = position;
    const char32_t c = utf8::decode(text, position);
    if (is_word_character(c) || utf8::is_space(c)) kept += text.substr(start, position - start);
  }
  return collapsed(without_articles(lower(kept)));
}

std::string without_number_marks(std::string_view text) {
  static const re2::RE2 kMarks("[,$€£¥\\s]");
  std::string out(text);
  re2::RE2::GlobalReplace(&out, kMarks, "");
  if (out.ends_with('.')) out.pop_back();
  return out;
}

std::optional<double> parse_number(std::string_view text) {
  static const re2::RE2 kNumber(R"([+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+))");
  std::string marks_gone = without_number_marks(text);
  if (!re2::RE2::FullMatch(marks_gone, kNumber)) return std::nullopt;
  std::string_view digits = marks_gone;
  if (digits.front() == '+') digits.remove_prefix(1);
  double value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  // Too large or too small for a double: no comparison within 1e-6 is possible.
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

bool same_number(std::string_view a, std::string_view b) {
  std::optional<double> x = parse_number(a), y = parse_number(b);
  return x && y && std::abs(*x - *y) < 1e-6;
}

double bag_f1(std::string_view prediction, std::string_view gold) {
  std::vector<std::string_view> p = words(prediction), g = words(gold);
  if (p.empty() || g.empty()) return p.empty() && g.empty() ? 1 : 0;
  std::sort(p.begin(), p.end());
  std::sort(g.begin(), g.end());
  std::vector<std::string_view> common;
  std::set_intersection(p.begin(), p.end(), g.begin(), g.end(), std::back_inserter(common));
  if (common.empty()) return 0;
  double precision = static_cast<double>(common.size()) / static_cast<double>(p.size());
  double recall = static_cast<double>(common.size()) / static_cast<double>(g.size());
  return 2 * precision * recall / (precision + recall);
}

}  // namespace assay::tasks::answers
