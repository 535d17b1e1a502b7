// UTF-8 as bytes: validation, code points, trimming, and escaping for people's terminals.
//
// All functions are pure and thread-safe. Strings are byte strings; a function says what it does
// with bytes that are not UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace assay::utf8 {

inline constexpr char32_t kReplacement = 0xFFFD;

// Decodes the code point at `pos` and advances `pos` past it. Malformed input (overlong, surrogate,
// above U+10FFFF, truncated) gives kReplacement, sets *valid = false if given, and advances 1 byte.
char32_t decode(std::string_view s, size_t& pos, bool* valid = nullptr);
void append(std::string& out, char32_t code_point);

bool is_valid(std::string_view s);
// Offset of the first byte that is not well-formed UTF-8, or npos.
size_t first_invalid(std::string_view s);
// Replaces every malformed byte by U+FFFD.
std::string sanitized(std::string_view s);

// Number of code points; malformed bytes count one each.
size_t length(std::string_view s);

// Unicode White_Space property (25 code points, stable since Unicode 6.3), plus U+001C..U+001F,
// which Python's str.strip() removes too.
bool is_space(char32_t c);
std::string_view strip(std::string_view s);
std::string_view strip_left(std::string_view s);
std::string_view strip_right(std::string_view s);

// Every `from` (not empty) becomes `to`, in one pass from the left: linear in the text.
std::string replaced(std::string_view text, std::string_view from, std::string_view to);
void replace_all(std::string& text, std::string_view from, std::string_view to);

// CRLF and lone CR become LF; a leading byte order mark is dropped.
std::string normalized_newlines(std::string_view s);

// For terminals and logs: control characters as \n, \t, \xNN or \u{...}, bidirectional overrides
// escaped, malformed bytes as \xNN. The result is valid UTF-8 without line breaks.
std::string printable(std::string_view s);

// Columns that `s` takes in a terminal (East Asian wide characters take two, combining marks none).
size_t display_width(std::string_view s);
// `s` with spaces behind it up to `width` columns; longer text is left as it is.
std::string padded(std::string s, size_t width);

}  // namespace assay::utf8
