#include "engine/execute/forest.h"

#include <algorithm>
#include <map>

namespace assay::engine {

namespace {

// The contiguous run of a path that starts at position i.
TokenSpan run_at(const PathView& path, size_t i) {
  return i < path.head.size() ? path.head.subspan(i) : path.tail.subspan(i - path.head.size());
}

}  // namespace

size_t common_prefix(const PathView& a, const PathView& b, size_t known) {
  const size_t limit = std::min(a.size(), b.size());
  size_t i = known;
  while (i < limit) {
    const TokenSpan x = run_at(a, i), y = run_at(b, i);
    const size_t n = std::min(x.size(), y.size());
    const auto [p, q] = std::mismatch(x.begin(), x.begin() + static_cast<ptrdiff_t>(n), y.begin());
    const auto agreed = static_cast<size_t>(p - x.begin());
    i += agreed;
    if (agreed < n) break;
  }
  return i;
}

std::vector<ForestEntry> build_forest(std::span<const PathView> paths) {
  const auto count = static_cast<uint32_t>(paths.size());
  std::vector<ForestEntry> forest(count);
  for (uint32_t i = 0; i < count; ++i) forest[i] = {i, 0};

  // A group of entries that agree in their first `depth` tokens; the `shared` of its first entry
  // is already final. An explicit stack: chains of nested prefixes can be deep.
  struct Group {
    uint32_t begin, end, depth;
  };
  std::vector<Group> stack;
  if (count > 1) stack.push_back({0, count, 0});
  std::vector<uint64_t> keys;  // token (offset to unsigned) above, path index below
  while (!stack.empty()) {
    const Group group = stack.back();
    stack.pop_back();
    const PathView& first = paths[forest[group.begin].path];
    // How far the whole group agrees. Every token is looked at once over the whole build, since
    // subgroups start behind what their parents compared.
    size_t depth = first.size();
    for (uint32_t i = group.begin + 1; i < group.end; ++i) {
      depth = std::min(depth, paths[forest[i].path].size());
    }
    for (uint32_t i = group.begin + 1; i < group.end && depth > group.depth; ++i) {
      const PathView& other = paths[forest[i].path];
      const PathView cut{first.head.first(std::min(first.head.size(), depth)),
                         first.tail.first(depth - std::min(first.head.size(), depth))};
      depth = common_prefix(cut, other, group.depth);
    }
    keys.clear();
    for (uint32_t i = group.begin; i < group.end; ++i) {
      const PathView& path = paths[forest[i].path];
      // Paths that end here come first: key 0. Token ids are shifted by one above it.
      const uint64_t token =
          path.size() == depth ? 0 : (static_cast<uint64_t>(static_cast<uint32_t>(path[depth])) + 1);
      keys.push_back(token << 32 | forest[i].path);
    }
    // Token values above 2^32 - 2 cannot occur: ids are non-negative int32.
    std::sort(keys.begin(), keys.end());
    uint32_t at = group.begin;
    uint32_t start = 0;
    for (uint32_t i = 0; i < keys.size(); ++i, ++at) {
      forest[at].path = static_cast<uint32_t>(keys[i]);
      if (at != group.begin) forest[at].shared = static_cast<uint32_t>(depth);
      const bool last = i + 1 == keys.size() || (keys[i + 1] >> 32) != (keys[i] >> 32);
      if (!last) continue;
      if ((keys[i] >> 32) != 0 && i > start) {
        stack.push_back({group.begin + start, group.begin + i + 1, static_cast<uint32_t>(depth) + 1});
      }
      start = i + 1;
    }
  }
  return forest;
}

std::vector<uint32_t> shared_within_group(std::span<const ForestEntry> forest,
                                          std::span<const int> group_of_path) {
  std::vector<uint32_t> out(forest.size(), 0);
  std::map<int, uint32_t> last;  // group -> its last entry
  // Entries whose `shared` is smaller than that of every later one so far: the minimum of `shared`
  // over (q, i] is that of the first stack entry behind q.
  std::vector<uint32_t> stack;
  for (uint32_t i = 0; i < forest.size(); ++i) {
    while (!stack.empty() && forest[stack.back()].shared >= forest[i].shared) stack.pop_back();
    stack.push_back(i);
    const auto [it, fresh] = last.try_emplace(group_of_path[forest[i].path], i);
    if (fresh) continue;
    const uint32_t before = it->second;
    out[i] = forest[*std::upper_bound(stack.begin(), stack.end(), before)].shared;
    it->second = i;
  }
  return out;
}

uint64_t forest_tokens(std::span<const ForestEntry> forest, std::span<const PathView> paths) {
  uint64_t tokens = 0;
  for (const ForestEntry& entry : forest) tokens += paths[entry.path].size() - entry.shared;
  return tokens;
}

}  // namespace assay::engine
