#include "tasks/answers/math_verify_places.h"

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
                  std::vector<AnswerPlace>& places) {
  for (size_t from = 0; from < text.size();) {
    StringPiece found;
    if (!anchor.Match(StringPiece(text.data(), text.size()), from, text.size(), RE2::UNANCHORED, &found, 1)) return;
    const size_t start = static_cast<size_t>(found.data() - text.data()), behind = start + found.size();
    from = start + 1;
    for (size_t skip = 0; skip <= reach && behind + skip <= text.size(); ++skip) {
      AnswerPlace place{start, 0, {}};
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

void everywhere(string_view text, PlaceAt at, std::vector<AnswerPlace>& places) {
  for (size_t i = 0; i < text.size();) {
    AnswerPlace place{i, 0, {}};
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
void numbers_after_answer(string_view text, const RE2& anchor, std::vector<AnswerPlace>& places) {
  for (size_t from = 0; from < text.size();) {
    StringPiece found;
    if (!anchor.Match(StringPiece(text.data(), text.size()), from, text.size(), RE2::UNANCHORED, &found, 1)) return;
    const size_t start = static_cast<size_t>(found.data() - text.data()), behind = start + found.size();
    from = start + 1;
    const string_view line = text.substr(behind, text.substr(behind).find('\n'));
    const auto accept = [&](size_t at) {
      AnswerPlace place{start, 0, {}};
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

// Formulas with a box inside, and everything from the first box to the last closing brace.
void boxed_places(string_view text, std::vector<AnswerPlace>& places) {
  std::vector<AnswerPlace> formulas;
  everywhere(text, formulas_at, formulas);
  for (AnswerPlace& place : formulas) {
    if (place.answer.find("\\boxed{") != kNone) places.push_back(std::move(place));
  }
  const size_t open = text.find("\\boxed{"), close = text.rfind('}');
  if (open != kNone && close != kNone && close > open + 7) {
    places.push_back({open, close + 1, boxed(text.substr(open, close + 1 - open), false)});
  }
}

}  // namespace

std::string boxed(string_view text, bool all) {
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

std::vector<AnswerPlace> answer_places(string_view text, int kind) {
  static const RE2 kFinalIs(R"((?i)final answer is:?\s*)"), kFinalIsBare(R"((?i)final answer is:?)"),
      kHope(R"(\.?\s?I hope)"), kFinal(R"((?is)final answer.{0,100}?\s+is:?\s*)"),
      kFinalBare(R"((?i)final answer.{0,100}?\s+is:?)"), kAnswerColon("(?i:answer):"), kAnswer("(?i:answer)");
  std::vector<AnswerPlace> places;
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
  return places;
}

}  // namespace assay::tasks::answers
