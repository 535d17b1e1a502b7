#include "tasks/template.h"

#include "base/error.h"
#include "base/utf8.h"
#include "tasks/filters.h"

namespace assay::tasks {

struct Template::Node {
  enum class Kind { literal, variable, section, inverted };
  Kind kind = Kind::literal;
  std::string text;  // literal bytes, or the field's name
  std::vector<Filter> filters;
  std::vector<Node> children;
};

namespace {

using Node = Template::Node;
using Kind = Node::Kind;

class Parser {
 public:
  Parser(std::string_view source, const std::string& where) : source_(source), where_(where) {}

  std::vector<Node> parse() {
    std::vector<Node> nodes = parse_until("");
    return nodes;
  }

 private:
  std::vector<Node> parse_until(const std::string& section) {
    std::vector<Node> nodes;
    while (true) {
      size_t open = source_.find("{{", position_);
      std::string_view literal = source_.substr(position_, open - position_);
      if (!literal.empty()) nodes.push_back({Kind::literal, std::string(literal), {}, {}});
      if (open == std::string_view::npos) {
        if (!section.empty()) throw_bad_input("section {{#" + section + "}} is not closed", where_);
        return nodes;
      }
      size_t close = source_.find("}}", open);
      if (close == std::string_view::npos) throw_bad_input("'{{' without '}}'", where_);
      std::string_view tag = source_.substr(open + 2, close - open - 2);
      position_ = close + 2;
      if (tag.starts_with("/")) {
        if (tag.substr(1) != section) {
          throw_bad_input("{{" + std::string(tag) + "}} closes nothing that is open", where_);
        }
        return nodes;
      }
      nodes.push_back(parse_tag(tag));
    }
  }

  Node parse_tag(std::string_view tag) {
    Node node;
    node.kind = Kind::variable;
    if (tag.starts_with("#") || tag.starts_with("^")) {
      node.kind = tag[0] == '#' ? Kind::section : Kind::inverted;
      tag.remove_prefix(1);
    }
    size_t bar = tag.find('|');
    node.text = std::string(tag.substr(0, bar));
    while (bar != std::string_view::npos) {
      tag.remove_prefix(bar + 1);
      bar = tag.find('|');
      node.filters.emplace_back(tag.substr(0, bar), where_);
    }
    if (node.text.empty() || node.text.find_first_of(" \t\n{}") != std::string::npos) {
      throw_bad_input("'{{" + node.text + "}}' is not the name of a field", where_);
    }
    if (node.kind != Kind::variable) node.children = parse_until(node.text);
    return node;
  }

  std::string_view source_;
  const std::string& where_;
  size_t position_ = 0;
};

class Renderer {
 public:
  explicit Renderer(const std::string& where) : where_(where) {}

  void render(const std::vector<Node>& nodes, const Fields& fields, std::string& out) const {
    for (const Node& node : nodes) {
      switch (node.kind) {
        case Kind::literal:
          out += node.text;
          break;
        case Kind::variable:
          out += variable(node, fields);
          break;
        case Kind::section:
          section(node, fields, out);
          break;
        case Kind::inverted:
          if (is_empty(fields.find(node.text))) render(node.children, fields, out);
          break;
      }
    }
  }

 private:
  static bool is_empty(const FieldValue* value) {
    if (!value || std::holds_alternative<std::monostate>(*value)) return true;
    if (auto* s = std::get_if<std::string>(value)) return s->empty();
    if (auto* l = std::get_if<std::vector<std::string>>(value)) return l->empty();
    if (auto* b = std::get_if<bool>(value)) return !*b;
    return false;
  }

  // A missing field is an error of the task file, so it names the file as well as the document.
  const FieldValue& require(const Node& node, const Fields& fields) const {
    if (const FieldValue* value = fields.find(node.text)) return *value;
    throw_bad_input("the template names " + fields.place(node.text) + ", which does not exist",
                    where_);
  }

  std::string variable(const Node& node, const Fields& fields) const {
    const FieldValue& value = require(node, fields);
    if (node.filters.empty()) {
      if (auto* s = std::get_if<std::string>(&value)) return *s;
    }
    Fields filtered;
    filtered.set(node.text, apply(node, value));
    return filtered.text(node.text);
  }

  FieldValue apply(const Node& node, FieldValue value) const {
    for (const Filter& filter : node.filters) value = filter.apply(std::move(value), where_);
    return value;
  }

  void section(const Node& node, const Fields& fields, std::string& out) const {
    const FieldValue* found = fields.find(node.text);
    if (is_empty(found)) return;
    FieldValue value = apply(node, *found);
    auto* list = std::get_if<std::vector<std::string>>(&value);
    if (!list) {
      if (!is_empty(&value)) render(node.children, fields, out);
      return;
    }
    for (size_t i = 0; i < list->size(); ++i) {
      Fields element(&fields);
      if (i < 26) element.set("letter", option_letter(i));
      element.set("number", static_cast<int64_t>(i + 1));
      element.set("text", std::move((*list)[i]));
      render(node.children, element, out);
    }
  }

  const std::string& where_;
};

}  // namespace

Template::Template(std::string_view source, std::string where)
    : source_(source), where_(std::move(where)) {
  nodes_ = std::make_shared<const std::vector<Node>>(Parser(source_, where_).parse());
}

std::string Template::render(const Fields& fields) const {
  std::string out;
  if (nodes_) Renderer(where_).render(*nodes_, fields, out);
  return out;
}

std::string option_letter(size_t index) {
  if (index >= 26) throw_bad_input("more than 26 lettered options", "options");
  return std::string(1, static_cast<char>('A' + index));
}

}  // namespace assay::tasks
