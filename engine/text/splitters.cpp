#include "engine/text/splitters.h"

#include <array>
#include <cstdint>
#include <vector>

#include "engine/text/unicode/properties.h"

namespace assay::engine {

namespace {

constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDeepSeekV3Numbers = R"(\p{N}{1,3})";
constexpr std::string_view kDeepSeekV3Cjk = "[一-龥\u3040-ゟ゠-ヿ]+";
constexpr std::string_view kDeepSeekV3Words =
    "[!\"#$%&'()*+,\\-./"
    ":;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
    " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";

// What the patterns distinguish. Newlines are CR and LF.
enum Class : uint8_t { kLetter, kMark, kNumber, kNewline, kSpace, kPunct, kOther, kCjk, kEnd };

Class class_of(uint32_t c) {
  const uint8_t property = unicode::properties()[c];
  if (c == '\r' || c == '\n') return kNewline;
  if (property & unicode::kSpaceFlag) return kSpace;
  if (unicode::in_mask(property, unicode::kLetter)) return kLetter;
  if (unicode::in_mask(property, unicode::kMark)) return kMark;
  if (unicode::in_mask(property, unicode::kNumber)) return kNumber;
  if (unicode::in_mask(property, unicode::kPunctuation | unicode::kSymbol)) return kPunct;
  return kOther;
}

bool is_deepseek_cjk(uint32_t c) {
  return (c >= 0x4E00 && c <= 0x9FA5) || (c >= 0x3040 && c <= 0x30FF);
}

// Which code points a cursor sees as what they are; the others are kCjk, an end, to it.
enum class View { all, outside_cjk, inside_cjk };

// One byte a code point, computed once.
template <View V>
const uint8_t* class_table() {
  static const std::vector<uint8_t> table = [] {
    std::vector<uint8_t> classes(unicode::kCodePoints);
    for (uint32_t c = 0; c < unicode::kCodePoints; ++c) {
      const bool visible = V == View::all || is_deepseek_cjk(c) == (V == View::inside_cjk);
      classes[c] = visible ? class_of(c) : kCjk;
    }
    return classes;
  }();
  return table.data();
}

// A place in the text with the class of the code point there.
template <View V>
class Cursor {
 public:
  Cursor(const char* text, size_t pos, size_t size)
      : classes_(class_table<V>()), text_(text), p_(text + pos), end_(text + size) {
    classify();
  }
  Class at() const { return at_; }
  // The byte here; 0 at the end.
  char byte() const { return p_ < end_ ? *p_ : '\0'; }
  size_t position() const { return static_cast<size_t>(p_ - text_); }
  void step() {
    p_ = after_;
    classify();
  }

 private:
  void classify() {
    if (p_ == end_) {
      at_ = kEnd;
      return;
    }
    after_ = p_;
    at_ = static_cast<Class>(classes_[unicode::next_code_point(after_)]);
  }

