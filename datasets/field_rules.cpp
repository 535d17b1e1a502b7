#include "datasets/field_rules.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"
#include "datasets/python_literal.h"

namespace assay::datasets {

namespace {

// The list that a rule needs.
std::vector<std::string> as_list(const FieldValue& value, const Place& place, const Way& way) {
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) return *list;
  place.fail("\"" + way.text() + "\" is not a list");
}

}  // namespace

FieldRule::FieldRule(std::string name, json::Value rule) : name_(std::move(name)) {
  const auto way = [&](json::Value v) { ways_.emplace_back(v.string(), v.where()); };
  if (rule.is_string()) {
    way(rule);
    return;
  }
  if (rule.is_array()) {
    kind_ = Kind::list;
    rule.for_each_element(way);
    return;
  }
  static constexpr std::array<std::pair<std::string_view, Kind>, 16> kKinds = {{
      {"way", Kind::way},
      {"first_of", Kind::first_of},
      {"letter", Kind::letter},
      {"one_based", Kind::one_based},
      {"integer", Kind::integer},
      {"index_of", Kind::index_of},
      {"letters", Kind::letters},
      {"join", Kind::join},
      {"without", Kind::without},
      {"unquoted", Kind::unquoted},
      {"before", Kind::before},
      {"after", Kind::after},
      {"element", Kind::element},
      {"python_list", Kind::python_list},
      {"json", Kind::json},
      {"constant", Kind::constant},
  }};
  bool known = false;
  rule.for_each_member([&](std::string_view key, json::Value v) {
    if (key == "optional") {
      optional_ = v.boolean();
      return;
    }
    if (key == "default") {
      default_ = field_of(v);
      optional_ = true;
      return;
    }
    const auto* it =
        std::find_if(kKinds.begin(), kKinds.end(), [&](auto& k) { return k.first == key; });
    if (it == kKinds.end()) v.fail("unknown rule \"" + std::string(key) + "\"");
    if (known) v.fail("a field has one rule");
    known = true;
    kind_ = it->second;
    switch (kind_) {
      case Kind::constant:
        constant_ = field_of(v);
        break;
      case Kind::first_of:
        v.for_each_element(way);
        break;
      case Kind::index_of:
        if (v.size() != 2) v.fail("takes a way and a list");
        way(v[0]);
        if (v[1].is_array()) {
          list_ = v[1].strings();
        } else {
          way(v[1]);
        }
        break;
      case Kind::element:
        if (v.size() != 2) v.fail("takes a rule for the list and one for the position");
        v.for_each_element([&](json::Value inner) { inner_.emplace_back(name_, inner); });
        break;
      case Kind::join:
      case Kind::without:
      case Kind::before:
      case Kind::after:
        if (v.size() != 2) v.fail("takes a way and a text");
        way(v[0]);
        argument_ = v[1].string();
        break;
      default:
        way(v);
    }
  });
  if (!known) rule.fail("a field needs a rule");
}

std::string FieldRule::read_text(size_t way, const Place& place) const {
  const FieldValue value = ways_[way].read(place);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (std::holds_alternative<int64_t>(value)) return text_of(value);
  place.fail("\"" + ways_[way].text() + "\" is not text");
}

int64_t FieldRule::read_integer(const Place& place) const {
  const FieldValue value = ways_[0].read(place);
  if (const auto* n = std::get_if<int64_t>(&value)) return *n;
  int64_t n = 0;
  const auto* text = std::get_if<std::string>(&value);
  if (text) {
    const char* end = text->data() + text->size();
    const auto r = std::from_chars(text->data(), end, n);
    if (!text->empty() && r.ec == std::errc{} && r.ptr == end) return n;
  }
  place.fail("\"" + ways_[0].text() + "\" is not an integer: \"" + text_of(value) + "\"");
}

std::vector<const Way*> FieldRule::ways() const {
  std::vector<const Way*> all;
  for (const Way& way : ways_) all.push_back(&way);
  for (const FieldRule& rule : inner_) {
    for (const Way* way : rule.ways()) all.push_back(way);
  }
  return all;
}

