#include "tasks/answers/extract.h"

#include <array>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "tasks/answers/functions.h"
#include "tasks/answers/regex.h"
#include "tasks/key_reader.h"

namespace assay::tasks::answers {

struct Extraction::Way {
  enum class Kind { first, last, after, after_last, function, whole, first_line };
  Kind kind = Kind::whole;
  Template argument;
  ExtractFunction function = nullptr;
};

namespace {

std::optional<std::string> match(std::string_view text, const std::string& pattern, bool last) {
  const re2::RE2& regex = compiled(pattern);
  int groups = regex.NumberOfCapturingGroups();
  std::vector<re2::StringPiece> matched(static_cast<size_t>(groups) + 1);
  std::optional<std::string> found;
  re2::StringPiece subject(text.data(), text.size());
  for (size_t position = 0; position <= text.size();) {
    if (!regex.Match(subject, position, text.size(), re2::RE2::UNANCHORED, matched.data(),
                     groups + 1)) {
      break;
    }
    // A pattern with groups gives its first non-empty one.
    re2::StringPiece chosen = groups == 0 ? matched[0] : re2::StringPiece();
    for (size_t g = matched.size() - 1; g >= 1; --g) {
      if (!matched[g].empty()) chosen = matched[g];
    }
    found = chosen.empty() ? std::string() : std::string(chosen.data(), chosen.size());
    if (!last) break;
    size_t end = static_cast<size_t>(matched[0].data() - text.data()) + matched[0].size();
    position = matched[0].empty() ? end + 1 : end;
  }
  return found;
}

std::optional<std::string> after(std::string_view text, std::string_view marker, bool last) {
  size_t at = last ? text.rfind(marker) : text.find(marker);
  if (at == std::string_view::npos) return std::nullopt;
  return std::string(text.substr(at + marker.size()));
}

}  // namespace

std::optional<std::string> first_match(std::string_view text, const std::string& pattern) {
  return match(text, pattern, false);
}

std::optional<std::string> last_match(std::string_view text, const std::string& pattern) {
  return match(text, pattern, true);
}

Extraction::Extraction(json::Value rule, const Extraction* fallback) {
  if (fallback) *this = *fallback;
  if (json::Value ways = rule.find("extract"); ways.exists()) {
    ways_.clear();
    ways.for_each_element([&](json::Value element) {
      auto way = std::make_shared<Way>();
      if (element.is_string()) {
        std::string_view name = element.string();
        if (name != "whole" && name != "first_line") element.fail("expected whole or first_line");
        way->kind = name == "whole" ? Way::Kind::whole : Way::Kind::first_line;
      } else {
        KeyReader keys(element);
        static constexpr std::array kKinds{
            std::pair{"first", Way::Kind::first}, std::pair{"last", Way::Kind::last},
            std::pair{"after", Way::Kind::after}, std::pair{"after_last", Way::Kind::after_last}};
        bool known = false;
        for (auto [name, kind] : kKinds) {
          json::Value argument = keys.optional(name);
          if (!argument.exists()) continue;
          known = true;
          way->kind = kind;
          way->argument = Template(argument.string(), argument.where());
          bool fixed = way->argument.source().find("{{") == std::string::npos;
          if (fixed && (kind == Way::Kind::first || kind == Way::Kind::last)) {
            compiled(std::string(argument.string()), argument.where());
          }
        }
        if (json::Value name = keys.optional("function"); name.exists()) {
          known = true;
          way->kind = Way::Kind::function;
          way->function = find_extract_function(name.string(), name.where());
        }
        if (!known) element.fail("expected first, last, after, after_last or function");
        keys.finish();
      }
      ways_.push_back(std::move(way));
    });
  }
  auto read_filters = [&](const char* key, std::vector<Filter>& filters) {
    json::Value list = rule.find(key);
    if (!list.exists()) return;
    filters.clear();
    list.for_each_element(
        [&](json::Value name) { filters.emplace_back(name.string(), name.where()); });
  };
  read_filters("prepare", prepare_);
  read_filters("clean", clean_);
  if (json::Value none = rule.find("none"); none.exists()) none_ = std::string(none.string());
}

Extraction::Result Extraction::apply(std::string_view generated, const Fields& fields) const {
  std::string text(generated);
  for (const Filter& filter : prepare_) text = filter.apply_text(std::move(text));
  std::optional<std::string> found;
  if (ways_.empty()) found = text;
  for (const auto& way : ways_) {
    using Kind = Way::Kind;
    switch (way->kind) {
      case Kind::first:
        found = match(text, way->argument.render(fields), false);
        break;
      case Kind::last:
        found = match(text, way->argument.render(fields), true);
        break;
      case Kind::after:
        found = after(text, way->argument.render(fields), false);
        break;
      case Kind::after_last:
        found = after(text, way->argument.render(fields), true);
        break;
      case Kind::function:
        found = way->function(text, fields);
        break;
      case Kind::whole:
        found = text;
        break;
      case Kind::first_line:
        found = text.substr(0, text.find('\n'));
        break;
    }
    if (found) break;
  }
  if (!found) return {none_, false};
  for (const Filter& filter : clean_) *found = filter.apply_text(std::move(*found));
  return {std::move(*found), true};
}

}  // namespace assay::tasks::answers
