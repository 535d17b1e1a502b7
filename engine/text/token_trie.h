// The longest vocabulary entry that begins at a place of the text.
//
// A byte trie in breadth-first order: the children of a node are neighbours, so a node is the index
// of its first child, the labels of all nodes lie in one array, and building takes one pass over
// the sorted entries. The first two bytes are looked up at once.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace assay::engine {

class TokenTrie {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // Entries with their ids, none empty, in any order; ids below `ids`.
  TokenTrie() = default;
  TokenTrie(std::vector<std::pair<std::string_view, uint32_t>> entries, size_t ids);

  // The id of the longest entry that `text` (not empty) begins with, or kNone.
  uint32_t longest(std::string_view text) const;
  // The id of the longest entry that is a proper beginning of entry `id`, or kNone.
  uint32_t shorter(uint32_t id) const { return shorter_[id]; }

 private:
  struct Node {
    uint32_t first_child;  // the children end where the next node's begin
    uint32_t id;           // of the entry that ends here, or kNone
  };
  std::vector<Node> nodes_;      // and one behind the last
  std::vector<uint8_t> labels_;  // by node: the byte that leads to it
  std::vector<uint32_t> after_one_, after_two_;  // nodes after the first bytes; 0: none
  std::vector<uint32_t> shorter_;                // by id
};

}  // namespace assay::engine
