#include "tasks/answers/math_verify.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "base/utf8.h"
#include "tasks/answers/latex.h"
#include "tasks/answers/math_verify_places.h"
#include "tasks/answers/normalise.h"

namespace assay::tasks::answers {
namespace {

using re2::RE2;
using re2::StringPiece;
using std::string_view;

constexpr size_t kNone = string_view::npos;

// Words for units at the end of an answer are dropped, two of them, with their plural.
constexpr const char* kUnits =
    "feet|digit|pound|meal|edge|student|children ticket|multiple|east|degree|mph|kmph|ft|m square|sq m|deg|mile|prime|"
    "ratio|rd|o|gm|lb|tile|per|dm|lt|gain|ab|way|west|t|h|no change|men|soldier|pie|bc|excess|st|inches|noon|cent|by|gal|"
    "kmh|c|acre|rise|th|sq|mark|l|toy|coin|gallon|profit|yr|women|am|pm|hr|square|are|rupee|rounds|cubic|cc|mtr|s|ohm|"
    "number|day|hour|minute|min|second|man|woman|sec|cube|mt|hectare|more|unit|rs|kg|g|month|km|m|cm|mm|apple|liter|loss|"
    "yard|pure|year|increase|decrease|d|less|litre|metre|meter|inch";

std::string normal(string_view answer) {
  std::string text = boxed(answer, true);
  const auto replace = [&](string_view from, string_view to) { utf8::replace_all(text, from, to); };
  for (const char* size : {"\\left", "\\right"}) {
    for (const char* mark : {"\\{", "\\}", "\\|", "|", "[", "]", "(", ")"}) replace(std::string(size) + mark, mark);
  }
  static const RE2 kRemoved(R"(\\mathrm\{th\}|\\!\s*|\\text\s*\{\s*\}|\\\$|\$|"|'|\\displaystyle)"),
      kText(R"(\\(?:math(?:rm|it|bf)|text(?:normal|bf|it|rm)))"), kFraction(R"(\\(?:d|t|c)frac)"),
      kPoint(R"((^|\s|\{)\.([0-9]))"), kComma(R"(\s*\{\s*,\s*\}\s*)"),
      kAnd(R"((^|[^a-zA-Z\\])(?:,?\s*)(?:and|or)([^a-zA-Z]|$))"), kAndText(R"(,?\s*\\text\{\s*(?:and|or)\s*\})"),
      kDots(R"(,?\\ldots)"), kPercent(R"(\\text\{(?:percent|percentage|pct)\}|\s*\b(?:percent|percentage|pct)\b)"),
      kSlashes(R"(\\\\([a-zA-Z]))"), kUnitText(R"(^(.*\S.*?)\\(?:text|mbox)\{[^{}]*\}(?:\^[0-9]|\{\^[0-9]\})?$)"),
      kUnitWord(std::string(R"(^(.*(?:[0-9]|\}|\s))\s*(?:)") + kUnits + R"()(?:s|es)?\s*$)"),
      kShortFraction(R"(\\frac\s?([0-9])\s?([0-9]))"), kPower(R"(\^\s?\(([^()]*)\))"), kRoot(R"(sqrt\s?\(([^()]*)\))");
  RE2::GlobalReplace(&text, kRemoved, "");
  RE2::GlobalReplace(&text, kText, "\\\\text");
  RE2::GlobalReplace(&text, kFraction, "\\\\frac");
  RE2::GlobalReplace(&text, kPoint, "\\10.\\2");
  RE2::GlobalReplace(&text, kComma, ",");
  RE2::GlobalReplace(&text, kAndText, ",");
  RE2::GlobalReplace(&text, kAnd, "\\1,\\2");
  RE2::GlobalReplace(&text, kDots, " ");
  RE2::GlobalReplace(&text, kPercent, "\\\\%");
  replace("infinity", "\\infty");
  replace("\n", " ");
  replace("\t", " ");
  replace("\\ ", " ");
  if (text.find("matrix") == kNone) RE2::GlobalReplace(&text, kSlashes, "\\\\\\1");
  text = std::string(utf8::strip(text));
  std::string rest;
  if (RE2::FullMatch(text, kUnitText, &rest) && !utf8::strip(rest).empty()) text = utf8::strip(rest);
  for (int i = 0; i < 2; ++i) {
    if (RE2::FullMatch(text, kUnitWord, &rest) && !utf8::strip(rest).empty()) text = utf8::strip(rest);
  }
  RE2::GlobalReplace(&text, kShortFraction, "\\\\frac{\\1}{\\2}");
  RE2::GlobalReplace(&text, kPower, "^{\\1}");
  RE2::GlobalReplace(&text, kRoot, "sqrt{\\1}");
  return std::string(utf8::strip(text));
}

// A full stop after anything but a digit is no mathematics to the package: such an answer is a text.
bool is_text_only(string_view answer) {
  return answer.ends_with('.') && (answer.size() < 2 || !std::isdigit(static_cast<unsigned char>(answer[answer.size() - 2])));
}

// The parts between `marks` that stand in no bracket; `found` gets which marks they were.
std::vector<std::string> parts(string_view text, const std::vector<string_view>& marks,
                               std::vector<string_view>* found = nullptr) {
  std::vector<std::string> out(1);
  int depth = 0;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '(' || c == '[' || c == '{') ++depth;
    if (c == ')' || c == ']' || c == '}') --depth;
    const auto mark = std::ranges::find_if(marks, [&](string_view m) {
      if (!text.substr(i).starts_with(m)) return false;
      const size_t end = i + m.size();
      return m[0] != '\\' || end == text.size() || !std::isalpha(static_cast<unsigned char>(text[end]));
    });
    if (depth == 0 && mark != marks.end()) {
      if (found) found->push_back(*mark);
      out.emplace_back();
      i += mark->size();
    } else {
      out.back() += text[i++];
      if (c == '\\' && i < text.size()) out.back() += text[i++];
    }
  }
  for (std::string& part : out) part = utf8::strip(part);
  return out;
}

// A thousands comma is no separator of a list.
std::vector<std::string> list_of(string_view text) {
  static const RE2 kGroup(R"(([0-9]),([0-9]{3})(\b|$))");
  std::string joined(text);
  static const RE2 kNumber(R"(-?[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]+)?)");
  if (RE2::FullMatch(joined, kNumber)) std::erase(joined, ',');
  return parts(joined, {",", ";"});
}

// The name that a \text{...} or a word of letters is; "" for anything else.
std::string name_of(string_view answer) {
  static const RE2 kText(R"(\(?\\text\s*\{\s*\(?([^{}()]*)\)?\s*\}\)?)"), kWord(R"(\(?([A-Za-z]+)\)?)");
  const StringPiece piece(answer.data(), answer.size());
  std::string name;
  if (!RE2::FullMatch(piece, kText, &name) && !RE2::FullMatch(piece, kWord, &name)) return "";
  std::erase(name, ' ');
  return lower(name);
}

bool has_decimal(string_view text) {
  static const RE2 kDecimal(R"([0-9]\.[0-9]|\.[0-9])");
  return RE2::PartialMatch(StringPiece(text.data(), text.size()), kDecimal);
}

// Decimals are rounded to six places, everything else must agree.
bool same_value(const std::string& a, const std::string& b) {
  const Tolerance tolerance{.relative = 1e-9, .absolute = has_decimal(a) || has_decimal(b) ? 5e-7 : 0};
  return numerically_equal(a, b, tolerance);
}

bool equal(std::string gold, std::string prediction, int depth);

bool all_equal(const std::vector<std::string>& a, const std::vector<std::string>& b, int depth) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [&](const auto& x, const auto& y) {
           return equal(x, y, depth + 1);
         });
}

