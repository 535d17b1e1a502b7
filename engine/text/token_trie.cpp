#include "engine/text/token_trie.h"

#include <algorithm>
#include <cstring>

namespace assay::engine {

TokenTrie::TokenTrie(std::vector<std::pair<std::string_view, uint32_t>> entries, size_t ids)
    : after_one_(256), after_two_(256 * 256), shorter_(ids, kNone) {
  std::sort(entries.begin(), entries.end());
  struct Range {
    uint32_t begin, end;  // the entries below a node
    uint32_t best;        // the longest entry on the way to it
  };
  // ranges[i] belongs to node i; level by level.
  std::vector<Range> ranges = {{0, static_cast<uint32_t>(entries.size()), kNone}};
  labels_.push_back(0);
  size_t depth = 0;
  for (size_t level_begin = 0, level_end = 1; level_begin < level_end; ++depth) {
    for (size_t node = level_begin; node < level_end; ++node) {
      auto [begin, end, best] = ranges[node];
      nodes_.push_back({static_cast<uint32_t>(ranges.size()), kNone});
      if (begin < end && entries[begin].first.size() == depth) {
        const uint32_t id = entries[begin].second;
        nodes_.back().id = id;
        shorter_[id] = best;
        best = id;
        ++begin;
      }
      while (begin < end) {
        const char label = entries[begin].first[depth];
        uint32_t last = begin + 1;
        while (last < end && entries[last].first[depth] == label) ++last;
        ranges.push_back({begin, last, best});
        labels_.push_back(static_cast<uint8_t>(label));
        begin = last;
      }
    }
    level_begin = level_end;
    level_end = ranges.size();
  }
  nodes_.push_back({static_cast<uint32_t>(ranges.size()), kNone});
  for (uint32_t one = nodes_[0].first_child; one < nodes_[1].first_child; ++one) {
    after_one_[labels_[one]] = one;
    for (uint32_t two = nodes_[one].first_child; two < nodes_[one + 1].first_child; ++two) {
      after_two_[static_cast<size_t>(labels_[one]) << 8 | labels_[two]] = two;
    }
  }
}

uint32_t TokenTrie::longest(std::string_view text) const {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  uint32_t node = after_one_[byte(0)];
  uint32_t best = node == 0 ? kNone : nodes_[node].id;
  if (text.size() == 1) return best;
  node = after_two_[static_cast<size_t>(byte(0)) << 8 | byte(1)];
  for (size_t i = 2; node != 0; ++i) {
    if (nodes_[node].id != kNone) best = nodes_[node].id;
    if (i == text.size()) break;
    const uint32_t begin = nodes_[node].first_child, end = nodes_[node + 1].first_child;
    const uint8_t wanted = byte(i);
    node = 0;
    if (end - begin > 16) {
      const void* found = std::memchr(labels_.data() + begin, wanted, end - begin);
      if (found != nullptr) {
        node = static_cast<uint32_t>(static_cast<const uint8_t*>(found) - labels_.data());
      }
      continue;
    }
    for (uint32_t child = begin; child < end; ++child) {
      if (labels_[child] == wanted) {
        node = child;
        break;
      }
    }
  }
  return best;
}

}  // namespace assay::engine
