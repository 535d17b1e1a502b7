// All requests of a call as one compressed prefix forest over token ids.
//
// DESCRIPTION
//
// A path is the tokens that a request needs computed. Paths that begin alike share a prefix, whose
// keys and values are computed once. The forest is held as the depth-first order of the paths and,
// for each, how many tokens it shares with the path before it: path i owns its positions
// [shared, size), everything before is owned by an ancestor. The owned positions, in this order,
// are all distinct prefixes, each exactly once.
//
// Pure integer code; no model, no threads. Deterministic: children in ascending token id, a path
// before its extensions, identical paths in ascending index.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/engine.h"

namespace assay::engine {

// Tokens in up to two pieces (a context and its continuation), owned elsewhere.
struct PathView {
  TokenSpan head, tail;
  size_t size() const { return head.size() + tail.size(); }
  TokenId operator[](size_t i) const {
    return i < head.size() ? head[i] : tail[i - head.size()];
  }
};

// Length of the longest common prefix, given that the first `known` tokens agree.
size_t common_prefix(const PathView& a, const PathView& b, size_t known = 0);

struct ForestEntry {
  uint32_t path;    // index into the paths
  uint32_t shared;  // longest common prefix with the entry before; 0 for the first
};

// Depth-first order. Time: one look at every token plus sorting at the branching points.
// At most 2^32 - 1 paths of at most 2^32 - 1 tokens.
std::vector<ForestEntry> build_forest(std::span<const PathView> paths);

// The entries for which keep(path) holds, with `shared` adjusted to the new neighbours.
template <class Keep>
std::vector<ForestEntry> filter_forest(std::span<const ForestEntry> forest, const Keep& keep) {
  std::vector<ForestEntry> out;
  uint32_t shared = 0;  // with the last kept entry
  bool any = false;
  for (const ForestEntry& entry : forest) {
    shared = any ? (entry.shared < shared ? entry.shared : shared) : 0;
    if (!keep(entry.path)) continue;
    out.push_back({entry.path, shared});
    any = true;
    shared = UINT32_MAX;
  }
  return out;
}

// For every entry of a forest, the longest prefix it shares with any earlier entry of the same
// group: what a statistic that counts each position once per group has seen already.
std::vector<uint32_t> shared_within_group(std::span<const ForestEntry> forest,
                                          std::span<const int> group_of_path);

// Number of distinct prefixes: the tokens that have to be computed.
uint64_t forest_tokens(std::span<const ForestEntry> forest, std::span<const PathView> paths);

}  // namespace assay::engine
