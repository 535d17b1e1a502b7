#include "tasks/answers/hendrycks.h"

#include <charconv>
#include <vector>

#include "base/utf8.h"

namespace assay::tasks::answers {
namespace {

std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + separator.size());
  }
}

// The first character, taken off; the authors' script works on code points.
std::string_view take_character(std::string_view& text) {
  size_t end = 0;
  utf8::decode(text, end);
  const std::string_view first = text.substr(0, end);
  text.remove_prefix(end);
  return first;
}

// \sqrt3 -> \sqrt{3}; false where nothing follows \sqrt.
bool brace_roots(std::string& text) {
  const auto parts = split(text, "\\sqrt");
  std::string out(parts[0]);
  for (size_t i = 1; i < parts.size(); ++i) {
    std::string_view part = parts[i];
    if (part.empty()) return false;
    out += "\\sqrt";
    if (part[0] != '{') {
      out += '{';
      out += take_character(part);
      out += '}';
    }
    out += part;
  }
  text = std::move(out);
  return true;
}

}  // namespace

bool brace_fractions(std::string& text) {
  const auto parts = split(text, "\\frac");
  std::string out(parts[0]);
  for (size_t i = 1; i < parts.size(); ++i) {
    std::string_view part = parts[i];
    if (part.empty()) return false;
    out += "\\frac";
    if (part[0] != '{') {
      const std::string_view numerator = take_character(part);
      if (part.empty()) return true;
      const std::string_view denominator = take_character(part);
      out += '{' + std::string(numerator) + '}';
      out += denominator == "{" ? std::string(denominator) : '{' + std::string(denominator) + '}';
    }
    out += part;
  }
  text = std::move(out);
  return true;
}

bool is_plain_integer(std::string_view text) {
  const bool negative = text.starts_with('-');
  const std::string_view digits = text.substr(negative ? 1 : 0);
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos) {
    return false;
  }
  return digits.size() == 1 ? !negative || digits != "0" : digits[0] != '0';
}

std::optional<std::string> hendrycks_normal_form(std::string_view input) {
  std::string text(input);
  utf8::replace_all(text, "\n", "");
  utf8::replace_all(text, "\\!", "");
  utf8::replace_all(text, "\\\\", "\\");
  utf8::replace_all(text, "tfrac", "frac");
  utf8::replace_all(text, "dfrac", "frac");
  utf8::replace_all(text, "\\left", "");
  utf8::replace_all(text, "\\right", "");
  utf8::replace_all(text, "^{\\circ}", "");
  utf8::replace_all(text, "^\\circ", "");
  utf8::replace_all(text, "\\$", "");
  if (const auto parts = split(text, "\\text{ "); parts.size() > 1) {
    if (parts.size() > 2) return std::nullopt;
    text = std::string(parts[0]);
  }
  utf8::replace_all(text, "\\%", "");
  utf8::replace_all(text, " .", " 0.");
  utf8::replace_all(text, "{.", "{0.");
  if (text.empty()) return text;
  if (text[0] == '.') text.insert(0, "0");
  if (const auto sides = split(text, "="); sides.size() == 2 && utf8::length(sides[0]) <= 2) {
    text = std::string(sides[1]);
  }
  if (!brace_roots(text)) return std::nullopt;
  utf8::replace_all(text, " ", "");
  if (!brace_fractions(text)) return std::nullopt;
  if (text == "0.5") text = "\\frac{1}{2}";
  if (const auto parts = split(text, "/");
      parts.size() == 2 && is_plain_integer(parts[0]) && is_plain_integer(parts[1])) {
    text = "\\frac{" + std::string(parts[0]) + "}{" + std::string(parts[1]) + "}";
  }
  return text;
}

bool hendrycks_equal(std::string_view a, std::string_view b) {
  const auto x = hendrycks_normal_form(a), y = hendrycks_normal_form(b);
  return x && y ? *x == *y : a == b;
}

}  // namespace assay::tasks::answers
