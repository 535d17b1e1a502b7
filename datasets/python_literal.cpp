#include "datasets/python_literal.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "datasets/json_way.h"

namespace assay::datasets {

namespace {

constexpr int kMaxDepth = 100;  // hostile nesting must not overflow the stack

class Parser {
 public:
  Parser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  std::string parse() {
    value(0);
    space();
    if (at_ < text_.size()) fail("characters after the literal");
    return out_.take();
  }

 private:
  [[noreturn]] void fail(const std::string& what) {
    throw_bad_input("not a Python literal: " + what + " at column " +
                        std::to_string(utf8::length(text_.substr(0, at_)) + 1),
                    where_);
  }
  bool more() const { return at_ < text_.size(); }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void space() {
    while (more() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }
  bool take(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  bool string_starts() const {
    size_t i = at_;
    while (i < text_.size() && i < at_ + 2 &&
           std::string_view("rRuU").find(text_[i]) != std::string_view::npos)
      ++i;
    return i < text_.size() && (text_[i] == '\'' || text_[i] == '"');
  }

  void value(int depth) {
    if (depth > kMaxDepth) fail("nested too deeply");
    space();
    if (string_starts()) {
      std::string joined = string();
      for (space(); string_starts(); space()) joined += string();
      out_.value(joined);
    } else if (take("[")) {
      list(']', depth);
    } else if (take("(")) {
      list(')', depth);
    } else if (take("{")) {
      dict(depth);
    } else if (take("None")) {
      out_.null();
    } else if (take("True")) {
      out_.value(true);
    } else if (take("False")) {
      out_.value(false);
    } else {
      number();
    }
  }

  void list(char close, int depth) {
    out_.begin_array();
    for (space(); peek() != close; space()) {
      value(depth + 1);
      space();
      if (peek() == ',') {
        ++at_;
      } else if (peek() != close) {
        fail("expected a comma or the end of the list");
      }
    }
    ++at_;
    out_.end_array();
  }

  void dict(int depth) {
    out_.begin_object();
    for (space(); peek() != '}'; space()) {
      if (!string_starts()) fail("expected a string as a dict's key");
      out_.key(string());
      space();
      if (!take(":")) fail("expected a colon");
      value(depth + 1);
      space();
      if (peek() == ',') {
        ++at_;
      } else if (peek() != '}') {
        fail("expected a comma or the end of the dict");
      }
    }
    ++at_;
    out_.end_object();
  }

  void number() {
    const size_t begin = at_;
    while (more() && std::string_view("+-.0123456789eE").find(peek()) != std::string_view::npos)
      ++at_;
    std::string_view word = text_.substr(begin, at_ - begin);
    if (word.starts_with('+')) word.remove_prefix(1);
    int64_t integer = 0;
    const char* end = word.data() + word.size();
    if (const auto r = std::from_chars(word.data(), end, integer);
        !word.empty() && r.ec == std::errc{} && r.ptr == end) {
      out_.value(integer);
      return;
    }
    double real = 0;
    if (const auto r = std::from_chars(word.data(), end, real);
        !word.empty() && r.ec == std::errc{} && r.ptr == end) {
      out_.value(real);
      return;
    }
    at_ = begin;
    fail("expected a value");
  }

  std::string string() {
    bool raw = false;
    while (peek() != '\'' && peek() != '"') raw = (text_[at_++] | 0x20) == 'r' || raw;
    const char quote = text_[at_];
    const std::string triple(3, quote);
    const bool tripled = take(triple);
    if (!tripled) ++at_;
    std::string out;
    while (true) {
      if (!more()) fail("string without end");
      if (tripled ? take(triple) : take(std::string_view(&quote, 1))) return out;
      const char c = text_[at_++];
      if (c != '\\') {
        out += c;
        continue;
      }
      if (!more()) fail("string without end");
      const char e = text_[at_++];
      if (raw) {
        out += '\\';
        out += e;
        continue;
      }
      escape(e, out);
    }
  }

  void escape(char e, std::string& out) {
    static constexpr std::string_view kFrom = "\\'\"abfnrtv";
    static constexpr std::string_view kTo = "\\'\"\a\b\f\n\r\t\v";
    if (const size_t i = kFrom.find(e); i != std::string_view::npos) {
      out += kTo[i];
    } else if (e == '\n') {
      // A line continued.
    } else if (e == 'x') {
      code_point(2, 16, out);
    } else if (e == 'u') {
      code_point(4, 16, out);
    } else if (e == 'U') {
      code_point(8, 16, out);
    } else if (e >= '0' && e <= '7') {
      --at_;
      size_t digits = 0;
      while (digits < 3 && at_ + digits < text_.size() && text_[at_ + digits] >= '0' &&
             text_[at_ + digits] <= '7') {
        ++digits;
      }
      code_point(digits, 8, out);
    } else {
      out += '\\';  // Python keeps an unknown escape as it stands
      out += e;
    }
  }

  void code_point(size_t digits, int base, std::string& out) {
    uint32_t code = 0;
    const std::string_view word = text_.substr(at_, digits);
    const auto r = std::from_chars(word.data(), word.data() + word.size(), code, base);
    if (word.size() != digits || r.ec != std::errc{} || r.ptr != word.data() + word.size() ||
        code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
      fail("bad character escape");
    }
    at_ += digits;
    utf8::append(out, code);
  }

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
  json::Writer out_;
};

}  // namespace

std::string python_literal_to_json(std::string_view text, const std::string& where) {
  return Parser(text, where).parse();
}

std::vector<std::string> python_list(std::string_view text, const std::string& where) {
  const json::Document document = json::Document::parse(python_literal_to_json(text, where), where);
  if (!document.root().is_array()) throw_bad_input("expected a Python list", where);
  std::vector<std::string> out;
  document.root().for_each_element([&](json::Value v) { out.push_back(text_of(v)); });
  return out;
}

}  // namespace assay::datasets
