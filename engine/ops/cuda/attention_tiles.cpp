#include "engine/ops/cuda/attention_tiles.h"

#include <algorithm>
#include <cstring>

#include "engine/ops/cuda/layout.h"

namespace assay::engine::ops {

namespace {

int64_t positions_of(const Segment& s) { return s.position + s.count; }
int64_t blocks_of(const Segment& s) { return layout::divide_up(positions_of(s), kAttentionBlock); }

// Segments [first, last) of a call, whose tiles of a KV head form a group.
struct Run {
  size_t first, last;
  int64_t shared;  // blocks
};

// Blocks that all rows of both segments see wholly, and more, in the same slots.
int64_t common_blocks(const Segment& a, const Segment& b) {
  const int64_t most = std::min(a.position, b.position) / kAttentionBlock;
  if (a.slots == b.slots) return most;
  int64_t n = 0;
  while (n < most && std::memcmp(a.slots + n * kAttentionBlock, b.slots + n * kAttentionBlock,
                                 kAttentionBlock * sizeof(int32_t)) == 0) {
    ++n;
  }
  return n;
}

// Neighbours go together while their pairs fit, reading gets less, and what the block reads for one
// sequence alone does not exceed what it reads for all: it takes twice as long as for one at most.
std::vector<Run> runs_of(std::span<const Segment> segments, int64_t heads_together, int64_t most_pairs,
                         int64_t most_segments) {
  std::vector<Run> runs;
  for (size_t i = 0; i < segments.size();) {
    Run run{i, i + 1, 0};
    int64_t rows = segments[i].count, blocks = blocks_of(segments[i]);
    int64_t shared = segments[i].position / kAttentionBlock;
    for (; run.last < segments.size(); ++run.last) {
      const Segment& next = segments[run.last];
      const auto members = static_cast<int64_t>(run.last - run.first);
      if (members == most_segments || (rows + next.count) * heads_together > most_pairs) break;
      const int64_t common = std::min(shared, common_blocks(segments[run.last - 1], next));
      const int64_t alone = blocks + blocks_of(next) - (members + 1) * common;
      if (alone > common || members * common <= (members - 1) * shared) break;
      rows += next.count;
      blocks += blocks_of(next);
      shared = run.shared = common;
    }
    i = run.last;
    runs.push_back(run);
  }
  return runs;
}

int64_t positions_read(std::span<const PairTile> tiles, int64_t shared) {
  int64_t positions = shared * kAttentionBlock;
  for (const PairTile& tile : tiles) {
    positions += int64_t{tile.position} + (tile.last - 1) / tile.group + 1 - shared * kAttentionBlock;
  }
  return positions;
}

// Slot lists one behind the other; those that begin at the same place are the same list.
class SlotLists {
 public:
  explicit SlotLists(std::span<const Segment> segments) {
    for (const Segment& s : segments) lists_.push_back({s.slots, positions_of(s), 0});
    std::sort(lists_.begin(), lists_.end(), [](const List& a, const List& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.size > b.size;
    });
    lists_.erase(std::unique(lists_.begin(), lists_.end(),
                             [](const List& a, const List& b) { return a.begin == b.begin; }),
                 lists_.end());
  }
  std::vector<int32_t> lay_out() {
    std::vector<int32_t> slots;
    for (List& list : lists_) {
      list.at = static_cast<int32_t>(slots.size());
      slots.insert(slots.end(), list.begin, list.begin + list.size);
    }
    return slots;
  }
  int32_t place(const Segment& s) const {
    return std::lower_bound(lists_.begin(), lists_.end(), s.slots,
                            [](const List& a, const int32_t* b) { return a.begin < b; })
        ->at;
  }

 private:
  struct List {
    const int32_t* begin;
    int64_t size;
    int32_t at;
  };
  std::vector<List> lists_;
};

}  // namespace

PairTiles plan_tiles(std::span<const Segment> segments, const TileRule& rule) {
  const auto first_head = [&](int64_t g) {  // lowest h with h * kv_heads / heads == g
    return static_cast<int32_t>((g * rule.heads + rule.kv_heads - 1) / rule.kv_heads);
  };
  int64_t most_segments = 1;
  const int64_t heads_together = layout::divide_up(rule.heads, rule.kv_heads);
  if (rule.group) {
    int64_t tiles = 0;
    for (const Segment& s : segments) {
      tiles += rule.kv_heads * layout::divide_up(s.count * heads_together, rule.most_pairs);
    }
    most_segments = std::max<int64_t>(1, tiles / rule.multiprocessors);
  }

  PairTiles out;
  SlotLists lists(segments);
  out.slots = lists.lay_out();
  std::vector<PairTile> tiles;
  std::vector<TileGroup> groups;
  for (const Run& run : runs_of(segments, heads_together, rule.most_pairs, most_segments)) {
    for (int32_t g = 0; g < rule.kv_heads; ++g) {
      const int32_t head = first_head(g), group = first_head(g + 1) - head;
      const auto begin = static_cast<int32_t>(tiles.size());
      for (size_t i = run.first; i < run.last; ++i) {
        const Segment& s = segments[i];
        const auto pairs = static_cast<int32_t>(s.count * group);
        for (int32_t first = 0; first < pairs; first += rule.most_pairs) {
          tiles.push_back({static_cast<int32_t>(s.row), static_cast<int32_t>(s.position), lists.place(s), g,
                           head, group, first, std::min(pairs, first + rule.most_pairs)});
        }
      }
      const auto end = static_cast<int32_t>(tiles.size());
      if (run.last - run.first > 1) {
        groups.push_back({begin, end - begin, static_cast<int32_t>(run.shared)});
      } else {
        for (int32_t tile = begin; tile < end; ++tile) groups.push_back({tile, 1, 0});
      }
    }
  }

  // Long ones first: the last blocks to run are short.
  const auto length = [&](const TileGroup& g) {
    return positions_read(std::span(tiles).subspan(static_cast<size_t>(g.first), static_cast<size_t>(g.count)),
                          g.shared);
  };
  std::stable_sort(groups.begin(), groups.end(),
                   [&](const TileGroup& a, const TileGroup& b) { return length(a) > length(b); });
  for (TileGroup& g : groups) {
    const auto from = tiles.begin() + g.first;
    g.first = static_cast<int32_t>(out.tiles.size());
    out.tiles.insert(out.tiles.end(), from, from + g.count);
  }
  out.groups = std::move(groups);
  return out;
}

int64_t positions_read(const PairTiles& tiles) {
  int64_t positions = 0;
  for (const TileGroup& g : tiles.groups) {
    positions += positions_read(
        std::span(tiles.tiles).subspan(static_cast<size_t>(g.first), static_cast<size_t>(g.count)), g.shared);
  }
  return positions;
}

}  // namespace assay::engine::ops