std::optional<FieldValue> FieldRule::apply(const Place& place) const {
  if (kind_ == Kind::constant) return constant_;
  if (kind_ == Kind::first_of || optional_) {
    bool found = false;
    for (const Way& way : ways_) {
      FieldValue value = way.read(place, &found);
      if (found && kind_ == Kind::first_of) return value;
      if (!found && kind_ != Kind::first_of) return default_;
    }
    if (!found) {
      if (optional_) return default_;
      place.fail("has none of the members that \"" + name_ + "\" is read from");
    }
  }
  switch (kind_) {
    case Kind::way:
      return ways_[0].read(place);
    case Kind::list: {
      std::vector<std::string> list;
      for (const Way& way : ways_) list.push_back(text_of(way.read(place)));
      return list;
    }
    case Kind::letter: {
      const std::string letter = read_text(0, place);
      if (letter.size() != 1 || letter[0] < 'A' || letter[0] > 'Z') {
        place.fail("\"" + ways_[0].text() + "\" is not an answer letter: \"" + letter + "\"");
      }
      return static_cast<int64_t>(letter[0] - 'A');
    }
    case Kind::one_based:
      return read_integer(place) - 1;
    case Kind::integer:
      return read_integer(place);
    case Kind::index_of: {
      const std::string text = read_text(0, place);
      const bool fixed = ways_.size() == 1;
      const auto list = fixed ? list_ : as_list(ways_[1].read(place), place, ways_[1]);
      const auto it = std::find(list.begin(), list.end(), text);
      if (it == list.end()) {
        place.fail("\"" + text + "\" is not among " +
                   (fixed ? text_of(FieldValue(list)) : "\"" + ways_[1].text() + "\""));
      }
      return static_cast<int64_t>(it - list.begin());
    }
    case Kind::letters: {
      const FieldValue value = ways_[0].read(place);
      std::vector<std::string> letters;
      if (std::holds_alternative<std::monostate>(value)) return letters;
      // A few published rows have spaces or a full stop among their letters.
      const auto keep = [&](const std::string& text) {
        for (const char c : text) {
          if (c >= 'A' && c <= 'Z') letters.emplace_back(1, c);
        }
      };
      if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
        std::for_each(list->begin(), list->end(), keep);
      } else {
        keep(read_text(0, place));
      }
      return letters;
    }
    case Kind::join: {
      const FieldValue value = ways_[0].read(place);
      if (std::holds_alternative<std::monostate>(value)) return value;
      if (const auto* text = std::get_if<std::string>(&value)) return *text;
      std::string joined;
      const auto list = as_list(value, place, ways_[0]);
      for (size_t i = 0; i < list.size(); ++i) joined += (i ? argument_ : "") + list[i];
      return joined;
    }
    case Kind::without: {
      auto list = as_list(ways_[0].read(place), place, ways_[0]);
      std::erase(list, argument_);
      return list;
    }
    case Kind::before: {
      const std::string text = read_text(0, place);
      return text.substr(0, text.find(argument_));
    }
    case Kind::after: {
      const std::string text = read_text(0, place);
      const size_t at = text.find(argument_);
      return at == std::string::npos ? std::string() : text.substr(at + argument_.size());
    }
    case Kind::element: {
      const auto list = inner_[0].apply(place), at = inner_[1].apply(place);
      const auto* texts = list ? std::get_if<std::vector<std::string>>(&*list) : nullptr;
      const auto* position = at ? std::get_if<int64_t>(&*at) : nullptr;
      if (!texts || !position) place.fail("\"" + name_ + "\" needs a list and a position");
      if (*position < 0 || static_cast<size_t>(*position) >= texts->size()) {
        place.fail("\"" + name_ + "\": position " + std::to_string(*position) + " in a list of " +
                   std::to_string(texts->size()));
      }
      return (*texts)[static_cast<size_t>(*position)];
    }
    case Kind::unquoted: {
      std::string text = read_text(0, place);
      if (text.size() < 2 || text.front() != '"' || text.back() != '"') return text;
      std::string out;
      for (size_t i = 1; i + 1 < text.size(); ++i) {
        out += text[i];
        if (text[i] == '"' && i + 2 < text.size() && text[i + 1] == '"') ++i;
      }
      return out;
    }
    case Kind::python_list:
      return python_list(read_text(0, place), place.where);
    case Kind::json:
      return field_of(json::Document::parse(read_text(0, place), place.where).root());
    default:
      throw_internal("field rule without a kind");
  }
}

}  // namespace assay::datasets
