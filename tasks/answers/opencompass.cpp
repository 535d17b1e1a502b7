#include "tasks/answers/opencompass.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>

#include "base/utf8.h"
#include "tasks/answers/hendrycks.h"
#include "tasks/answers/minerva_rules.h"
#include "tasks/answers/normalise.h"

namespace assay::tasks::answers {
namespace {

using re2::RE2;

void remove_all(std::string& text, std::string_view what) { utf8::replace_all(text, what, ""); }

// normalize_final_answer: Minerva's rule without the cut at "=", with \le read as "<", and with
// more places where the answer may stand.
std::string normal_form(std::string_view answer) {
  std::string text(answer);
  for (const auto& [from, to] : kMinervaSubstitutions) utf8::replace_all(text, from, to);
  utf8::replace_all(text, "\\le", "<");
  for (const std::string_view what : kMinervaRemoved) remove_all(text, what);
  for (const std::string_view what : {"\\dots", "\n", "\r", "\f"}) remove_all(text, what);

  static const RE2 kParenthesis(R"((\\text\{)\((.*?)\)(\}))"), kText(R"((\\text\{)(.*?)(\}))"),
      kBold(R"((\\textbf\{)(.*?)(\}))"), kOver(R"((\\overline\{)(.*?)(\}))"),
      kBoxed(R"((\\boxed\{)(.*)(\}))"), kFraction("(frac)([^{])(.)"), kRoot("(sqrt)([^{])");
  for (const RE2* wrapper : {&kParenthesis, &kText, &kBold, &kOver, &kBoxed}) {
    RE2::GlobalReplace(&text, *wrapper, "\\2");
  }
  const auto keep_last = [&](const RE2& pattern) {
    re2::StringPiece rest(text);
    std::string found;
    bool any = false;
    while (RE2::FindAndConsume(&rest, pattern, &found)) any = true;
    if (any) text = found;
  };
  static const RE2 kFinal("finalansweris(.*)"), kAnswer("answer?is:?(.*)"),
      kBox(R"(oxed\{(.*?)\})"), kMath(R"(\$(.*?)\$)");
  for (const RE2* place : {&kFinal, &kAnswer, &kBox, &kMath}) keep_last(*place);
  text = std::string(utf8::strip(text));
  if (text.find("rac") != std::string::npos && text.find("\\frac") == std::string::npos) {
    utf8::replace_all(text, "rac", "\\frac");
  }
  RE2::GlobalReplace(&text, kFraction, "frac{\\2}{\\3}");
  RE2::GlobalReplace(&text, kRoot, "sqrt{\\2}");
  remove_all(text, "$");
  std::string digits = text;
  remove_all(digits, ",");
  const bool number =
      !digits.empty() && digits.find_first_not_of("0123456789") == std::string::npos;
  return number ? digits : text;
}

// What Python's int() reads, spaces aside, in ASCII.
bool is_integer(std::string_view text) {
  static const RE2 kInteger("[+-]?[0-9]+(?:_[0-9]+)*");
  return RE2::FullMatch(std::string(utf8::strip(text)), kInteger);
}

// _strip_string_v2; nullopt where it raises (a quotient of what are no integers).
std::optional<std::string> stripped_form(std::string_view answer) {
  std::string text(utf8::strip(answer));
  remove_all(text, "\n");
  while (text.ends_with('.')) text.pop_back();
  for (const std::string_view what : {"\\!", "\\ "}) remove_all(text, what);
  for (int twice = 0; twice < 2; ++twice) utf8::replace_all(text, "\\\\", "\\");
  for (const std::string_view what : {"tfrac", "dfrac"}) utf8::replace_all(text, what, "frac");
  for (const std::string_view what : {"\\left", "\\right"}) remove_all(text, what);
  static const RE2 kUnit(R"(\\text\{.*?\}$)"), kMbox(R"(\\mbox\{.*?\})"),
      kZeros(R"(([0-9]+)\.0+([^0-9]))"), kZerosAtEnd(R"(([0-9]+)\.0+$)"),
      kRoot(R"(\\sqrt([\pL\pN_]+))");
  std::string without_unit = text;
  RE2::GlobalReplace(&without_unit, kUnit, "");
  if (const std::string_view rest = utf8::strip(without_unit); !rest.empty() && rest != text) {
    text = std::string(rest);
  }
  for (const std::string_view what :
       {"^{\\circ}", "^\\circ", "\\$", "$", "\\text", "x\\in", "\\%", "%"}) {
    remove_all(text, what);
  }
  utf8::replace_all(text, " .", " 0.");
  utf8::replace_all(text, "{.", "{0.");
  remove_all(text, "\\cdot");
  utf8::replace_all(text, "infinity", "\\infty");
  if (text.find("\\infty") == std::string::npos) utf8::replace_all(text, "inf", "\\infty");
  utf8::replace_all(text, "+\\inity", "\\infty");  // spelt so there
  for (const std::string_view what : {"and", "\\mathbf"}) remove_all(text, what);
  RE2::GlobalReplace(&text, kMbox, "");
  if (text.find('j') != std::string::npos && text.find('i') == std::string::npos) {
    utf8::replace_all(text, "j", "i");
  }
  RE2::GlobalReplace(&text, kZeros, "\\1\\2");
  RE2::GlobalReplace(&text, kZerosAtEnd, "\\1");
  if (text.empty()) return text;
  if (text[0] == '.') text.insert(0, "0");
  if (const size_t equals = text.find('=');
      equals != std::string::npos && text.find('=', equals + 1) == std::string::npos &&
      utf8::length(std::string_view(text).substr(0, equals)) <= 2) {
    text.erase(0, equals + 1);
  }
  RE2::GlobalReplace(&text, kRoot, R"(\\sqrt{\1})");
  remove_all(text, " ");
  brace_fractions(text);  // where nothing follows \frac, the text stays as it is
  if (const size_t slash = text.find('/');
      slash != std::string::npos && text.find('/', slash + 1) == std::string::npos) {
    const std::string above = text.substr(0, slash), below = text.substr(slash + 1);
    if (!is_integer(above) || !is_integer(below)) return std::nullopt;
    if (is_plain_integer(above) && is_plain_integer(below)) {
      text = "\\frac{" + above + "}{" + below + "}";
    }
  }
  return text;
}

}  // namespace

std::optional<std::string> opencompass_boxed(std::string_view text) {
  constexpr std::string_view kBox = "\\boxed";
  const size_t at = text.rfind(kBox);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = text.substr(at + kBox.size());
  if (!rest.starts_with('{')) return std::nullopt;
  size_t depth = 0;
  for (size_t i = 0; i < rest.size(); ++i) {
    if (rest[i] == '{') ++depth;
    if (rest[i] == '}' && --depth == 0) return std::string(rest.substr(1, i - 1));
  }
  return std::nullopt;
}

std::string opencompass_math_answer(std::string_view text) {
  if (std::optional<std::string> box = opencompass_boxed(text)) {
    static const RE2 kBraces("\\{(.*)\\}\n?");
    if (std::string inside; RE2::FullMatch(*box, kBraces, &inside)) box = inside;
    if (!box->empty()) return *box;
  }
  for (std::string_view rest = text;;) {
    const size_t end = rest.find('.');
    const std::string sentence = lower(rest.substr(0, end));
    if (sentence.find("final answer") != std::string::npos ||
        sentence.find("answer is") != std::string::npos) {
      return normal_form(rest.substr(0, end));
    }
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  return normal_form(text.substr(0, text.find('.')));
}

bool opencompass_math_equal(std::string_view a, std::string_view b) {
  if (const auto x = stripped_form(a), y = stripped_form(b); x && y) {
    if (*x == *y || normal_form(*x) == normal_form(*y)) return true;
  }
  return normal_form(a) == normal_form(b) || a == b;
}

std::string opencompass_program(std::string_view text) {
  static const std::array<RE2, 20> kMarks{
      RE2(R"((?s)\[BEGIN\]\s*'(.*)'\s*\[DONE\])"),
      RE2(R"((?s)BEGIN\s*'(.*)'\s*\[DONE\])"),
      RE2(R"((?s)\[BEGIN\]\s*'(.*)'\s*DONE)"),
      RE2(R"((?s)BEGIN\s*'(.*)'\s*DONE)"),
      RE2(R"((?s)\[BEGIN\]\s*'(.*)\s*\[DONE\])"),
      RE2(R"((?s)BEGIN\s*'(.*)\s*\[DONE\])"),
      RE2(R"((?s)\[BEGIN\]\s*'(.*)\s*DONE)"),
      RE2(R"((?s)BEGIN\s*'(.*)\s*DONE)"),
      RE2(R"((?s)\[BEGIN\]\s*(.*)\s*\[DONE\])"),
      RE2(R"((?s)BEGIN\s*(.*)\s*\[DONE\])"),
      RE2(R"((?s)\[BEGIN\]\s*(.*)\s*DONE)"),
      RE2(R"((?s)BEGIN\s*(.*)\s*DONE)"),
      RE2(R"((?s)```python\s*(.*)\s*```)"),
      RE2(R"((?s)```\s*(.*)\s*```)"),
      RE2(R"((?s)```python\s*(.*)\s*$)"),
      RE2(R"((?s)```\s*(.*)\s*$)"),
      RE2(R"((?s)(.*)\s*```.*)"),
      RE2(R"((?s)\[BEGIN\]\s*'(.*))"),
      RE2(R"((?s)\[BEGIN\](.*))"),
      RE2(R"((?s)'(.*)'\s*\[DONE\])"),
  };
  std::string program(text);
  for (const RE2& mark : kMarks) {
    if (std::string inside;
        RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), mark, &inside)) {
      program = inside;
      break;
    }
  }
  program.resize(std::min(program.find("```"), program.size()));
  static const RE2 kDone(R"(('?\s*\[?DONE\]?))");
  if (re2::StringPiece match; RE2::PartialMatch(program, kDone, &match)) {
    program.resize(static_cast<size_t>(match.data() - program.data()));
  }
  utf8::replace_all(program, "\\_", "_");
  return std::string(utf8::strip(program));
}

}  // namespace assay::tasks::answers
