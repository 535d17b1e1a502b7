#include "tasks/filters.h"

#include <re2/re2.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "tasks/answers/latex.h"
#include "tasks/answers/normalise.h"
#include "tasks/answers/opencompass.h"
#include "tasks/embedded.h"
#include "tasks/template.h"

namespace assay::tasks {

struct Filter::Entry {
  std::string_view name;
  bool takes_argument;
  std::string (*function)(std::string_view text, const std::string& argument);
};

namespace {

std::string map_case(std::string_view text, bool first_upper, bool rest_lower) {
  std::string out;
  for (size_t position = 0; position < text.size();) {
    bool first = position == 0, valid = true;
    size_t start = position;
    char32_t c = utf8::decode(text, position, &valid);
    if (!valid) {
      out += text[start];  // not text: the byte stays
    } else if (first && first_upper) {
      utf8::append(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
    } else if (rest_lower) {
      utf8::append(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    } else {
      utf8::append(out, c);
    }
  }
  return out;
}

std::string delete_matches(std::string_view text, const re2::RE2& pattern) {
  std::string out(text);
  re2::RE2::GlobalReplace(&out, pattern, "");
  return out;
}

// HellaSwag's routine as lm-eval has it: both quirks kept (task-specs 1.5).
std::string hellaswag_clean(std::string_view text, const std::string&) {
  static const re2::RE2 kTag(R"(\[.*?\])");
  std::string out = utf8::replaced(utf8::strip(text), " [title]", ". ");
  out = delete_matches(out, kTag);
  return utf8::replaced(out, "  ", " ");
}

// GSM8K's solution without its <<calculator>> spans.
std::string without_calculator(std::string_view answer, const std::string& = {}) {
  static const re2::RE2 kCalculator("<<[^>]*>>");
  return delete_matches(answer, kCalculator);
}

// GSM8K's solution as one line of reasoning (task-specs 4.1).
std::string gsm8k_reasoning(std::string_view answer, const std::string&) {
  std::string text = without_calculator(answer), out;
  for (size_t start = 0; start <= text.size();) {
    size_t end = std::min(text.find('\n', start), text.size());
    std::string_view line = utf8::strip(std::string_view(text).substr(start, end - start));
    start = end + 1;
    if (line.empty() || line.starts_with("####")) continue;
    if (!out.empty()) out += ' ';
    out += line;
    if (std::string_view(".!?").find(line.back()) == std::string_view::npos) out += '.';
  }
  return out;
}

std::string after_marker(std::string_view text, std::string_view marker) {
  size_t at = text.find(marker);
  return at == std::string_view::npos ? std::string()
                                      : std::string(utf8::strip(text.substr(at + marker.size())));
}

std::string drop_trailing(std::string_view text, const std::string& characters) {
  while (!text.empty()) {
    size_t last = text.size() - 1;
    while (last > 0 && (static_cast<unsigned char>(text[last]) & 0xC0) == 0x80) --last;
    if (characters.find(text.substr(last)) == std::string::npos) break;
    text.remove_suffix(text.size() - last);
  }
  return std::string(text);
}

// "FROM=>TO": every FROM becomes TO.
std::string replace_argument(std::string_view text, const std::string& argument) {
  size_t arrow = argument.find("=>");
  if (arrow == std::string::npos || arrow == 0) return std::string(text);
  return utf8::replaced(text, std::string_view(argument).substr(0, arrow),
                        std::string_view(argument).substr(arrow + 2));
}

std::string without_first_lines(std::string_view text, const std::string& count) {
  for (int lines = std::atoi(count.c_str()); lines > 0; --lines) {
    size_t end = text.find('\n');
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return std::string(text);
}

// 0 -> A; texts that are no option number stay.
std::string option_letter_of(std::string_view text, const std::string&) {
  bool digit = text.size() == 1 && text[0] >= '0' && text[0] <= '9';
  return digit ? std::string(1, static_cast<char>('A' + (text[0] - '0'))) : std::string(text);
}

// MMLU-Redux's correction where it is one option: a letter, or an index; "" else.
std::string redux_letter(std::string_view text, const std::string&) {
  if (text.size() != 1) return {};
  if (text[0] >= 'A' && text[0] <= 'D') return std::string(text);
  return text[0] >= '0' && text[0] <= '3' ? option_letter_of(text, "") : std::string();
}

// lm-eval cuts as many code points as *its* prefix has, plus one: in zh and ja this takes the first
// character of the reasoning, in ru it leaves the space (task-specs 4.3).
std::string mgsm_lmeval_reasoning(std::string_view answer, const std::string&) {
  constexpr std::string_view kWide = "：";
  size_t wide = answer.find(kWide), colon = answer.find(':');
  if (wide < colon) {
    size_t position = wide + kWide.size();
    utf8::decode(answer, position);
    return std::string(answer.substr(position));
  }
  bool russian = answer.starts_with("Пошаговое решение:");
  return std::string(answer.substr(std::min(colon + (russian ? 1 : 2), answer.size())));
}

// The inside of the first ``` block (its language word dropped), or the text as it is.
std::string code_fence(std::string_view text, const std::string&) {
  size_t open = text.find("```");
  if (open == std::string_view::npos) return std::string(text);
  std::string_view inside = text.substr(open + 3);
  inside = inside.substr(0, inside.find("```"));
  size_t line = inside.find('\n');
  return std::string(line == std::string_view::npos ? inside : inside.substr(line + 1));
}

std::string with_question_mark(std::string_view text, const std::string&) {
  return std::string(text) + (text.ends_with('?') ? "" : "?");
}

using S = std::string;
// "anatomy" -> "Other": the four categories of MMLU's authors, as its task file lists them; "" for a
// subject that it lacks.
std::string mmlu_category(std::string_view subject, const std::string&) {
  static const std::map<std::string, std::string, std::less<>> kCategories = [] {
    std::map<std::string, std::string, std::less<>> out;
    const json::Document file = json::Document::parse(embedded_file("mmlu.json"), "mmlu.json");
    file.root().at("data").at("groups").for_each_element([&](json::Value group) {
      out[std::string(group[0].string())] = std::string(group[2].string());
    });
    return out;
  }();
  const auto found = kCategories.find(subject);
  return found == kCategories.end() ? std::string() : found->second;
}

using V = std::string_view;

constexpr std::array kFilters = std::to_array<Filter::Entry>({
    {"strip", false, [](V t, const S&) { return S(utf8::strip(t)); }},
    {"strip_left", false, [](V t, const S&) { return S(utf8::strip_left(t)); }},
    {"strip_right", false, [](V t, const S&) { return S(utf8::strip_right(t)); }},
    {"strip_newlines_left", false,
     [](V t, const S&) { return S(t.substr(std::min(t.find_first_not_of('\n'), t.size()))); }},
    {"lower", false, [](V t, const S&) { return map_case(t, false, true); }},
    {"upper_first", false, [](V t, const S&) { return map_case(t, true, false); }},
    // Python's str.capitalize().
    {"capitalize", false, [](V t, const S&) { return map_case(t, true, true); }},
    {"spaces", false, [](V t, const S&) { return utf8::replaced(t, "_", " "); }},
    {"delete", true, [](V t, const S& what) { return utf8::replaced(t, what, ""); }},
    {"first_line", false, [](V t, const S&) { return S(t.substr(0, t.find('\n'))); }},
    {"last_line", false,
     [](V t, const S&) { return S(t.substr(t.rfind('\n') + 1)); }},  // npos + 1 is 0
    {"replace", true, replace_argument},
    {"without_first_lines", true, without_first_lines},
    // Deletes characters at the end as long as they are in the argument.
    {"drop_trailing", true, drop_trailing},
    // Deletes the argument once, if the text begins or ends with it.
    {"without_prefix", true,
     [](V t, const S& p) { return S(t.starts_with(p) ? t.substr(p.size()) : t); }},
    {"without_suffix", true,
     [](V t, const S& p) { return S(t.ends_with(p) ? t.substr(0, t.size() - p.size()) : t); }},
    // What follows the first occurrence, stripped; "" without one.
    {"after", true, [](V t, const S& marker) { return after_marker(t, marker); }},
    // What stands before the first occurrence, or everything.
    {"before", true, [](V t, const S& marker) { return S(t.substr(0, t.find(marker))); }},
    // What follows the last occurrence, or everything.
    {"after_last", true,
     [](V t, const S& marker) {
       const size_t at = t.rfind(marker);
       return S(at == V::npos ? t : t.substr(at + marker.size()));
     }},
    {"code_fence", false, code_fence},
    // What follows the first occurrence, as it is; "" without one.
    {"after_raw", true,
     [](V t, const S& marker) {
       size_t at = t.find(marker);
       return at == V::npos ? S() : S(t.substr(at + marker.size()));
     }},
    {"append", true, [](V t, const S& tail) { return S(t) + tail; }},
    {"mmlu_category", false, mmlu_category},
    {"option_letter", false, option_letter_of},
    {"redux_letter", false, redux_letter},
    {"last_boxed", false, [](V t, const S&) { return answers::last_boxed(t).value_or(""); }},
    {"minerva_lmeval", false, [](V t, const S&) { return answers::minerva_lmeval_form(t); }},
    {"mgsm_lmeval_reasoning", false, mgsm_lmeval_reasoning},
    {"tabs_to_spaces", false, [](V t, const S&) { return utf8::replaced(t, "\t", "    "); }},
    {"question_mark", false, with_question_mark},
    {"hellaswag_clean", false, hellaswag_clean},
    {"hellaswag_repair", false, [](V t, const S&) { return utf8::replaced(t, ".. ", ". "); }},
    {"gsm8k_reasoning", false, gsm8k_reasoning},
    {"without_calculator", false, without_calculator},
    {"opencompass_boxed", false,
     [](V t, const S&) { return answers::opencompass_boxed(t).value_or(""); }},
    {"opencompass_program", false, [](V t, const S&) { return answers::opencompass_program(t); }},
    {"number_marks", false, [](V t, const S&) { return answers::without_number_marks(t); }},
});

// Filters that make one text of a list; on a text they change nothing.
constexpr std::array kListFilters = std::to_array<Filter::Entry>({
    {"join", true, nullptr},
    {"first", false, nullptr},
    // The letter of the last element; "" for fewer than two.
    {"last_letter", false, nullptr},
});

std::string of_list(V name, const std::vector<std::string>& list, const std::string& argument) {
  if (name == "first") return list.empty() ? std::string() : list.front();
  if (name == "last_letter") return list.size() < 2 ? std::string() : option_letter(list.size() - 1);
  std::string joined;
  for (size_t i = 0; i < list.size(); ++i) joined += (i ? argument : "") + list[i];
  return joined;
}

}  // namespace

Filter::Filter(std::string_view spec, const std::string& where) {
  size_t colon = spec.find(':');
  std::string_view name = spec.substr(0, colon);
  auto it = std::find_if(kFilters.begin(), kFilters.end(),
                         [&](const Entry& entry) { return entry.name == name; });
  if (it != kFilters.end()) {
    entry_ = &*it;
  } else if (auto of = std::find_if(kListFilters.begin(), kListFilters.end(),
                                    [&](const Entry& entry) { return entry.name == name; });
             of != kListFilters.end()) {
    entry_ = &*of;
  } else {
    std::vector<std::string_view> names;
    for (const Entry& entry : kListFilters) names.push_back(entry.name);
    for (const Entry& entry : kFilters) names.push_back(entry.name);
    std::string near = nearest_word(name, names.data(), names.size());
    throw_bad_input(
        "no filter '" + std::string(name) + "'", where,
        near.empty() ? "docs/adding-a-task.md lists them" : "did you mean " + near + "?");
  }
  bool has_argument = colon != std::string_view::npos;
  if (has_argument != entry_->takes_argument) {
    throw_bad_input("filter '" + std::string(name) + "' " +
                        (has_argument ? "takes no argument" : "needs an argument after ':'"),
                    where);
  }
  if (has_argument) argument_ = std::string(spec.substr(colon + 1));
}

std::string Filter::apply_text(std::string text) const {
  return entry_->function ? entry_->function(text, argument_) : text;
}

FieldValue Filter::apply(FieldValue value, const std::string& where) const {
  if (auto* list = std::get_if<std::vector<std::string>>(&value)) {
    if (!entry_->function) return of_list(entry_->name, *list, argument_);
    for (std::string& element : *list) element = apply_text(std::move(element));
    return value;
  }
  if (auto* text = std::get_if<std::string>(&value)) return apply_text(std::move(*text));
  if (std::holds_alternative<std::monostate>(value)) return value;
  Fields one;
  one.set("value", std::move(value));
  (void)where;
  return apply_text(one.text("value"));
}

std::vector<std::string> filter_names() {
  std::vector<std::string> names;
  for (const Filter::Entry& entry : kListFilters) names.emplace_back(entry.name);
  for (const Filter::Entry& entry : kFilters) names.emplace_back(entry.name);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace assay::tasks