// As sets: an element that stands there twice counts once.
bool same_set(const std::vector<std::string>& a, const std::vector<std::string>& b, int depth) {
  constexpr size_t kMost = 64;  // every element is compared with every other
  if (std::max(a.size(), b.size()) > kMost) return a == b;
  const auto all_in = [&](const auto& some, const auto& others, bool turned) {
    return std::ranges::all_of(some, [&](const std::string& x) {
      return std::ranges::any_of(others, [&](const std::string& y) {
        return turned ? equal(y, x, depth + 1) : equal(x, y, depth + 1);
      });
    });
  };
  return all_in(a, b, false) && all_in(b, a, true);
}

struct Brackets {
  char open = 0, close = 0;
  std::vector<std::string> elements;
};

// (a, b), [a, b) and the like with two or more elements, \{a\} and lists without brackets.
Brackets brackets_of(string_view text) {
  Brackets made;
  const auto whole = [&](size_t open, size_t close) {
    int level = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      if (std::string_view("([{").find(text[i]) != kNone) ++level;
      if (std::string_view(")]}").find(text[i]) != kNone && --level == 0) return i + close == text.size();
      if (level == 0 && i >= open) return false;
    }
    return false;
  };
  if (text.starts_with("\\{") && text.ends_with("\\}")) {
    made = {'{', '}', list_of(text.substr(2, text.size() - 4))};
  } else if (text.size() > 2 && (text[0] == '(' || text[0] == '[') && (text.back() == ')' || text.back() == ']') &&
             whole(1, 1)) {
    std::vector<std::string> elements = parts(text.substr(1, text.size() - 2), {","});
    if (elements.size() > 1) made = {text[0], text.back(), elements};
  }
  if (!made.open) made.elements = list_of(text);
  return made;
}

