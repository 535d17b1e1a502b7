// LiveCodeBench's comparison of standard output (task-specs 5.3).
#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "tasks/program.h"

namespace assay::tasks {

namespace {

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  text = utf8::strip(text);
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(utf8::strip(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return lines;
}

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> out;
  for (size_t begin = line.find_first_not_of(" \t"); begin != std::string_view::npos;) {
    const size_t end = std::min(line.find_first_of(" \t", begin), line.size());
    out.push_back(line.substr(begin, end - begin));
    begin = line.find_first_not_of(" \t", end);
  }
  return out;
}

// A plain decimal number with sign, leading and trailing zeros removed, so that equal values are
// equal strings; empty if it is none.
std::string canonical_decimal(std::string_view word) {
  bool negative = false;
  if (!word.empty() && (word[0] == '-' || word[0] == '+')) {
    negative = word[0] == '-';
    word.remove_prefix(1);
  }
  const size_t dot = word.find('.');
  std::string_view whole = word.substr(0, dot);
  std::string_view fraction = dot == std::string_view::npos ? "" : word.substr(dot + 1);
  constexpr std::string_view kDigits = "0123456789";
  if (whole.empty() && fraction.empty()) return {};
  if (whole.find_first_not_of(kDigits) != std::string_view::npos ||
      fraction.find_first_not_of(kDigits) != std::string_view::npos) {
    return {};
  }
  whole.remove_prefix(std::min(whole.find_first_not_of('0'), whole.size()));
  fraction = fraction.substr(0, fraction.find_last_not_of('0') + 1);
  const bool zero = whole.empty() && fraction.empty();
  return std::string(negative && !zero ? "-" : "+") + std::string(whole) + "." +
         std::string(fraction);
}

bool equal_as_numbers(std::string_view a, std::string_view b) {
  const auto left = words(a), right = words(b);
  if (left.size() != right.size()) return false;
  for (size_t k = 0; k < left.size(); ++k) {
    const std::string value = canonical_decimal(left[k]);
    if (value.empty() || value != canonical_decimal(right[k])) return false;
  }
  return true;
}

}  // namespace

bool stdout_matches(std::string_view output, std::string_view expected) {
  const auto left = split_lines(output), right = split_lines(expected);
  if (left.size() != right.size()) return false;
  for (size_t k = 0; k < left.size(); ++k) {
    if (left[k] != right[k] && !equal_as_numbers(left[k], right[k])) return false;
  }
  return true;
}

}  // namespace assay::tasks
