// Added tokens: strings that are found in the text before anything else and become one id each.
//
// Matching is leftmost, and the longest where several begin at one place, as in the `tokenizers`
// library. Tokens with `normalized` false are found in the raw text, the others in the normalised
// stretches between them. Immutable after building; thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/text/tokenizer.h"

namespace assay::engine {

struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool special = false;
  bool normalized = false;
};

// A set of strings with ids, searched together.
class TokenMatcher {
 public:
  // Of two equal strings the first one counts. Empty strings are ignored.
  void add(std::string_view text, TokenId id, bool special);
  bool empty() const { return nodes_.size() <= 1; }
  size_t longest() const { return longest_; }

  struct Match {
    size_t begin, end;
    TokenId id;
  };
  // The next match at or after `from` that counts; false if there is none. Where `parse_special` is
  // false, special tokens are passed over as a whole (as the library's encode_special_tokens does).
  bool next(std::string_view text, size_t from, bool parse_special, Match& match) const;

 private:
  struct Node {
    TokenId id = -1;
    bool special = false;
    std::vector<std::pair<uint8_t, uint32_t>> children;  // few: a chain almost everywhere
  };
  std::vector<Node> nodes_ = std::vector<Node>(1);
  std::array<bool, 256> begins_{};
  size_t longest_ = 0;
};

}  // namespace assay::engine
