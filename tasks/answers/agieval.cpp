#include "tasks/answers/agieval.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/utf8.h"
#include "tasks/answers/hendrycks.h"
#include "tasks/answers/latex.h"
#include "tasks/answers/normalise.h"

namespace assay::tasks::answers {
namespace {

std::string letters_of(std::string_view text) {
  std::set<char> letters;
  for (const char c : text) {
    if (c >= 'A' && c <= 'F') letters.insert(c);
  }
  return {letters.begin(), letters.end()};
}

std::optional<std::string> cloze(std::string_view text) {
  if (auto boxed = last_boxed(text)) return boxed;
  if (const size_t open = text.find('$'); open != std::string_view::npos) {
    if (const size_t close = text.find('$', open + 1); close != std::string_view::npos) {
      return std::string(text.substr(open + 1, close - open - 1));
    }
  }
  std::string_view line = utf8::strip(text.substr(0, text.find('\n')));
  for (const std::string_view mark : {".", "。"}) {
    if (line.ends_with(mark)) {
      line.remove_suffix(mark.size());
      break;
    }
  }
  if (line.empty()) return std::nullopt;
  return std::string(utf8::strip(line));
}

}  // namespace

std::optional<std::string> extract_agieval(std::string_view text, const Fields& fields) {
  const std::string& kind = fields.string("kind");
  if (kind == "cloze") return cloze(text);
  const std::string letters = letters_of(text);
  if (letters.empty()) return std::nullopt;
  if (kind == "multi") return letters;
  return std::string(1, text[text.find_first_of("ABCDEF")]);
}

double score_agieval(std::string_view prediction, const std::vector<std::string>& golds,
                     const Fields& fields) {
  const std::string& kind = fields.string("kind");
  return std::any_of(golds.begin(), golds.end(), [&](const std::string& gold) {
    if (kind == "cloze") {
      // Golds are written with or without dollar signs.
      std::string_view inside = gold;
      if (inside.size() >= 2 && inside.starts_with('$') && inside.ends_with('$')) {
        inside = inside.substr(1, inside.size() - 2);
      }
      return hendrycks_equal(prediction, inside) || hendrycks_equal(prediction, gold);
    }
    return kind == "multi" ? letters_of(prediction) == letters_of(gold) : prediction == gold;
  });
}

namespace {

std::string after_last_equals(std::string_view text) {
  const size_t at = text.rfind('=');
  if (at == std::string_view::npos) return std::string(text);
  text.remove_prefix(at + 1);
  while (text.starts_with(' ')) text.remove_prefix(1);
  return std::string(text);
}

// The inside of the last \boxed, which must be complete and have its brace at once.
std::optional<std::string> inside_last_box(std::string_view text) {
  constexpr std::string_view kOpen = "\\boxed{";
  text.remove_prefix(text.rfind("\\boxed"));
  if (!text.starts_with(kOpen)) return std::nullopt;
  int open = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '{') ++open;
    if (text[at] == '}' && --open == 0) return after_last_equals(text.substr(kOpen.size(), at - kOpen.size()));
  }
  return std::nullopt;
}

// The last match of (?:\$)?\d+(?:\.\d+)?(?![\w\d]): a number that no letter or digit follows.
std::optional<std::string> last_number(std::string_view text) {
  const auto digits_end = [&](size_t at) {
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
    return at;
  };
  const auto word_follows = [&](size_t at) {
    return at < text.size() && is_word_character(utf8::decode(text, at));
  };
  std::optional<std::string> last;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at + (text[at] == '$' ? 1 : 0);
    const size_t whole = digits_end(begin);
    if (whole == begin) {
      ++at;
      continue;
    }
    size_t end = whole;
    if (end < text.size() && text[end] == '.' && digits_end(end + 1) > end + 1) {
      const size_t fraction = digits_end(end + 1);
      if (!word_follows(fraction)) end = fraction;
    }
    if (end == whole && word_follows(whole)) {
      at = whole;  // a shorter number would be followed by a digit
      continue;
    }
    last = std::string(text.substr(at, end - at));
    at = end;
  }
  return last;
}

}  // namespace

std::optional<std::string> parse_math_answer(std::string_view text) {
  for (const std::string_view prefix : {"The answer is therefore", "答案是"}) {
    if (const size_t at = text.rfind(prefix); at != std::string_view::npos) {
      const bool leads = text.starts_with(prefix);
      text = utf8::strip(text.substr((leads ? 0 : at) + prefix.size()));
    }
  }
  if (text.find("\\boxed") != std::string_view::npos) return inside_last_box(text);
  std::optional<std::string> dollars;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    const size_t open = line.find('$'), close = line.rfind('$');
    if (open != std::string_view::npos && close > open) {
      dollars = after_last_equals(line.substr(open + 1, close - open - 1));
    }
  }
  if (dollars && !dollars->empty()) return dollars;
  if (text.find('=') != std::string_view::npos) {
    std::string answer = after_last_equals(text);
    while (answer.ends_with('.')) answer.pop_back();
    return answer.substr(0, answer.find("\\n"));
  }
  return last_number(text);
}

std::optional<std::string> extract_agieval_opencompass(std::string_view text, const Fields& fields) {
  if (fields.string("kind") == "cloze") return parse_math_answer(text);
  const size_t begin = text.find_first_of("ABCD");
  if (begin == std::string_view::npos) return std::nullopt;
  const size_t end = std::min(text.find_first_not_of("ABCD", begin), text.size());
  return std::string(text.substr(begin, end - begin));
}

double score_agieval_math(std::string_view prediction, const std::vector<std::string>& golds) {
  const auto answer = parse_math_answer(prediction);
  return std::any_of(golds.begin(), golds.end(), [&](const std::string& gold) {
    const auto wanted = parse_math_answer(gold);
    return answer && wanted ? hendrycks_equal(*answer, *wanted) : !answer && !wanted;
  });
}

}  // namespace assay::tasks::answers
