// JSON in and out, over RapidJSON: typed access whose errors name the file and the place.
//
// Reading: a Document owns the text; a Value is a cheap view into it ("model.safetensors.index.json:
// weight_map.lm_head"). Every typed getter throws bad_input with that place when the type is not
// what was asked for. Duplicate keys: the first one is seen. Documents may be read by many threads.
// Writing: Writer appends to a string; numbers are written in the shortest form that reads back
// to the same double; NaN and infinities become null.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace assay::json {

class Document;

class Value {
 public:
  Value() = default;  // a view of nothing; only valid to test with exists()

  bool exists() const { return node_ != nullptr; }
  bool is_null() const;
  bool is_string() const;
  bool is_number() const;
  bool is_integer() const;
  bool is_boolean() const;
  bool is_array() const;
  bool is_object() const;

  std::string_view string() const;
  int64_t integer() const;  // 3 and 3.0 are integers; 3.5 is not
  double number() const;
  bool boolean() const;

  // Arrays and objects.
  size_t size() const;
  Value operator[](size_t index) const;  // array; out of range is an error
  Value at(std::string_view key) const;  // object; a missing key is an error
  Value find(std::string_view key) const;  // object; exists() is false when missing
  bool has(std::string_view key) const { return find(key).exists(); }
  void for_each_member(const std::function<void(std::string_view key, Value value)>& body) const;
  void for_each_element(const std::function<void(Value value)>& body) const;

  // The member's value, or the fallback where the key is missing or null.
  std::string string_or(std::string_view key, std::string_view fallback) const;
  int64_t integer_or(std::string_view key, int64_t fallback) const;
  double number_or(std::string_view key, double fallback) const;
  bool boolean_or(std::string_view key, bool fallback) const;
  std::vector<std::string> strings() const;  // an array of strings

  // "file: path.to[3].value", for error messages.
  std::string where() const;
  [[noreturn]] void fail(std::string what, std::string remedy = {}) const;

  // This value as compact JSON; with sorted_keys, objects are written with keys in byte order.
  std::string dump(bool sorted_keys = false) const;

 private:
  friend class Document;
  friend class Writer;
  Value(const Document* document, const void* node) : document_(document), node_(node) {}
  const Document* document_ = nullptr;
  const void* node_ = nullptr;  // a rapidjson::Value
};

class Document {
 public:
  // `where` names the source in errors: a path, or "path:line".
  static Document parse(std::string_view text, std::string where);
  static Document load(const std::filesystem::path& path);
  ~Document();
  Document(Document&&) noexcept;
  Document& operator=(Document&&) noexcept;

  Value root() const;
  const std::string& where() const;

 private:
  friend class Value;
  struct State;
  explicit Document(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Reads one JSON value a line (blank lines skipped), split at LF only. `body` gets the value and
// its 1-based line number; errors name "path:line".
void for_each_line(std::string_view text, const std::string& where,
                   const std::function<void(Value value, size_t line)>& body);

// Builds JSON text. Misuse (a value without a key inside an object) is an internal error.
class Writer {
 public:
  explicit Writer(bool pretty = false);
  ~Writer();

  Writer& begin_object();
  Writer& end_object();
  Writer& begin_array();
  Writer& end_array();
  Writer& key(std::string_view name);
  // Malformed UTF-8 is replaced by U+FFFD.
  Writer& value(std::string_view text);
  Writer& value(const char* text) { return value(std::string_view(text)); }
  Writer& value(const std::string& text) { return value(std::string_view(text)); }
  Writer& value(bool b);
  Writer& value(double number);
  Writer& value(int64_t number);
  Writer& value(uint64_t number);
  Writer& value(int number) { return value(static_cast<int64_t>(number)); }
  Writer& value(unsigned number) { return value(static_cast<uint64_t>(number)); }
  template <class T>
  Writer& value(const std::optional<T>& v) {  // null where there is none
    return v ? value(*v) : null();
  }
  Writer& value(Value other);  // a copy of a value read elsewhere
  Writer& null();
  template <class T>
  Writer& member(std::string_view name, const T& v) {
    return key(name).value(v);
  }

  // The text so far; complete when every object and array is closed.
  std::string take();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace assay::json