struct Relation {
  std::vector<std::string> sides;
  std::vector<char> signs;  // '=', '<', '>', 'l' (at most), 'g' (at least)
};

Relation relation_of(string_view text) {
  Relation made;
  std::vector<string_view> marks;
  made.sides = parts(text, {"\\leq", "\\geq", "\\le", "\\ge", "\\lt", "\\gt", "\\in", "<=", ">=", "≤", "≥", "<", ">", "="}, &marks);
  for (const string_view mark : marks) {
    const bool less = mark == "\\leq" || mark == "\\le" || mark == "<=" || mark == "≤",
               greater = mark == "\\geq" || mark == "\\ge" || mark == ">=" || mark == "≥";
    made.signs.push_back(less ? 'l' : greater ? 'g' : mark == "\\lt" ? '<' : mark == "\\gt" ? '>' : mark == "\\in" ? '=' : mark[0]);
  }
  return made;
}

bool is_equation(const Relation& relation) {
  return !relation.signs.empty() && std::ranges::all_of(relation.signs, [](char c) { return c == '='; });
}

bool is_name(const std::string& side) {
  static const RE2 kName(R"([A-Za-z](?:_\{?\w+\}?)?|\\[a-z]+|[A-Za-z]\([A-Za-z]\)|[A-Za-z](?:\s*[A-Za-z])*)");
  return RE2::FullMatch(side, kName);
}

char flipped(char sign) {
  switch (sign) {
    case '<': return '>';
    case '>': return '<';
    case 'l': return 'g';
    case 'g': return 'l';
    default: return sign;
  }
}

std::string difference(const std::string& a, const std::string& b) { return "(" + a + ")-(" + b + ")"; }

