#include "engine/text/token_trie.h"

#include <algorithm>

namespace assay::engine {

TokenTrie::TokenTrie(std::vector<std::pair<std::string_view, uint32_t>> entries, size_t ids)
    : one_(256, kNone), two_(65536), three_(65536), shorter_(ids, kNone) {
  std::sort(entries.begin(), entries.end());
  struct Range {
    uint32_t begin, end;  // the entries below a node
    uint32_t best;        // the longest entry on the way to it
  };
  // ranges[i] belongs to node i; level by level.
  std::vector<Range> ranges = {{0, static_cast<uint32_t>(entries.size()), kNone}};
  std::vector<uint8_t> labels = {0};
  size_t depth = 0;
  for (size_t level_begin = 0, level_end = 1; level_begin < level_end; ++depth) {
    for (size_t node = level_begin; node < level_end; ++node) {
      auto [begin, end, best] = ranges[node];
      Node& made = nodes_.emplace_back(
          Node{static_cast<uint32_t>(ranges.size()) & 0xFFFFFF, labels[node], kNone});
      if (begin < end && entries[begin].first.size() == depth) {
        made.id = entries[begin].second;
        shorter_[made.id] = best;
        best = made.id;
        ++begin;
      }
      while (begin < end) {
        const char label = entries[begin].first[depth];
        uint32_t last = begin + 1;
        while (last < end && entries[last].first[depth] == label) ++last;
        ranges.push_back({begin, last, best});
        labels.push_back(static_cast<uint8_t>(label));
        begin = last;
      }
    }
    level_begin = level_end;
    level_end = ranges.size();
  }
  nodes_.push_back({static_cast<uint32_t>(ranges.size()) & 0xFFFFFF, 0, kNone});

  const auto children = [&](uint32_t node, auto body) {
    for (uint32_t i = nodes_[node].first_child; i < nodes_[node + 1].first_child; ++i) {
      body(i, static_cast<uint8_t>(nodes_[i].label));
    }
  };
  const auto best_at = [&](uint32_t node, uint32_t before) {
    return nodes_[node].id != kNone ? nodes_[node].id : before;
  };
  children(0, [&](uint32_t first, uint8_t a) {
    one_[a] = nodes_[first].id;
    const bool three_byte_lead = a >= 0xE0 && a <= 0xEF;
    // Where the trie does not go as far as the table, the longest entry of the shorter beginning.
    for (size_t i = 0; i < 256; ++i) two_[size_t{a} << 8 | i].id = one_[a];
    if (three_byte_lead) {
      for (size_t i = 0; i < 4096; ++i) three_[(size_t{a} & 0x0F) << 12 | i].id = one_[a];
    }
    children(first, [&](uint32_t second, uint8_t b) {
      const uint32_t two_best = best_at(second, one_[a]);
      two_[size_t{a} << 8 | b] = {second, two_best};
      // In well-formed text 0x80..0xBF follows; an entry with another byte there never matches.
      if (!three_byte_lead || (b & 0xC0) != 0x80) return;
      for (size_t i = 0; i < 64; ++i) three_[three_byte_index(a, b, 0) | i].id = two_best;
      children(second, [&](uint32_t third, uint8_t c) {
        if ((c & 0xC0) == 0x80)
          three_[three_byte_index(a, b, c)] = {third, best_at(third, two_best)};
      });
    });
  });
}

inline uint32_t TokenTrie::child(uint32_t node, uint8_t label) const {
  uint32_t begin = nodes_[node].first_child, end = nodes_[node + 1].first_child;
  while (end - begin > 8) {
    const uint32_t middle = begin + (end - begin) / 2;
    if (nodes_[middle].label <= label) {
      begin = middle;
    } else {
      end = middle;
    }
  }
  for (; begin < end; ++begin) {
    if (nodes_[begin].label == label) return begin;
  }
  return 0;
}

uint32_t TokenTrie::longest(const char* text, size_t size) const {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  if (size == 1) return one_[byte(0)];
  const bool three = size >= 3 && (byte(0) & 0xF0) == 0xE0;
  const Start& start = three ? three_[three_byte_index(byte(0), byte(1), byte(2))]
                             : two_[size_t{byte(0)} << 8 | byte(1)];
  uint32_t best = start.id;
  uint32_t node = start.node;
  for (size_t i = three ? 3 : 2; node != 0 && i < size; ++i) {
    node = child(node, byte(i));
    if (node != 0 && nodes_[node].id != kNone) best = nodes_[node].id;
  }
  return best;
}

}  // namespace assay::engine