  const uint8_t* classes_;
  const char* text_;
  const char* p_;
  const char* end_;
  const char* after_ = nullptr;
  Class at_;
};

template <View V, class Predicate>
void run(Cursor<V>& cursor, Predicate inside) {
  while (inside(cursor.at())) cursor.step();
}

// 's 't 're 've 'm 'll 'd at an apostrophe: the size, or 0. With `fold`, in any case, and 'ſ too.
size_t contraction(const char* p, const char* end, bool fold) {
  const auto letter = [&](int i) {
    if (p + i >= end) return '\0';
    const char c = p[i];
    return fold && c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  };
  switch (letter(1)) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return 2;
    case 'r':
    case 'v':
      return letter(2) == 'e' ? 3 : 0;
    case 'l':
      return letter(2) == 'l' ? 3 : 0;
    case '\xC5':
      return fold && letter(2) == '\xBF' ? 3 : 0;  // U+017F
    default:
      return 0;
  }
}

// The patterns' three ways of taking white space, at white space:
//   \s*[\r\n]+ (if Newlines)   up to the last newline of the run
//   \s+(?!\S)                  all of the run but its last code point, if the text goes on after it
//   \s+                        the one code point that is left
// `is_end` says what counts as the end of the text.
template <bool Newlines, View V, class IsEnd>
size_t white_space(Cursor<V> cursor, IsEnd is_end) {
  const size_t begin = cursor.position();
  size_t last = begin, after_newline = begin;
  while (cursor.at() == kSpace || cursor.at() == kNewline) {
    const bool newline = cursor.at() == kNewline;
    last = cursor.position();
    cursor.step();
    if (newline) after_newline = cursor.position();
  }
  if (Newlines && after_newline != begin) return after_newline;
  if (is_end(cursor.at()) || last == begin) return cursor.position();
  return last;
}

constexpr auto kTextEnd = [](Class c) { return c == kEnd; };
constexpr auto kIsLetter = [](Class c) { return c == kLetter; };
// [^\s\p{L}\p{N}]
constexpr auto kIsSign = [](Class c) { return c == kPunct || c == kOther || c == kMark; };
constexpr auto kIsNewline = [](Class c) { return c == kNewline; };

size_t next_gpt2(const char* text, size_t pos, size_t size) {
  Cursor<View::all> cursor(text, pos, size);
  if (text[pos] == '\'') {
    if (const size_t n = contraction(text + pos, text + size, false)) return pos + n;
  }
  if (text[pos] == ' ') {
    Cursor<View::all> next = cursor;
    next.step();
    if (next.at() < kNewline || kIsSign(next.at())) cursor = next;
  }
  switch (cursor.at()) {
    case kLetter:
      run(cursor, kIsLetter);
      return cursor.position();
    case kNumber:
      run(cursor, [](Class c) { return c == kNumber; });
      return cursor.position();
    case kSpace:
    case kNewline:
      return white_space<false>(cursor, kTextEnd);
    default:
      run(cursor, kIsSign);
      return cursor.position();
  }
}

// Qwen2 and Llama 3, which differ in how many digits go together.
template <int Digits>
size_t next_llama3(const char* text, size_t pos, size_t size) {
  Cursor<View::all> cursor(text, pos, size);
  if (cursor.at() == kLetter) {
    run(cursor, kIsLetter);
    return cursor.position();
  }
  if (cursor.at() == kNumber) {
    for (int i = 0; i < Digits && cursor.at() == kNumber; ++i) cursor.step();
    return cursor.position();
  }
  if (text[pos] == '\'') {
    if (const size_t n = contraction(text + pos, text + size, true)) return pos + n;
  }
  Cursor<View::all> next = cursor;
  next.step();
  if (cursor.at() != kNewline && next.at() == kLetter) {
    run(next, kIsLetter);
    return next.position();
  }
  if (text[pos] == ' ' && kIsSign(next.at())) cursor = next;
  if (!kIsSign(cursor.at())) return white_space<true>(cursor, kTextEnd);
  run(cursor, kIsSign);
  run(cursor, kIsNewline);
  return cursor.position();
}

// DeepSeek-V3: numbers are cut out first, then Chinese/Japanese runs (which hold marks, signs and
// unassigned code points too); then words are cut within each stretch that is left, which ends
// where the view ends.
template <View V>
size_t next_deepseek_v3_word(const char* text, size_t pos, size_t size) {
  constexpr auto kIsWord = [](Class c) { return c == kLetter || c == kMark; };
  constexpr auto kGapEnd = [](Class c) { return c == kEnd || c == kNumber || c == kCjk; };
  Cursor<V> cursor(text, pos, size);
  switch (cursor.at()) {
    case kLetter:
    case kMark:
      run(cursor, kIsWord);
      return cursor.position();
    case kNewline:
      return white_space<true>(cursor, kGapEnd);
    default:
      break;
  }
  Cursor<V> next = cursor;
  next.step();
  if (cursor.at() == kPunct) {
    constexpr auto kIsAsciiLetter = [](char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; };
    if (static_cast<uint8_t>(text[pos]) < 0x80 && kIsAsciiLetter(next.byte())) {
      while (kIsAsciiLetter(next.byte())) next.step();
      return next.position();
    }
  } else {
    // White space, or a code point that no class names: it goes with the word after it.
    if (kIsWord(next.at())) {
      run(next, kIsWord);
      return next.position();
    }
    if (cursor.at() == kOther) {
      // Not matched by anything: one piece up to the next match.
      while (next.at() == kOther) {
        Cursor<V> after = next;
        after.step();
        if (kIsWord(after.at())) break;
        next = after;
      }
      return next.position();
    }
    if (text[pos] != ' ' || next.at() != kPunct) return white_space<true>(cursor, kGapEnd);
    cursor = next;
  }
  run(cursor, [](Class c) { return c == kPunct; });
  run(cursor, kIsNewline);
  return cursor.position();
}

size_t next_deepseek_v3(const char* text, size_t pos, size_t size) {
  Cursor<View::outside_cjk> cursor(text, pos, size);
  if (cursor.at() == kCjk) return next_deepseek_v3_word<View::inside_cjk>(text, pos, size);
  if (cursor.at() != kNumber) return next_deepseek_v3_word<View::outside_cjk>(text, pos, size);
  for (int i = 0; i < 3 && cursor.at() == kNumber; ++i) cursor.step();
  return cursor.position();
}

}  // namespace

KnownSplitter find_splitter(std::span<const std::string> patterns) {
  if (patterns.size() == 1) {
    if (patterns[0] == kGpt2Pattern) return {"gpt-2", next_gpt2};
    if (patterns[0] == kQwen2Pattern) return {"qwen2", next_llama3<1>};
    if (patterns[0] == kLlama3Pattern) return {"llama-3", next_llama3<3>};
  }
  if (patterns.size() == 3 && patterns[0] == kDeepSeekV3Numbers && patterns[1] == kDeepSeekV3Cjk &&
      patterns[2] == kDeepSeekV3Words) {
    return {"deepseek-v3", next_deepseek_v3};
  }
  return {};
}

}  // namespace assay::engine