bool same_relation(Relation gold, Relation prediction, int depth) {
  const auto shorten = [](Relation& relation) {  // a chain of assignments: the first name, the last value
    if (is_equation(relation) && is_name(relation.sides.front())) {
      relation = {{relation.sides.front(), relation.sides.back()}, {'='}};
    }
  };
  shorten(gold);
  shorten(prediction);
  if (gold.signs.size() != prediction.signs.size()) return false;
  if (gold.signs == prediction.signs && all_equal(gold.sides, prediction.sides, depth)) return true;
  Relation turned = prediction;
  std::ranges::reverse(turned.sides);
  std::ranges::reverse(turned.signs);
  for (char& sign : turned.signs) sign = flipped(sign);
  if (gold.signs == turned.signs && all_equal(gold.sides, turned.sides, depth)) return true;
  if (gold.signs.size() != 1) return false;
  for (const Relation& other : {prediction, turned}) {
    if (gold.signs != other.signs) continue;
    const std::string a = difference(gold.sides[0], gold.sides[1]), b = difference(other.sides[0], other.sides[1]);
    if (same_value(a, b)) return true;
    if (gold.signs[0] == '=' && numerically_proportional(a, b)) return true;
  }
  return false;
}

// "a < x <= b" as "(a,b]", "x > a" as "(a,\infty)"; "" for other relations.
std::string interval_of(const Relation& relation) {
  std::vector<std::string> sides = relation.sides;
  std::vector<char> signs = relation.signs;
  const auto greater = [](char c) { return c == '>' || c == 'g'; };
  if (sides.size() == 2 && is_name(sides[1]) && !is_name(sides[0])) {
    std::swap(sides[0], sides[1]);
    signs[0] = flipped(signs[0]);
  }
  if (sides.size() == 2 && is_name(sides[0]) && signs[0] != '=') {
    if (greater(signs[0])) return (signs[0] == 'g' ? "[" : "(") + sides[1] + ",\\infty)";
    return "(-\\infty," + sides[1] + (signs[0] == 'l' ? "]" : ")");
  }
  if (sides.size() == 3 && is_name(sides[1]) && signs[0] != '=' && signs[1] != '=' &&
      greater(signs[0]) == greater(signs[1])) {
    if (greater(signs[0])) {
      std::ranges::reverse(sides);
      std::ranges::reverse(signs);
      for (char& sign : signs) sign = flipped(sign);
    }
    return (signs[0] == 'l' ? "[" : "(") + sides[0] + "," + sides[2] + (signs[1] == 'l' ? "]" : ")");
  }
  return "";
}

std::vector<std::string> matrix_of(string_view text) {
  static const RE2 kMatrix(R"((?s)\\begin\{[pbvB]?(?:matrix|array)\}(?:\{[clr|]*\})?(.*)\\end\{[pbvB]?(?:matrix|array)\})");
  std::string inside;
  if (!RE2::FullMatch(StringPiece(text.data(), text.size()), kMatrix, &inside)) return {};
  std::vector<std::string> elements;
  for (size_t row = 0; row <= inside.size();) {
    const size_t end = std::min(inside.find("\\\\", row), inside.size());
    const std::string cells = inside.substr(row, end - row);
    if (!utf8::strip(cells).empty()) {
      const std::vector<std::string> found = parts(cells, {"&"});
      elements.insert(elements.end(), found.begin(), found.end());
      elements.emplace_back("\\text{row}");
    }
    row = end + 2;
  }
  return elements;
}

// Whether the text ends in a percent sign, which goes.
bool take_percent(std::string& text) {
  if (!text.ends_with('%')) return false;
  text.pop_back();
  if (text.ends_with('\\')) text.pop_back();
  text = utf8::strip(text);
  return true;
}

bool is_integer(string_view text) {
  static const RE2 kInteger("-?[0-9]+(?:,[0-9]{3})*");
  return RE2::FullMatch(StringPiece(text.data(), text.size()), kInteger);
}

