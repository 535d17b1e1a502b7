#include "engine/text/added_tokens.h"

#include <algorithm>

namespace assay::engine {

void TokenMatcher::add(std::string_view text, TokenId id, bool special) {
  if (text.empty()) return;
  begins_[static_cast<uint8_t>(text[0])] = true;
  longest_ = std::max(longest_, text.size());
  uint32_t node = 0;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    uint32_t child = 0;
    for (const auto& [label, target] : nodes_[node].children) {
      if (label == byte) child = target;
    }
    if (child == 0) {
      child = static_cast<uint32_t>(nodes_.size());
      nodes_.emplace_back();
      nodes_[node].children.emplace_back(byte, child);
    }
    node = child;
  }
  if (nodes_[node].id >= 0) return;
  nodes_[node].id = id;
  nodes_[node].special = special;
}

bool TokenMatcher::next(std::string_view text, size_t from, bool parse_special,
                        Match& match) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!begins_[static_cast<uint8_t>(text[begin])]) continue;
    uint32_t node = 0;
    const Node* found = nullptr;
    size_t found_end = 0;
    for (size_t pos = begin; pos < text.size(); ++pos) {
      uint32_t child = 0;
      for (const auto& [label, target] : nodes_[node].children) {
        if (label == static_cast<uint8_t>(text[pos])) child = target;
      }
      if (child == 0) break;
      node = child;
      if (nodes_[node].id >= 0) found = &nodes_[node], found_end = pos + 1;
    }
    if (found == nullptr) continue;
    if (found->special && !parse_special) {
      begin = found_end - 1;
      continue;
    }
    match = {begin, found_end, found->id};
    return true;
  }
  return false;
}

}  // namespace assay::engine
