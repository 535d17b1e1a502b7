// The longest vocabulary entry that begins at a place of the text.
//
// A byte trie in breadth-first order: the children of a node are neighbours, so a node is eight
// bytes (the index of its first child, the byte that leads to it, the id of the entry that ends
// there), a step touches one or two cache lines, and building takes one pass over the sorted
// entries. The first two bytes, or the first three of a three-byte character, are looked up at
// once.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace assay::engine {

class TokenTrie {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  // The entries' bytes together must be fewer.
  static constexpr size_t kMaxBytes = (size_t{1} << 24) - 2;

  TokenTrie() = default;
  // Entries with their ids, none empty, in any order; ids below `ids`.
  TokenTrie(std::vector<std::pair<std::string_view, uint32_t>> entries, size_t ids);

  // The id of the longest entry that the `size` > 0 bytes at `text` begin with, or kNone.
  uint32_t longest(const char* text, size_t size) const;
  // The id of the longest entry that is a proper beginning of entry `id`, or kNone.
  uint32_t shorter(uint32_t id) const { return shorter_[id]; }

 private:
  struct Node {
    uint32_t first_child : 24;  // the children end where the next node's begin
    uint32_t label : 8;
    uint32_t id;  // of the entry that ends here, or kNone
  };
  struct Start {
    uint32_t node = 0;    // after these bytes; 0: no entry goes on
    uint32_t id = kNone;  // the longest entry that they begin with
  };
  static size_t three_byte_index(uint8_t a, uint8_t b, uint8_t c) {
    return size_t{a & 0x0Fu} << 12 | size_t{b & 0x3Fu} << 6 | (c & 0x3Fu);
  }
  uint32_t child(uint32_t node, uint8_t label) const;

  std::vector<Node> nodes_;         // and one behind the last
  std::vector<uint32_t> one_;       // [256] entries of one byte
  std::vector<Start> two_, three_;  // [65536] by the first bytes
  std::vector<uint32_t> shorter_;   // by id
};

}  // namespace assay::engine
