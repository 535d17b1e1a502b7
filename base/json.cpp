#include "base/json.h"

#include <rapidjson/document.h>
#include <rapidjson/error/en.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"

namespace assay::json {

namespace {

using Node = rapidjson::Value;

const Node& node_of(const void* p) { return *static_cast<const Node*>(p); }

// Finds `target` below `node` and writes the way to it into `path`. Only errors pay for this.
bool find_path(const Node& node, const Node* target, std::string& path) {
  if (&node == target) return true;
  const size_t length = path.size();
  if (node.IsObject()) {
    for (const auto& m : node.GetObject()) {
      if (!path.empty()) path += '.';
      path.append(m.name.GetString(), m.name.GetStringLength());
      if (find_path(m.value, target, path)) return true;
      path.resize(length);
    }
  } else if (node.IsArray()) {
    for (rapidjson::SizeType i = 0; i < node.Size(); ++i) {
      path += '[' + std::to_string(i) + ']';
      if (find_path(node[i], target, path)) return true;
      path.resize(length);
    }
  }
  return false;
}

const char* type_name(const Node& node) {
  if (node.IsNull()) return "null";
  if (node.IsBool()) return "a boolean";
  if (node.IsNumber()) return "a number";
  if (node.IsString()) return "a string";
  return node.IsArray() ? "an array" : "an object";
}

}  // namespace

struct Document::State {
  rapidjson::Document document;
  std::string where;
};

Document::Document(std::unique_ptr<State> state) : state_(std::move(state)) {}
Document::~Document() = default;
Document::Document(Document&&) noexcept = default;
Document& Document::operator=(Document&&) noexcept = default;

Document Document::parse(std::string_view text, std::string where) {
  auto state = std::make_unique<State>();
  state->where = std::move(where);
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
  // Iterative parsing: hostile nesting must not overflow the stack.
  constexpr unsigned kFlags = rapidjson::kParseValidateEncodingFlag |
                              rapidjson::kParseFullPrecisionFlag | rapidjson::kParseIterativeFlag;
  state->document.Parse<kFlags>(text.data(), text.size());
  if (state->document.HasParseError()) {
    const size_t offset = std::min(state->document.GetErrorOffset(), text.size());
    const auto before = text.substr(0, offset);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t line_start = before.rfind('\n') + 1;  // npos + 1 == 0
    // A text of one line is one of many in a file: `where` names that line.
    const bool one_line = text.find('\n') == std::string_view::npos;
    throw_bad_input(std::string("not valid JSON: ") +
                        rapidjson::GetParseError_En(state->document.GetParseError()) + " at " +
                        (one_line ? "" : "line " + std::to_string(line) + ", ") + "column " +
                        std::to_string(offset - line_start + 1),
                    state->where);
  }
  return Document(std::move(state));
}

Document Document::load(const std::filesystem::path& path) {
  return parse(read_file(path), path.string());
}

Value Document::root() const { return Value(this, static_cast<const Node*>(&state_->document)); }
const std::string& Document::where() const { return state_->where; }

std::string Value::where() const {
  if (!document_) return {};
  std::string path;
  find_path(document_->state_->document, &node_of(node_), path);
  return path.empty() ? document_->where() : document_->where() + ": " + path;
}

void Value::fail(std::string what, std::string remedy) const {
  throw_bad_input(std::move(what), where(), std::move(remedy));
}

bool Value::is_null() const { return node_of(node_).IsNull(); }
bool Value::is_string() const { return node_of(node_).IsString(); }
bool Value::is_number() const { return node_of(node_).IsNumber(); }
bool Value::is_boolean() const { return node_of(node_).IsBool(); }
bool Value::is_array() const { return node_of(node_).IsArray(); }
bool Value::is_object() const { return node_of(node_).IsObject(); }
bool Value::is_integer() const {
  const Node& n = node_of(node_);
  if (n.IsInt64()) return true;
  return n.IsDouble() && std::abs(n.GetDouble()) < 0x1p53 && std::trunc(n.GetDouble()) == n.GetDouble();
}

namespace {
[[noreturn]] void wrong_type(const Value& v, const char* wanted, const void* node) {
  v.fail(std::string("expected ") + wanted + ", found " + type_name(node_of(node)));
}
}  // namespace

std::string_view Value::string() const {
  const Node& n = node_of(node_);
  if (!n.IsString()) wrong_type(*this, "a string", node_);
  return {n.GetString(), n.GetStringLength()};
}

int64_t Value::integer() const {
  if (!is_integer()) wrong_type(*this, "an integer", node_);
  const Node& n = node_of(node_);
  return n.IsInt64() ? n.GetInt64() : static_cast<int64_t>(n.GetDouble());
}

double Value::number() const {
  if (!is_number()) wrong_type(*this, "a number", node_);
  return node_of(node_).GetDouble();
}

bool Value::boolean() const {
  if (!is_boolean()) wrong_type(*this, "true or false", node_);
  return node_of(node_).GetBool();
}

size_t Value::size() const {
  const Node& n = node_of(node_);
  if (n.IsArray()) return n.Size();
  if (n.IsObject()) return n.MemberCount();
  wrong_type(*this, "an array or an object", node_);
}

Value Value::operator[](size_t index) const {
  const Node& n = node_of(node_);
  if (!n.IsArray()) wrong_type(*this, "an array", node_);
  if (index >= n.Size()) fail("has " + std::to_string(n.Size()) + " elements, need more");
  return Value(document_, &n[static_cast<rapidjson::SizeType>(index)]);
}

Value Value::find(std::string_view key) const {
  const Node& n = node_of(node_);
  if (!n.IsObject()) wrong_type(*this, "an object", node_);
  const Node name(rapidjson::StringRef(key.data(), static_cast<rapidjson::SizeType>(key.size())));
  const auto it = n.FindMember(name);
  return it == n.MemberEnd() ? Value() : Value(document_, &it->value);
}

Value Value::at(std::string_view key) const {
  const Value v = find(key);
  if (!v.exists()) fail("lacks the key \"" + std::string(key) + "\"");
  return v;
}

void Value::for_each_member(const std::function<void(std::string_view, Value)>& body) const {
  const Node& n = node_of(node_);
  if (!n.IsObject()) wrong_type(*this, "an object", node_);
  for (const auto& m : n.GetObject()) {
    body({m.name.GetString(), m.name.GetStringLength()}, Value(document_, &m.value));
  }
}

void Value::for_each_element(const std::function<void(Value)>& body) const {
  const Node& n = node_of(node_);
  if (!n.IsArray()) wrong_type(*this, "an array", node_);
  for (const Node& element : n.GetArray()) body(Value(document_, &element));
}

std::string Value::string_or(std::string_view key, std::string_view fallback) const {
  const Value v = find(key);
  return std::string(v.exists() && !v.is_null() ? v.string() : fallback);
}
int64_t Value::integer_or(std::string_view key, int64_t fallback) const {
  const Value v = find(key);
  return v.exists() && !v.is_null() ? v.integer() : fallback;
}
double Value::number_or(std::string_view key, double fallback) const {
  const Value v = find(key);
  return v.exists() && !v.is_null() ? v.number() : fallback;
}
bool Value::boolean_or(std::string_view key, bool fallback) const {
  const Value v = find(key);
  return v.exists() && !v.is_null() ? v.boolean() : fallback;
}

std::vector<std::string> Value::strings() const {
  std::vector<std::string> out;
  for_each_element([&](Value v) { out.emplace_back(v.string()); });
  return out;
}

namespace {

// RapidJSON refuses to write NaN and infinities; this writer turns them into null.
template <class Base>
struct NullForNan : Base {
  using Base::Base;
  bool Double(double d) { return std::isfinite(d) ? Base::Double(d) : Base::Null(); }
};

template <class Handler>
void write_sorted(const Node& node, Handler& out) {
  if (node.IsObject()) {
    std::vector<const Node::Member*> members;
    for (const auto& m : node.GetObject()) members.push_back(&m);
    std::sort(members.begin(), members.end(), [](const auto* a, const auto* b) {
      return std::string_view(a->name.GetString(), a->name.GetStringLength()) <
             std::string_view(b->name.GetString(), b->name.GetStringLength());
    });
    out.StartObject();
    for (const auto* m : members) {
      out.Key(m->name.GetString(), m->name.GetStringLength());
      write_sorted(m->value, out);
    }
    out.EndObject();
  } else if (node.IsArray()) {
    out.StartArray();
    for (const Node& element : node.GetArray()) write_sorted(element, out);
    out.EndArray();
  } else {
    node.Accept(out);
  }
}

}  // namespace

std::string Value::dump(bool sorted_keys) const {
  rapidjson::StringBuffer buffer;
  NullForNan<rapidjson::Writer<rapidjson::StringBuffer>> out(buffer);
  if (sorted_keys) {
    write_sorted(node_of(node_), out);
  } else {
    node_of(node_).Accept(out);
  }
  return {buffer.GetString(), buffer.GetSize()};
}

void for_each_line(std::string_view text, const std::string& where,
                   const std::function<void(Value, size_t)>& body) {
  size_t line = 0;
  for (size_t begin = 0; begin < text.size();) {
    ++line;
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view content = text.substr(begin, end - begin);
    begin = end + 1;
    if (content.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const Document document = Document::parse(content, where + ":" + std::to_string(line));
    body(document.root(), line);
  }
}

struct Writer::State {
  rapidjson::StringBuffer buffer;
  NullForNan<rapidjson::Writer<rapidjson::StringBuffer>> out{buffer};
  bool pretty = false;
};

Writer::Writer(bool pretty) : state_(std::make_unique<State>()) { state_->pretty = pretty; }
Writer::~Writer() = default;

Writer& Writer::begin_object() { return state_->out.StartObject(), *this; }
Writer& Writer::end_object() { return state_->out.EndObject(), *this; }
Writer& Writer::begin_array() { return state_->out.StartArray(), *this; }
Writer& Writer::end_array() { return state_->out.EndArray(), *this; }
Writer& Writer::value(bool b) { return state_->out.Bool(b), *this; }
Writer& Writer::value(double number) { return state_->out.Double(number), *this; }
Writer& Writer::value(int64_t number) { return state_->out.Int64(number), *this; }
Writer& Writer::value(uint64_t number) { return state_->out.Uint64(number), *this; }
Writer& Writer::value(Value other) { return node_of(other.node_).Accept(state_->out), *this; }
Writer& Writer::null() { return state_->out.Null(), *this; }

Writer& Writer::key(std::string_view name) {
  state_->out.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
  return *this;
}

Writer& Writer::value(std::string_view text) {
  if (utf8::is_valid(text)) {
    state_->out.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
  } else {
    const std::string clean = utf8::sanitized(text);
    state_->out.String(clean.data(), static_cast<rapidjson::SizeType>(clean.size()));
  }
  return *this;
}

std::string Writer::take() {
  if (!state_->out.IsComplete()) throw_internal("JSON text taken before it was complete");
  std::string text(state_->buffer.GetString(), state_->buffer.GetSize());
  if (!state_->pretty) return text;
  rapidjson::Document document;
  document.Parse<rapidjson::kParseFullPrecisionFlag>(text.data(), text.size());
  rapidjson::StringBuffer buffer;
  rapidjson::PrettyWriter<rapidjson::StringBuffer> out(buffer);
  out.SetIndent(' ', 2);
  document.Accept(out);
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace assay::json
