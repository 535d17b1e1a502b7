#include "tasks/answers/drop.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>

#include "base/json.h"
#include "base/utf8.h"
#include "tasks/answers/normalise.h"

namespace assay::tasks::answers {
namespace {

// What Python's float() makes of the text.
std::optional<double> python_float(std::string_view text) {
  const std::string ascii = ascii_decimal_digits(utf8::strip(text));
  text = ascii;
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      digits += text[i];
      continue;
    }
    // Underscores may stand between two digits only.
    const auto digit = [&](size_t at) {
      return at < text.size() && text[at] >= '0' && text[at] <= '9';
    };
    if (i == 0 || !digit(i - 1) || !digit(i + 1)) return std::nullopt;
  }
  std::string_view body = digits;
  const bool negative = body.starts_with('-');
  if (negative || body.starts_with('+')) body.remove_prefix(1);
  const std::string word = lower(body);
  double value = 0;
  if (word == "inf" || word == "infinity") {
    value = HUGE_VAL;
  } else if (word == "nan") {
    value = NAN;
  } else {
    if (body.empty() || (body[0] != '.' && (body[0] < '0' || body[0] > '9'))) return std::nullopt;
    const auto r = std::from_chars(body.data(), body.data() + body.size(), value);
    if (r.ptr != body.data() + body.size() || r.ec == std::errc::invalid_argument) {
      return std::nullopt;
    }
    if (r.ec == std::errc::result_out_of_range)
      value = std::strtod(std::string(body).c_str(), nullptr);
  }
  return negative ? -value : value;
}

// repr(float): shortest digits, fixed for exponents -4 to 15, otherwise d.ddde+XX.
std::string python_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 32> buffer{};
  auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                           std::chars_format::scientific)
                 .ptr;
  const std::string scientific(buffer.data(), end);
  const int exponent = std::stoi(scientific.substr(scientific.find('e') + 1));
  if (exponent < -4 || exponent >= 16) return scientific;
  // Fixed notation of a whole number beyond 2^53 has digits that the shortest form does not know;
  // Python pads with zeros, which to_chars(fixed) equals only for the shortest digits.
  std::string mantissa = scientific.substr(0, scientific.find('e'));
  const std::string sign = mantissa.starts_with('-') ? "-" : "";
  std::erase(mantissa, '-');
  std::erase(mantissa, '.');
  if (exponent < 0)
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + mantissa;
  const size_t whole = static_cast<size_t>(exponent) + 1;
  if (mantissa.size() <= whole) {
    return sign + mantissa + std::string(whole - mantissa.size(), '0') + ".0";
  }
  return sign + mantissa.substr(0, whole) + "." + mantissa.substr(whole);
}

using Bag = std::set<std::string>;

Bag bag_of(const std::string& normal) {
  Bag bag;
  for (const std::string_view word : words(normal)) bag.emplace(word);
  return bag;
}

double bag_f1(const Bag& predicted, const Bag& gold) {
  bool gold_has_number = false, number_found = false;
  size_t common = 0;
  for (const std::string& word : gold) {
    const bool in_both = predicted.contains(word);
    common += in_both;
    if (is_python_float(word)) {
      gold_has_number = true;
      number_found |= in_both;
    }
  }
  if (gold_has_number && !number_found) return 0;
  const double precision =
      predicted.empty() ? 1 : static_cast<double>(common) / static_cast<double>(predicted.size());
  const double recall =
      gold.empty() ? 1 : static_cast<double>(common) / static_cast<double>(gold.size());
  return precision + recall == 0 ? 0 : 2 * precision * recall / (precision + recall);
}

std::vector<std::string> spans_of(const std::string& gold) {
  const json::Document document = json::Document::parse(gold, "DROP answer");
  return document.root().strings();
}

}  // namespace

bool is_python_float(std::string_view text) { return python_float(text).has_value(); }

std::string drop_normal_form(std::string_view span) {
  std::string out;
  for (size_t begin = 0; begin <= span.size();) {
    const size_t end = std::min(span.find_first_of(" -", begin), span.size());
    std::string token = lower(span.substr(begin, end - begin));
    begin = end + 1;
    if (!is_python_float(token)) token = without_ascii_punctuation(token);
    if (const auto number = python_float(token)) token = python_repr(*number);
    const std::string kept = without_articles(token);  // outlives the views into it
    for (const std::string_view word : words(kept)) {
      if (!out.empty()) out += ' ';
      out += word;
    }
  }
  return out;
}

std::string drop_text(const std::string& gold) {
  std::string text;
  for (const std::string& span : spans_of(gold)) text += (text.empty() ? "" : ", ") + span;
  return text;
}

double drop_em(std::string_view prediction, const std::vector<std::string>& golds) {
  const std::string predicted = drop_normal_form(prediction);
  for (const std::string& gold : golds) {
    const auto spans = spans_of(gold);
    if (spans.size() == 1 && drop_normal_form(spans[0]) == predicted) return 1;
  }
  return 0;
}

// The authors align predicted and gold spans one to one and average over the larger number of
// spans. With one predicted span the best alignment is its best gold span.
double drop_f1(std::string_view prediction, const std::vector<std::string>& golds) {
  const Bag predicted = bag_of(drop_normal_form(prediction));
  double best = 0;
  for (const std::string& gold : golds) {
    const auto spans = spans_of(gold);
    double aligned = 0;
    for (const std::string& span : spans) {
      aligned = std::max(aligned, bag_f1(predicted, bag_of(drop_normal_form(span))));
    }
    const double f1 = spans.empty() ? 0 : aligned / static_cast<double>(spans.size());
    best = std::max(best, std::nearbyint(f1 * 100) / 100);
  }
  return best;
}

}  // namespace assay::tasks::answers
