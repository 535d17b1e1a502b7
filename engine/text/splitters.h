// Hand-written splitters for the pre-tokenisers of published models.
//
// Each stands for one exact pipeline of patterns and gives the same pieces as the general stages
// do; tests compare the two on every vector and on random text.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace assay::engine {

// The end of the piece that begins at text[pos], pos < size. The text is well-formed UTF-8, and
// text[0, pos) has no influence. No splitter looks further than three code points beyond the white
// space that follows the piece (kSplitterReach).
using NextPiece = size_t (*)(const char* text, size_t pos, size_t size);
inline constexpr int kSplitterReach = 3;

// GPT-2's expression, which the ByteLevel pre-tokeniser uses by itself.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

struct KnownSplitter {
  std::string_view name;  // "deepseek-v3"
  NextPiece next;
};
// The splitter for a pipeline of Split stages with these patterns, or {"", nullptr}.
KnownSplitter find_splitter(std::span<const std::string> patterns);

}  // namespace assay::engine
