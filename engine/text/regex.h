// The small regular-expression language that published pre-tokenisers are written in.
//
// DESCRIPTION
//
// Oniguruma's meaning (which the `tokenizers` library uses) of: literals, the escapes \r \n \t \f
// \v \x{H..} \uHHHH and of punctuation, \s \S \d \D, \p{..} \P{..} with general categories, classes
// with ranges and negation, `.`, alternation, groups (...), (?:...) and (?i:...), the greedy
// quantifiers ? * + {m} {m,} {m,n} and the possessive ?+ *+ ++ on single characters, ? on groups,
// lookahead (?=...) and (?!...), and `$` (end of text or before a newline). Anything else, and a
// pattern that matches the empty string, is refused when compiled.
//
// It backtracks over single characters only, so a match costs at most quadratic time in a run of
// one class and no recursion deeper than the pattern. It is the referee of the hand-written
// splitters (splitters.h) and serves every pattern that they do not know.
//
// Immutable after compiling; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/unicode/properties.h"

namespace assay::engine {

class Regex {
 public:
  // Throws bad_input; `where` names the pattern's place ("tokenizer.json: pre_tokenizer.pattern").
  Regex(std::string_view pattern, const std::string& where);
  // Matches exactly this text.
  static Regex literal(std::string_view text, const std::string& where);

  static constexpr size_t kNoMatch = static_cast<size_t>(-1);
  // The end of the match that begins at `pos`, or kNoMatch. `text` is well-formed UTF-8, `pos` at a
  // code point. `reach`, if given, becomes the larger of itself and one past the last byte that the
  // matcher looked at; text.size() + 1 means that it saw the end of the text.
  size_t match_at(std::string_view text, size_t pos, size_t* reach = nullptr) const;
  // False only if no match can begin with this code point: a search skips it.
  bool may_begin_with(uint32_t c) const { return (first_[c >> 6] >> (c & 63)) & 1; }

 private:
  friend class RegexCompiler;
  friend class RegexMatcher;

  // A set of code points: categories, ranges, and White_Space.
  struct CharSet {
    bool negated = false;
    bool space = false;
    bool not_space = false;
    unicode::CategoryMask categories = 0;
    std::vector<std::pair<uint32_t, uint32_t>> ranges;
    std::vector<uint64_t> bits;  // [kCodePoints / 64] the same as a bitmap, which matching reads
    bool contains(uint32_t c) const { return (bits[c >> 6] >> (c & 63)) & 1; }
    void make_bits();
  };
  struct Node {
    enum Kind : uint8_t { set, alternatives, lookahead, end_of_line, accept };
    Node(Kind k = accept) : kind(k) {}
    Kind kind;
    int next = -1;                 // continues here
    int char_set = -1;             // set
    uint32_t least = 1, most = 1;  // set: how many
    bool possessive = false;       // set: never gives back
    bool negative = false;         // lookahead
    std::vector<int> branches;     // alternatives (each leads on to `next`), lookahead (one)
  };

  Regex() = default;
  std::vector<CharSet> sets_;
  std::vector<Node> nodes_;
  int start_ = -1;
  std::vector<uint64_t> first_;  // [kCodePoints / 64] code points that a match may begin with
};

}  // namespace assay::engine
