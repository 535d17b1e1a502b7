// Which (query row, head) pairs of an attention call one block computes, and the order of the keys and
// values it reads. Plain C++, needs no CUDA.
//
// A tile is pairs of one segment that share a KV head. Where sequences have ancestors in common, as those
// of one prompt have while they are decoded, a row of grouped queries fills little of a block: then several
// sequences' tiles form a group, whose block reads the keys and values of the common ancestors once, for
// all of them, and then each sequence's own for its rows. Every row still meets its positions in ascending
// order, so its bits are the same in any group.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/ops/ops.h"

namespace assay::engine::ops {

// Pairs [first, last) of a segment and KV head; pair i is query row i / group, head i % group.
struct PairTile {
  int32_t row, position;  // of the segment's first query row
  int32_t slots;          // where the segment's slot list begins
  int32_t kv_head, first_head, group;
  int32_t first, last;
};

// Tiles of one KV head; their slot lists have the first `shared` blocks of kAttentionBlock in common, and
// every row sees more than these.
struct TileGroup {
  int32_t first, count;  // tiles
  int32_t shared;
};

struct PairTiles {
  std::vector<TileGroup> groups;     // a block each, long ones first
  std::vector<PairTile> tiles;  // in the order of the groups
  std::vector<int32_t> slots;
};

struct TileRule {
  int heads = 0, kv_heads = 0;
  int32_t most_pairs = 0;   // of a tile, or of a group of several
  bool group = false;
  int multiprocessors = 1;  // no groups that would leave some of them without
};

// A function of the segments' structure alone.
PairTiles plan_tiles(std::span<const Segment> segments, const TileRule& rule);

// Positions whose keys and values all blocks together read.
int64_t positions_read(const PairTiles& tiles);

}  // namespace assay::engine::ops
