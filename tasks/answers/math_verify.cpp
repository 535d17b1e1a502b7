#include "tasks/answers/math_verify.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "base/utf8.h"
#include "tasks/answers/latex.h"
#include "tasks/answers/normalise.h"

namespace assay::tasks::answers {
namespace {

using re2::RE2;
using re2::StringPiece;
using std::string_view;

constexpr size_t kNone = string_view::npos;

// ---------------------------------------------------------------------------------------------------
// Where an answer stands.

// A place that may hold the answer.
struct Place {
  size_t start = 0, end = 0;
  std::string answer;
};

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

// From `at`, what `pattern` matches there; kNone or the end.
size_t match_at(string_view text, size_t at, const RE2& pattern, std::string* group = nullptr) {
  StringPiece found[2];
  if (!pattern.Match(StringPiece(text.data(), text.size()), at, text.size(), RE2::ANCHOR_START, found, 2)) {
    return kNone;
  }
  if (group) *group = std::string(found[1].data(), found[1].size());
  return static_cast<size_t>(found[0].data() - text.data()) + found[0].size();
}

// The first `close` from `from` on that has something before it and no backslash; no `stop` may stand in between.
size_t closing(string_view text, size_t from, string_view close, string_view stops) {
  for (size_t i = from; i < text.size(); ++i) {
    if (i > from && text.substr(i).starts_with(close) && (text[i - 1] != '\\' || close[0] == '\\')) return i;
    if (text[i] == '\\' && close == "$" && text.substr(i, 2) == "\\$") {
      ++i;
    } else if (stops.find(text[i]) != kNone) {
      return kNone;
    }
  }
  return kNone;
}

// A formula with its marks that begins at `at`; the end, or kNone.
size_t formula_at(string_view text, size_t at, std::string& content) {
  struct Marks {
    string_view open, close, stops;
  };
  static constexpr std::array kMarks = std::to_array<Marks>({
      {"$$", "$$", ""}, {"\\[", "\\]", ""}, {"$", "$", "\n"}, {"\\(", "\\)", "\n"},
  });
  const char before = at ? text[at - 1] : ' ';
  for (const Marks& marks : kMarks) {
    if (!text.substr(at).starts_with(marks.open) || before == '\\') continue;
    if (marks.open == "$" && std::isdigit(static_cast<unsigned char>(before))) continue;
    const size_t from = at + marks.open.size(), end = closing(text, from, marks.close, marks.stops);
    if (end == kNone || (marks.open == "$" && text.substr(from, end - from).find('$') == 0)) continue;
    content = std::string(text.substr(from, end - from));
    return end + marks.close.size();
  }
  static const RE2 kBracket(R"(\s\[([^\n\]\[]+)\]\s)"),
      kFraction(R"((-?\\frac\{-?[0-9]+(?:[.,][0-9]+)?\}\{-?[0-9]+(?:[.,][0-9]+)?\}))");
  for (const RE2* pattern : {&kBracket, &kFraction}) {
    if (const size_t end = match_at(text, at, *pattern, &content); end != kNone) return end;
  }
  return kNone;
}

// The same with a percent sign behind it and further formulas joined by "and", "or" or a comma.
size_t formulas_at(string_view text, size_t at, std::string& content) {
  static const RE2 kPercent(R"(\s*(?:\\?%|[Pp]ercent|[Pp]ercentage|[Pp]ct))"), kJoin(R"(\s*(?:,?and|,?or|,)\s*)");
  size_t end = formula_at(text, at, content);
  if (end == kNone) return kNone;
  const auto percent = [&](std::string& formula) {
    if (const size_t behind = match_at(text, end, kPercent); behind != kNone) {
      end = behind;
      formula += "\\%";
    }
  };
  percent(content);
  for (int more = 0; more < 5; ++more) {
    const size_t join = match_at(text, end, kJoin);
    if (join == kNone) break;
    std::string next;
    const size_t next_end = formula_at(text, join, next);
    if (next_end == kNone) break;
    end = next_end;
    percent(next);
    content += "," + next;
  }
  return end;
}

// A plain number or expression such as 1/2 that begins at `at`, with what must stand before it.
size_t number_at(string_view text, size_t at, std::string& content) {
  static const RE2 kExpression(
      R"((?:^|\s|=)(?:\*\*)?(-?\(?-?[0-9][0-9.\s+\-*×/^()÷]*[+\-*×/^()÷][0-9.\s+\-*×/^()÷]+\)?))"
      R"((?:\*\*)?(?:[.,:)$]|\s|$))"),
      kNumber(
          R"((?:^|\s|=)(?:\*\*)?[$€£¥₹]?((?:-?[1-9][0-9]{0,2}(?:[ ,][0-9]{3})+(?:\.[0-9]+)?|-?[0-9]+[.,][0-9]+|\.[0-9]+|)"
          R"(-?[0-9]+)(?:\s*(?:%|[Pp]ercent(?:age)?|[Pp]ct))?))");
  if (const size_t end = match_at(text, at, kExpression, &content); end != kNone) {
    static const RE2 kWell(R"(\s*[0-9(.\-][0-9.\s+\-*×/^()÷]*[0-9.)]\s*)");
    if (RE2::FullMatch(content, kWell)) return end;
  }
  const size_t end = match_at(text, at, kNumber, &content);
  if (end == kNone) return kNone;
  static const RE2 kGroup(R"(([0-9])[ ,]([0-9]{3})\b)"), kComma(R"(([0-9]),([0-9]))"),
      kPercent(R"(\s*(?:%|[Pp]ercent(?:age)?|[Pp]ct))"), kGrouped(R"(-?[1-9][0-9]{0,2}(?:[ ,][0-9]{3})+(?:\.[0-9]+)?)");
  const bool percent = RE2::GlobalReplace(&content, kPercent, "") > 0;
  if (RE2::FullMatch(content, kGrouped)) {
    std::erase_if(content, [](char c) { return c == ' ' || c == ','; });
  } else {
    RE2::GlobalReplace(&content, kComma, "\\1.\\2");
  }
  if (percent) content += "\\%";
  return end;
}

using PlaceAt = size_t (*)(string_view, size_t, std::string&);

// Places that `at` finds within `reach` characters after each match of `anchor`, from left to right.
void after_anchor(string_view text, const RE2& anchor, size_t reach, PlaceAt at, bool one_line, const RE2* tail,
                  std::vector<Place>& places) {
  for (size_t from = 0; from < text.size();) {
    StringPiece found;
    if (!anchor.Match(StringPiece(text.data(), text.size()), from, text.size(), RE2::UNANCHORED, &found, 1)) return;
    const size_t start = static_cast<size_t>(found.data() - text.data()), behind = start + found.size();
    from = start + 1;
    for (size_t skip = 0; skip <= reach && behind + skip <= text.size(); ++skip) {
      Place place{start, 0, {}};
      place.end = at(text, behind + skip, place.answer);
      if (place.end != kNone && tail && match_at(text, place.end, *tail) == kNone) place.end = kNone;
      if (place.end != kNone) {
        places.push_back(place);
        from = std::max(from, place.end);
        break;
      }
      if (one_line && behind + skip < text.size() && text[behind + skip] == '\n') break;
    }
  }
}

void everywhere(string_view text, PlaceAt at, std::vector<Place>& places) {
  for (size_t i = 0; i < text.size();) {
    Place place{i, 0, {}};
    place.end = at(text, i, place.answer);
    if (place.end == kNone) {
      ++i;
    } else {
      places.push_back(place);
      i = std::max(place.end, i + 1);
    }
  }
}

// After "answer", a number behind the last "=" within 100 characters goes before one that simply follows.
void numbers_after_answer(string_view text, const RE2& anchor, std::vector<Place>& places) {
  for (size_t from = 0; from < text.size();) {
    StringPiece found;
    if (!anchor.Match(StringPiece(text.data(), text.size()), from, text.size(), RE2::UNANCHORED, &found, 1)) return;
    const size_t start = static_cast<size_t>(found.data() - text.data()), behind = start + found.size();
    from = start + 1;
    const string_view line = text.substr(behind, text.substr(behind).find('\n'));
    const auto accept = [&](size_t at) {
      Place place{start, 0, {}};
      place.end = number_at(text, at, place.answer);
      static const RE2 kEqualSign(R"(\s*=)");
      if (place.end == kNone || match_at(text, place.end, kEqualSign) != kNone) return false;
      from = std::max(from, place.end);
      places.push_back(place);
      return true;
    };
    bool done = false;
    for (size_t i = std::min<size_t>(line.size(), 100); !done && i-- > 0;) {
      if (line[i] == '=') {
        size_t next = behind + i + 1;
        while (next < text.size() && is_space(text[next])) ++next;
        done = accept(next - 1);
      }
    }
    for (size_t skip = 0; !done && skip <= 50 && skip <= line.size(); ++skip) done = accept(behind + skip);
  }
}

// The contents of the boxes, from the last one backwards, as long as they stand together (`all`: every one).
std::string boxes(string_view text, bool all) {
  std::vector<std::string> found;
  size_t limit = text.size();
  while (limit > 0) {
    const size_t start = text.substr(0, limit).rfind("\\boxed"), other = text.substr(0, limit).rfind("\\fbox");
    size_t at = start == kNone ? other : other == kNone ? start : std::max(start, other);
    if (at == kNone) break;
    size_t open = at + (text.substr(at).starts_with("\\boxed") ? 6 : 5);
    while (open < text.size() && is_space(text[open])) ++open;
    size_t end = kNone;
    if (open < text.size() && text[open] == '{') {
      size_t depth = 0;
      for (size_t i = open; i < limit; ++i) {
        if (text[i] == '{') ++depth;
        if (text[i] == '}' && --depth == 0) {
          end = i;
          break;
        }
      }
    }
    if (end == kNone) {
      if (found.empty()) found.emplace_back(text.substr(std::min(open, text.size())));
      break;
    }
    std::string content(utf8::strip(text.substr(open + 1, end - open - 1)));
    if (!all && !found.empty() && limit < text.size()) {
      const string_view between = text.substr(end + 1, limit - end - 1);
      static const RE2 kSeparator(R"(\b(?:and|or)\b|,|;)");
      const bool joined = found.back() != content && between.size() < 70 &&
                          RE2::PartialMatch(StringPiece(between.data(), between.size()), kSeparator);
      if (between.size() >= 10 && !joined) break;
    }
    if (found.empty() || found.back() != content) found.push_back(content);
    limit = at;
  }
  if (found.empty()) return std::string(text);
  std::string joined;
  for (auto one = found.rbegin(); one != found.rend(); ++one) joined += (joined.empty() ? "" : ",") + *one;
  return joined;
}

// Formulas with a box inside, and everything from the first box to the last closing brace.
void boxed_places(string_view text, std::vector<Place>& places) {
  std::vector<Place> formulas;
  everywhere(text, formulas_at, formulas);
  for (Place& place : formulas) {
    if (place.answer.find("\\boxed{") != kNone) places.push_back(std::move(place));
  }
  const size_t open = text.find("\\boxed{"), close = text.rfind('}');
  if (open != kNone && close != kNone && close > open + 7) {
    places.push_back({open, close + 1, boxes(text.substr(open, close + 1 - open), false)});
  }
}

// ---------------------------------------------------------------------------------------------------
// What an answer means.

// Words for units at the end of an answer are dropped, two of them, with their plural.
constexpr const char* kUnits =
    "feet|digit|pound|meal|edge|student|children ticket|multiple|east|degree|mph|kmph|ft|m square|sq m|deg|mile|prime|"
    "ratio|rd|o|gm|lb|tile|per|dm|lt|gain|ab|way|west|t|h|no change|men|soldier|pie|bc|excess|st|inches|noon|cent|by|gal|"
    "kmh|c|acre|rise|th|sq|mark|l|toy|coin|gallon|profit|yr|women|am|pm|hr|square|are|rupee|rounds|cubic|cc|mtr|s|ohm|"
    "number|day|hour|minute|min|second|man|woman|sec|cube|mt|hectare|more|unit|rs|kg|g|month|km|m|cm|mm|apple|liter|loss|"
    "yard|pure|year|increase|decrease|d|less|litre|metre|meter|inch";

std::string normal(string_view answer) {
  std::string text = boxes(answer, true);
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
  static const RE2 kFinalIs(R"((?i)final answer is:?\s*)"), kFinalIsBare(R"((?i)final answer is:?)"),
      kHope(R"(\.?\s?I hope)"), kFinal(R"((?is)final answer.{0,100}?\s+is:?\s*)"),
      kFinalBare(R"((?i)final answer.{0,100}?\s+is:?)"), kAnswerColon("(?i:answer):"), kAnswer("(?i:answer)");
  std::optional<std::string> text_only;  // if nothing better turns up
  const auto best = [&](std::vector<Place>& places) -> std::optional<std::string> {
    std::ranges::stable_sort(places, [](const Place& a, const Place& b) {
      return a.end != b.end ? a.end > b.end : a.start < b.start;
    });
    for (const Place& place : places) {
      std::string answer = normal(place.answer);
      if (answer.empty()) continue;
      if (!is_text_only(answer)) return answer;
      if (!text_only) text_only = answer;
    }
    return std::nullopt;
  };
  for (int kind = 0; kind < 5; ++kind) {
    std::vector<Place> places;
    switch (kind) {
      case 0:
        after_anchor(text, kFinalIs, 0, formulas_at, false, &kHope, places);
        after_anchor(text, kFinalIsBare, 1, number_at, false, &kHope, places);
        break;
      case 1:
        after_anchor(text, kFinal, 0, formulas_at, false, nullptr, places);
        boxed_places(text, places);
        after_anchor(text, kFinalBare, 0, number_at, false, nullptr, places);
        break;
      case 2:
      case 3:
        after_anchor(text, kind == 2 ? kAnswerColon : kAnswer, 50, formulas_at, false, nullptr, places);
        numbers_after_answer(text, kind == 2 ? kAnswerColon : kAnswer, places);
        break;
      default:
        everywhere(text, formulas_at, places);
        everywhere(text, number_at, places);
    }
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
