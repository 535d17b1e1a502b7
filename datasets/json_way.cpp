#include "datasets/json_way.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/error.h"

namespace assay::datasets {

namespace {

std::optional<size_t> position_of(std::string_view step) {
  size_t n = 0;
  const auto [end, error] = std::from_chars(step.data(), step.data() + step.size(), n);
  if (error != std::errc{} || end != step.data() + step.size()) return std::nullopt;
  return n;
}

}  // namespace

void Place::fail(const std::string& what) const { throw_bad_input(what, where); }

Way::Way(std::string_view text, const std::string& where) : text_(text) {
  if (text == ".") return;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    steps_.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  bool below = false;  // "^" may only lead
  for (const std::string& step : steps_) {
    if (step == "*") many_ = true;
    if (step == "^" && below) throw_bad_input("\"^\" must come first in \"" + text_ + "\"", where);
    if (step != "^") below = true;
  }
}

std::string_view Way::first_member() const {
  if (steps_.empty()) return {};
  const std::string& step = steps_.front();
  if (step == "^" || step == "*" || step == "#" || step.starts_with('@')) return {};
  return step;
}

void Way::for_each(json::Value root, const std::string& where,
                   const std::function<void(Place&)>& body) const {
  Place place;
  place.where = where;
  place.levels.push_back({root, {}, 0});
  walk(root, 0, place, body);
}

void Way::walk(json::Value value, size_t step, Place& place,
               const std::function<void(Place&)>& body) const {
  if (step == steps_.size()) {
    // A way that ends without "*" names one record, which is a level of its own.
    const bool opened = step == 0 || steps_.back() == "*";
    if (!opened) place.levels.push_back({value, steps_.back(), 0});
    body(place);
    if (!opened) place.levels.pop_back();
    return;
  }
  const std::string& name = steps_[step];
  if (name != "*") {
    const auto position = position_of(name);
    walk(value.is_array() && position ? value[*position] : value.at(name), step + 1, place, body);
    return;
  }
  size_t position = 0;
  const auto visit = [&](std::string_view key, json::Value element) {
    place.levels.push_back({element, std::string(key), position++});
    walk(element, step + 1, place, body);
    place.levels.pop_back();
  };
  if (value.is_array()) {
    value.for_each_element([&](json::Value element) { visit({}, element); });
  } else {
    value.for_each_member(visit);
  }
}

bool Way::collect(json::Value value, size_t step, const Place& place, bool must,
                  std::vector<json::Value>& out) const {
  for (; step < steps_.size(); ++step) {
    const std::string& name = steps_[step];
    if (name == "*") {
      const auto visit = [&](json::Value element) { collect(element, step + 1, place, true, out); };
      if (value.is_array()) {
        value.for_each_element(visit);
      } else {
        value.for_each_member([&](std::string_view, json::Value element) { visit(element); });
      }
      return true;
    }
    std::optional<size_t> position = position_of(name);
    if (name == "#") position = place.levels.back().position;
    if (position && value.is_array()) {
      if (!must && *position >= value.size()) return false;
      value = value[*position];
    } else if (must) {
      value = value.at(name);
    } else {
      if (!value.is_object()) return false;
      value = value.find(name);
      if (!value.exists()) return false;
    }
  }
  out.push_back(value);
  return true;
}

FieldValue Way::read(const Place& place, bool* found) const {
  if (found) *found = true;
  size_t up = 0;
  while (up < steps_.size() && steps_[up] == "^") ++up;
  if (up >= place.levels.size()) place.fail("\"" + text_ + "\" goes above the file's root");
  const Level& level = place.levels[place.levels.size() - 1 - up];
  if (up + 1 == steps_.size()) {
    if (steps_[up] == "@key") return level.key;
    if (steps_[up] == "@position") return static_cast<int64_t>(level.position);
    if (steps_[up] == "@file") return place.file;
  }
  if (up == 0 && steps_.size() == 1) {
    const auto side = place.extra.find(steps_[0]);
    if (side != place.extra.end()) return side->second;
  }
  std::vector<json::Value> values;
  if (!collect(level.value, up, place, found == nullptr, values)) {
    *found = false;
    return std::monostate{};
  }
  if (!many_) return field_of(values.front());
  std::vector<std::string> list;
  for (const json::Value& v : values) list.push_back(text_of(v));
  return list;
}

FieldValue field_of(json::Value value) {
  if (value.is_null()) return std::monostate{};
  if (value.is_string()) return std::string(value.string());
  if (value.is_boolean()) return value.boolean();
  if (value.is_number()) {
    // 3.0 stays a floating-point number: the publisher's own spelling matters to templates.
    const std::string spelled = value.dump();
    if (spelled.find_first_of(".eE") == std::string::npos && value.is_integer()) {
      return value.integer();
    }
    return value.number();
  }
  if (value.is_array()) {
    bool strings = true;
    value.for_each_element([&](json::Value v) { strings = strings && v.is_string(); });
    if (strings) return value.strings();
  }
  return value.dump();
}

std::string text_of(json::Value value) {
  return value.is_string() ? std::string(value.string()) : value.dump();
}

std::string text_of(const FieldValue& value) {
  struct Visitor {
    std::string operator()(std::monostate) const { return {}; }
    std::string operator()(const std::string& s) const { return s; }
    std::string operator()(int64_t n) const { return std::to_string(n); }
    std::string operator()(double d) const { return json::Writer().value(d).take(); }
    std::string operator()(bool b) const { return b ? "true" : "false"; }
    std::string operator()(const std::vector<std::string>& list) const {
      json::Writer w;
      w.begin_array();
      for (const auto& s : list) w.value(s);
      return w.end_array().take();
    }
  };
  return std::visit(Visitor{}, value);
}

}  // namespace assay::datasets