bool equal(std::string gold, std::string prediction, int depth) {
  if (gold.empty() || prediction.empty() || depth > 20) return false;
  if (gold == prediction) return true;
  if (const std::string a = name_of(gold), b = name_of(prediction); !a.empty() && !b.empty()) return a == b;

  if (const std::vector<std::string> a = matrix_of(gold), b = matrix_of(prediction); !a.empty() && !b.empty()) {
    return all_equal(a, b, depth);
  }
  for (std::string* side : {&gold, &prediction}) {  // a ± b are two answers
    if (const size_t at = side->find("\\pm"); at != kNone && side->find("\\pm", at + 1) == kNone) {
      std::string plus = *side, minus = *side;
      plus.replace(at, 3, "+");
      minus.replace(at, 3, "-");
      *side = plus + "," + minus;
    }
  }

  Brackets a = brackets_of(gold), b = brackets_of(prediction);
  const bool lists = a.open || b.open || a.elements.size() > 1 || b.elements.size() > 1;
  if (!lists) {
    Relation left = relation_of(gold), right = relation_of(prediction);
    if (is_equation(right) && !is_equation(left) && left.signs.empty()) {
      return equal(gold, right.sides.back(), depth + 1);
    }
    if (is_equation(left) && is_name(left.sides.front()) && right.signs.empty()) {
      return equal(left.sides.back(), prediction, depth + 1);
    }
    if (!left.signs.empty() && !right.signs.empty()) return same_relation(left, right, depth);
    if (!left.signs.empty() || !right.signs.empty()) {
      const std::string interval = interval_of(left);
      return !interval.empty() && prediction.find("\\cup") == kNone && equal(interval, prediction, depth + 1);
    }
    const bool of_hundred = take_percent(gold), also = take_percent(prediction);
    if (of_hundred != also && !(is_integer(gold) && is_integer(prediction))) {
      (of_hundred ? gold : prediction) = "(" + (of_hundred ? gold : prediction) + ")/100";
    }
    return same_value(gold, prediction);
  }

  if (const Relation left = relation_of(gold); !a.open && a.elements.size() == 1 && !left.signs.empty()) {
    const std::string interval = is_equation(left) ? left.sides.back() : interval_of(left);
    if (is_equation(left) && !is_name(left.sides.front())) return false;
    return !interval.empty() && equal(interval, prediction, depth + 1);
  }
  if (const Relation right = relation_of(prediction); !b.open && b.elements.size() == 1 && is_equation(right)) {
    return equal(gold, right.sides.back(), depth + 1);
  }
  const auto ordered = [](const Brackets& one) { return one.open == '(' || one.open == '['; };
  if (ordered(a) && ordered(b)) {
    const bool interval = a.open == '(' ? a.close == ']' : a.close == ')';
    if (interval && a.elements.size() > 2) return false;
    return a.open == b.open && a.close == b.close && all_equal(a.elements, b.elements, depth);
  }
  // A pair in round brackets is an open interval or two numbers; half-open ones are intervals only.
  const auto interval_only = [&](const Brackets& one) {
    return ordered(one) && (one.open != '(' || one.close != ')') && one.elements.size() == 2;
  };
  if (interval_only(a) || interval_only(b)) return false;
  return ordered(a) ? all_equal(a.elements, b.elements, depth) : same_set(a.elements, b.elements, depth);
}

}  // namespace

std::optional<std::string> math_verify_answer(string_view text) {
  std::optional<std::string> text_only;  // if nothing better turns up
  const auto best = [&](std::vector<AnswerPlace>& places) -> std::optional<std::string> {
    std::ranges::stable_sort(places, [](const AnswerPlace& a, const AnswerPlace& b) {
      return a.end != b.end ? a.end > b.end : a.start < b.start;
    });
    for (const AnswerPlace& place : places) {
      std::string answer = normal(place.answer);
      if (answer.empty()) continue;
      if (!is_text_only(answer)) return answer;
      if (!text_only) text_only = answer;
    }
    return std::nullopt;
  };
  for (int kind = 0; kind < kAnswerPlaceKinds; ++kind) {
    std::vector<AnswerPlace> places = answer_places(text, kind);
    if (std::optional<std::string> found = best(places)) return found;
  }
  return text_only;
}

bool math_verify_equal(string_view gold, string_view prediction) {
  const std::string a = normal(gold), b = normal(prediction);
  if (is_text_only(a) || is_text_only(b)) return a == b;
  return equal(a, b, 0);
}

}  // namespace assay::tasks::answers
