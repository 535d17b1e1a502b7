#include "tasks/answers/latex.h"

#include <re2/re2.h>

#include <algorithm>
#include <vector>

#include "base/utf8.h"
#include "tasks/answers/minerva_rules.h"
#include "tasks/answers/normalise.h"

namespace assay::tasks::answers {
namespace {

using re2::RE2;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_word(std::string_view text) { return std::all_of(text.begin(), text.end(), is_letter); }

// Deletes `word`, but not inside the name of a \command.
void delete_outside_commands(std::string& text, std::string_view word) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '\\') {
      size_t end = i + 1;
      while (end < text.size() && is_letter(text[end])) ++end;
      end = std::max(end, std::min(i + 2, text.size()));
      out += text.substr(i, end - i);
      i = end;
    } else if (text.compare(i, word.size(), word) == 0) {
      i += word.size();
    } else {
      out += text[i++];
    }
  }
  text = std::move(out);
}

// Deletes `word` where it stands alone and not after a backslash.
void delete_words(std::string& text, const std::string& word) {
  std::string out;
  auto part_of_word = [](char c) { return is_letter(c) || c == '_' || (c >= '0' && c <= '9'); };
  for (size_t i = 0; i < text.size();) {
    bool starts = i == 0 || (!part_of_word(text[i - 1]) && text[i - 1] != '\\');
    size_t end = i + word.size();
    bool ends = end >= text.size() || !part_of_word(text[end]);
    if (starts && ends && text.compare(i, word.size(), word) == 0) {
      i = end;
    } else {
      out += text[i++];
    }
  }
  text = std::move(out);
}

std::string minerva(std::string_view answer, bool lmeval) {
  std::string text(answer.substr(answer.rfind('=') + 1));  // npos + 1 is 0
  if (lmeval) {
    for (std::string_view word : kMinervaRemoved) {
      if (is_word(word)) delete_words(text, std::string(word));
    }
  }
  for (auto [from, to] : kMinervaSubstitutions) utf8::replace_all(text, from, to);
  auto remove = [&](std::string_view expression) {
    if (lmeval && is_word(expression)) {
      delete_outside_commands(text, expression);
    } else {
      utf8::replace_all(text, expression, "");
    }
  };
  for (std::string_view expression : kMinervaRemoved) remove(expression);
  remove("\\dots");
  static const RE2 kMath(R"((.*?)(\$)(.*?)(\$)(.*))"), kText(R"((\\text\{)(.*?)(\}))"),
      kBold(R"((\\textbf\{)(.*?)(\}))"), kOver(R"((\\overline\{)(.*?)(\}))"),
      kBoxed(R"((\\boxed\{)(.*)(\}))"), kFraction("(frac)([^{])(.)"), kRoot("(sqrt)([^{])"),
      kPlainRoot(R"((sqrt)([^{\[]))"), kIndexedRoot(R"((sqrt\[[^\]]*\])(\w))"),
      kThousands("-?[0-9]{1,3}(,[0-9]{3})+");
  RE2::GlobalReplace(&text, kMath, "$\\3$");
  RE2::GlobalReplace(&text, kText, "\\2");
  RE2::GlobalReplace(&text, kBold, "\\2");
  RE2::GlobalReplace(&text, kOver, "\\2");
  RE2::GlobalReplace(&text, kBoxed, "\\2");
  RE2::GlobalReplace(&text, kFraction, "frac{\\2}{\\3}");
  if (lmeval) {
    RE2::GlobalReplace(&text, kIndexedRoot, "\\1{\\2}");
    RE2::GlobalReplace(&text, kPlainRoot, "sqrt{\\2}");
  } else {
    RE2::GlobalReplace(&text, kRoot, "sqrt{\\2}");
  }
  utf8::replace_all(text, "$", "");
  std::string without_commas = text;
  utf8::replace_all(without_commas, ",", "");
  bool digits = !without_commas.empty() &&
                without_commas.find_first_not_of("0123456789") == std::string::npos;
  if (lmeval ? RE2::FullMatch(text, kThousands) : digits) text = without_commas;
  return text;
}

}  // namespace

std::optional<std::string> last_boxed(std::string_view text) {
  // The brace that closes each open one, found once for all candidates: unbalanced text of any
  // length costs one pass.
  std::vector<size_t> closes, open_braces;
  if (text.find("\\boxed") != std::string_view::npos ||
      text.find("\\fbox") != std::string_view::npos) {
    closes.assign(text.size(), std::string_view::npos);
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '{') {
        open_braces.push_back(i);
      } else if (text[i] == '}' && !open_braces.empty()) {
        closes[open_braces.back()] = i;
        open_braces.pop_back();
      }
    }
  }
  for (size_t at = text.size(); at-- > 0;) {
    const std::string_view here = text.substr(at);
    const bool boxed = here.starts_with("\\boxed");
    if (!boxed && !here.starts_with("\\fbox")) continue;
    size_t open = at + (boxed ? 6 : 5);
    if (open < text.size() && text[open] == ' ' && text.compare(open, 2, " {") != 0) {
      std::string_view rest = text.substr(open + 1);
      return std::string(rest.substr(0, rest.find('$')));
    }
    while (open < text.size() && text[open] == ' ') ++open;
    if (open < text.size() && text[open] == '{') {
      if (const size_t close = closes[open]; close != std::string_view::npos) {
        return std::string(text.substr(open + 1, close - open - 1));
      }
    }
  }
  return std::nullopt;
}

std::string minerva_form(std::string_view answer) { return minerva(answer, false); }
std::string minerva_lmeval_form(std::string_view answer) { return minerva(answer, true); }

bool minerva_equal(std::string_view a, std::string_view b) {
  return minerva_form(a) == minerva_form(b);
}

}  // namespace assay::tasks::answers
