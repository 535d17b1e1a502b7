#include "tasks/answers/functions.h"

#include <re2/re2.h>

#include <array>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "tasks/answers/agieval.h"
#include "tasks/answers/latex.h"
#include "tasks/answers/math_verify.h"
#include "tasks/answers/normalise.h"
#include "tasks/answers/opencompass.h"

namespace assay::tasks::answers {
namespace {

using Found = std::optional<std::string>;

std::string without_commas(std::string text) {
  std::erase(text, ',');
  return text;
}

// MATH (task-specs 4.2): four ways in order, then the first line without marks around it.
Found math_answer(std::string_view text, const Fields&) {
  Found found;
  constexpr std::string_view kOpen = "final answer is $", kClose = "$. I hope",
                             kIs = "he answer is";
  // The pair of marks that stand nearest to one another: solutions too speak of "our final answer is $".
  if (const size_t first = text.find(kOpen); first != std::string_view::npos) {
    if (const size_t close = text.find(kClose, first + kOpen.size()); close != std::string_view::npos) {
      const size_t open = text.substr(0, close).rfind(kOpen) + kOpen.size();
      found = std::string(text.substr(open, close - open));
    }
  }
  if (!found) found = last_boxed(text);
  if (!found) {
    if (size_t at = text.rfind(kIs); at != std::string_view::npos) {
      std::string_view rest = text.substr(at + kIs.size());
      found = std::string(rest.substr(0, rest.find('\n')));
    }
  }
  if (!found) found = last_match(without_commas(std::string(text)), R"(-?[0-9]*\.?[0-9]+)");
  if (!found) return found;
  std::string_view answer = *found;
  answer = utf8::strip(answer.substr(0, answer.find('\n')));
  while (answer.starts_with(':')) answer.remove_prefix(1);
  answer = utf8::strip(answer);
  while (answer.ends_with('.') || answer.ends_with('/')) answer.remove_suffix(1);
  return std::string(utf8::strip(answer));
}

// lm-eval's hendrycks_math: between the first and the last dollar sign, or everything.
Found between_dollars(std::string_view text, const Fields&) {
  size_t first = text.find('$'), last = text.rfind('$');
  if (first == last) return std::string(text);
  return std::string(text.substr(first + 1, last - first - 1));
}

constexpr const char* kNumber = R"(-?[0-9][0-9,]*(?:\.[0-9]+)?)";
// Groups of three after '.', ',' or a space, then perhaps decimals.
constexpr const char* kGroupedNumber =
    "-?[0-9]{1,3}(?:[.,\u0020\u00A0\u202F][0-9]{3})+\\b(?:[.,][0-9]+)?|-?[0-9]+(?:[.,][0-9]+)?";

// Without the points and spaces that stand between a digit and a group of exactly three.
std::string without_separators(std::string_view number) {
  const auto digits_at = [&](size_t at) {
    size_t end = at;
    while (end < number.size() && number[end] >= '0' && number[end] <= '9') ++end;
    return end - at;
  };
  std::string out;
  for (size_t at = 0; at < number.size();) {
    if (const size_t digits = digits_at(at)) {
      out += number.substr(at, digits);
      at += digits;
      continue;
    }
    size_t mark = 0;
    for (const std::string_view space : {".", " ", "\u00A0", "\u202F"}) {
      if (number.substr(at).starts_with(space)) mark = space.size();
    }
    const bool between = mark > 0 && at > 0 && digits_at(at + mark) == 3 && number[at - 1] >= '0' &&
                         number[at - 1] <= '9';
    if (!between) out += number.substr(at, std::max<size_t>(mark, 1));
    at += std::max<size_t>(mark, 1);
  }
  return out;
}

Found mgsm_number(std::string_view generated, const Fields& fields) {
  const std::string text = ascii_decimal_digits(generated, U"০౦๐");
  std::string language = fields.text("group"), head = fields.text("phrase_head");
  bool grouped = language == "de" || language == "es" || language == "fr" || language == "ru";
  const char* pattern = grouped ? kGroupedNumber : kNumber;
  Found found;
  if (size_t at = text.rfind(head); at != std::string::npos) {
    found = first_match(std::string_view(text).substr(at + head.size()), pattern);
  }
  if (!found) found = last_match(text, pattern);
  if (!found || !grouped) return found ? Found(without_commas(*found)) : found;
  return without_separators(without_commas(*found));
}

// OpenCompass's MGSM: the last number after the last answer word, nothing without that word.
Found mgsm_opencompass(std::string_view text, const Fields& fields) {
  const std::string word = fields.text("oc_answer_word");
  const size_t at = text.rfind(word);
  if (at == std::string_view::npos) return std::nullopt;
  Found found = last_match(without_commas(std::string(text.substr(at + word.size()))), R"([0-9]+\.?[0-9]*)");
  if (found && found->ends_with('.')) found->pop_back();
  return found;
}

// CMath (task-specs 4.4): the last number of the line after the first 答案是; fractions stay "a/b".
Found cmath_number(std::string_view text, const Fields&) {
  const std::string pattern = R"((-?[0-9][0-9,]*(?:\.[0-9]+)?(?:/[0-9]+)?))";
  constexpr std::string_view kHead = "答案是";
  Found found;
  if (size_t at = text.find(kHead); at != std::string_view::npos) {
    std::string_view rest = text.substr(at + kHead.size());
    found = last_match(rest.substr(0, rest.find('\n')), pattern);
  }
  if (!found) found = last_match(text, pattern);
  return found ? Found(without_commas(*found)) : found;
}

constexpr std::array kFunctions = std::to_array<std::pair<std::string_view, ExtractFunction>>({
    {"agieval", extract_agieval},
    {"agieval_opencompass", extract_agieval_opencompass},
    {"math_answer", math_answer},
    {"math_opencompass",
     [](std::string_view text, const Fields&) { return Found(opencompass_math_answer(text)); }},
    {"between_dollars", between_dollars},
    {"math_verify", [](std::string_view text, const Fields&) { return math_verify_answer(text); }},
    {"mgsm_number", mgsm_number},
    {"mgsm_opencompass", mgsm_opencompass},
    {"cmath_number", cmath_number},
});

}  // namespace

ExtractFunction find_extract_function(std::string_view name, const std::string& where) {
  std::array<std::string_view, kFunctions.size()> names;
  for (size_t i = 0; i < kFunctions.size(); ++i) {
    if (kFunctions[i].first == name) return kFunctions[i].second;
    names[i] = kFunctions[i].first;
  }
  std::string near = nearest_word(name, names.data(), names.size());
  throw_bad_input(
      "no extraction function '" + std::string(name) + "'", where,
      near.empty() ? "tasks/answers/functions.cpp holds them" : "did you mean " + near + "?");
}

}  // namespace assay::tasks::answers
