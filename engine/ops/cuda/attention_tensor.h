// Attention over slots on tensor cores (ops.h: Attention; bf16 keys and values), online softmax over
// blocks of 64 positions at absolute multiples of 64, ascending, as in attention.h.
//
// A block takes a group of tiles (attention_tiles.h), 64 (query row, head) pairs that share a KV head:
// mostly one tile, consecutive rows of one segment: of expanded MLA 64 rows of one head, of absorbed MLA
// half of a row's 128 heads, of grouped queries rows times group. The tiles of several sequences read the
// blocks of common ancestors together, then each its own; the others' pairs see nothing of these. Its
// warps stand four down, 16 pairs each, and kAcross across. Queries (rounded to bf16)
// stay in shared memory; keys and values of 64 positions come there by asynchronous copies, the next
// 64 while these are used where two stages fit. Per block of positions and warp:
//   S = Q K^T      16 pairs x 64 / kAcross positions, mma.sync m16n8k16, dimensions ascending
//   P = e^(scale S - m'), m' the running maximum; P is rounded to bf16 for the next product, not for
//       the sum
//   O = O e^(m - m') + P V    16 pairs x value_dim / kAcross, positions ascending
// kAcross is 2 where the values are too wide for the registers of one warp (absorbed MLA: 512): the
// two warps of 16 pairs then compute half the positions of S each and exchange P through shared memory.
//
// A pair's bits do not depend on the others of its block, on its row there or on what the block reads
// for others, before or behind the pair's own positions: a maximum that stays makes a factor of one,
// products with a probability of zero add zeros, and the final sum with +0 makes a negative zero
// positive. The tensor core adds the 16 products of an instruction as the hardware does.
//
// Run through the emulation of the instructions; never on hardware so far (docs/gpu.md).
#pragma once

#include "engine/ops/cuda/attention.h"

namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE {

inline constexpr int kTensorPairs = 64;

struct TensorAttentionArgs {
  AttentionArgs attention;
  const TileGroup* groups;  // of at most kTensorPairs
  int stages;               // 1 or 2
  bool wide;                // every row begins at a multiple of 16 bytes, dimensions are multiples of 8
  bool value_is_key;        // values are the first value_dim dimensions of the keys
};

// Shared memory, in chunks of 16 bytes.
struct TensorAttentionShape {
  int key_pitch, value_pitch;  // chunks of a row
  bool value_is_key;
  int across;
  ASSAY_HOST_DEVICE constexpr int query_chunks() const { return kTensorPairs * key_pitch; }
  ASSAY_HOST_DEVICE constexpr int stage_chunks() const {
    return kKvBlock * (key_pitch + (value_is_key ? 0 : value_pitch));
  }
  ASSAY_HOST_DEVICE constexpr int exchange_chunks() const {  // P, and a maximum and a sum for each
    return across == 1 ? 0 : kTensorPairs * layout::kChunks + 2 * across * kTensorPairs / 4;
  }
  ASSAY_HOST_DEVICE constexpr int bytes(int stages) const {
    return 16 * (query_chunks() + stages * stage_chunks() + exchange_chunks());
  }
};
ASSAY_HOST_DEVICE constexpr int attention_pitch(int dim) {
  return static_cast<int>(layout::round_up(dim, layout::kStep)) / 8;
}
ASSAY_HOST_DEVICE constexpr TensorAttentionShape tensor_attention_shape(int key_dim, int shared_dim,
                                                                        int value_dim,
                                                                        bool value_is_key,
                                                                        int across) {
  return {attention_pitch(key_dim + shared_dim), attention_pitch(value_dim), value_is_key, across};
}

// Eight neighbouring elements of a row of `dim` that begins at `row`, its first `key_dim` in one
// place, the rest in another; zeros beyond.
__device__ inline uint4 gather_chunk(const uint16_t* row, const uint16_t* rest, int key_dim, int dim,
                                     int first) {
  uint32_t pair[4];
  ASSAY_UNROLL
  for (int i = 0; i < 4; ++i) {
    uint32_t two[2];
    ASSAY_UNROLL
    for (int j = 0; j < 2; ++j) {
      const int d = first + 2 * i + j;
      two[j] = d < key_dim ? row[d] : d < dim ? rest[d - key_dim] : 0u;
    }
    pair[i] = two[0] | two[1] << 16;
  }
  return {pair[0], pair[1], pair[2], pair[3]};
}

// Keys and values of positions [begin, begin + count) to a stage; zeros for the rest of the 64. Eight
// neighbouring threads copy a row.
template <int kThreads>
__device__ inline void load_positions(const TensorAttentionArgs& args, const PairTile& tile,
                                      const TensorAttentionShape& shape, int64_t begin, int count,
                                      uint4* key, uint4* value) {
  const AttentionArgs& a = args.attention;
  const int t = static_cast<int>(threadIdx.x), dim = a.key_dim + a.shared_dim;
  const int key_chunks = static_cast<int>(layout::divide_up(dim, 16)) * 2;
  const int value_chunks =
      args.value_is_key ? 0 : static_cast<int>(layout::divide_up(a.value_dim, 16)) * 2;
  const int32_t* slots = a.slots + tile.slots + begin;
  for (int row = t / 8; row < kKvBlock; row += kThreads / 8) {
    const bool there = row < count;
    const int64_t slot = there ? slots[row] : 0;
    const auto* key_row = static_cast<const uint16_t*>(a.key) + slot * a.key_stride +
                          tile.kv_head * a.key_head_stride;
    const auto* shared_row = static_cast<const uint16_t*>(a.shared) + slot * a.shared_stride;
    const auto* value_row = static_cast<const uint16_t*>(a.value) + slot * a.value_stride +
                            tile.kv_head * a.value_head_stride;
    for (int chunk = t % 8; chunk < key_chunks; chunk += 8) {
      uint4* to = key + layout::swizzled_chunk(row, chunk, shape.key_pitch);
      const int d = chunk * 8;
      if (args.wide) {
        const bool inside = there && d < dim;
        copy_async(to, !inside ? a.key : d < a.key_dim ? key_row + d : shared_row + d - a.key_dim,
                   inside);
      } else {
        *to = gather_chunk(key_row, shared_row, a.key_dim, there ? dim : 0, there ? d : dim);
      }
    }
    for (int chunk = t % 8; chunk < value_chunks; chunk += 8) {
      uint4* to = value + layout::swizzled_chunk(row, chunk, shape.value_pitch);
      const int d = chunk * 8;
      if (args.wide) {
        const bool inside = there && d < a.value_dim;
        copy_async(to, inside ? value_row + d : a.value, inside);
      } else {
        *to = gather_chunk(value_row, nullptr, a.value_dim, a.value_dim, there ? d : a.value_dim);
      }
    }
  }
  commit_copies();
}

// Which of a group's tiles a pair of the block belongs to, and its number there; beyond the last pair,
// that one's.
struct BlockPair {
  int tile, index;
  bool there;
};
__device__ inline BlockPair find_pair(const PairTile* tiles, int count, int pair) {
  for (int i = 0; i < count; ++i) {
    const int pairs = tiles[i].last - tiles[i].first;
    if (pair < pairs) return {i, tiles[i].first + pair, true};
    pair -= pairs;
  }
  return {count - 1, tiles[count - 1].last - 1, false};
}
// Positions that the tile's last pair sees.
__device__ inline int tile_positions(const PairTile& tile) {
  return tile.position + (tile.last - 1) / tile.group + 1;
}

// The group's queries, rounded; zeros for pairs that do not exist.
template <int kThreads>
__device__ inline void load_queries(const AttentionArgs& a, bool wide, const PairTile* tiles, int count,
                                    const TensorAttentionShape& shape, uint4* query) {
  const int t = static_cast<int>(threadIdx.x), dim = a.key_dim + a.shared_dim;
  const int chunks = static_cast<int>(layout::divide_up(dim, 16)) * 2;
  for (int pair = t / 8; pair < kTensorPairs; pair += kThreads / 8) {
    const BlockPair at = find_pair(tiles, count, pair);
    const PairTile& tile = tiles[at.tile];
    const int index = at.index;
    const bool there = at.there;
    const float* row = a.query + (tile.row + index / tile.group) * a.query_stride +
                       static_cast<int64_t>(tile.first_head + index % tile.group) * dim;
    for (int chunk = t % 8; chunk < chunks; chunk += 8) {
      float q[8] = {};
      if (there && wide) {
        if (chunk * 8 < dim) {
          const auto* from = reinterpret_cast<const uint4*>(row + chunk * 8);
          const uint4 low = from[0], high = from[1];
          const uint32_t bits[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
          ASSAY_UNROLL
          for (int i = 0; i < 8; ++i) q[i] = __uint_as_float(bits[i]);
        }
      } else if (there) {
        ASSAY_UNROLL
        for (int i = 0; i < 8; ++i) {
          if (chunk * 8 + i < dim) q[i] = row[chunk * 8 + i];
        }
      }
      query[layout::swizzled_chunk(pair, chunk, shape.key_pitch)] = {
          bf16_pair(q[0], q[1]), bf16_pair(q[2], q[3]), bf16_pair(q[4], q[5]), bf16_pair(q[6], q[7])};
    }
  }
}

// kTiles: of 8 value dimensions that a warp has registers for; value_dim <= 8 * kTiles * kAcross.
template <int kAcross, int kTiles>
ASSAY_KERNEL __launch_bounds__(kTensorPairs / 16 * 32 * kAcross)
    tensor_attention_kernel(TensorAttentionArgs args) {
  constexpr int kDown = kTensorPairs / 16, kThreads = 32 * kDown * kAcross;
  constexpr int kScores = kKvBlock / 8 / kAcross;  // tiles of 8 positions of a warp
  const AttentionArgs& a = args.attention;
  const TileGroup group = args.groups[blockIdx.x];
  const PairTile* tiles = a.tiles + group.first;
  const int t = static_cast<int>(threadIdx.x), lane = t % 32, warp = t / 32;
  const int first_pair = warp % kDown * 16, across = warp / kDown;
  const int dim = a.key_dim + a.shared_dim;

  const TensorAttentionShape shape =
      tensor_attention_shape(a.key_dim, a.shared_dim, a.value_dim, args.value_is_key, kAcross);
  auto* query = reinterpret_cast<uint4*>(shared_memory());
  uint4* stages = query + shape.query_chunks();
  uint4* probability = stages + args.stages * shape.stage_chunks();
  auto* maximum = reinterpret_cast<float*>(probability + kTensorPairs * layout::kChunks);
  float* sum = maximum + kAcross * kTensorPairs;  // both: [across][pair]

  // Of the fragment's two rows: the pair, its tile, the last position it sees; pairs that do not exist see
  // as much as the last one.
  int row[2], owner[2], own[2];
  ASSAY_UNROLL
  for (int half = 0; half < 2; ++half) {
    row[half] = first_pair + lane / 4 + half * 8;
    const BlockPair pair = find_pair(tiles, group.count, row[half]);
    owner[half] = pair.tile;
    own[half] = tiles[pair.tile].position + pair.index / tiles[pair.tile].group;
  }
  const bool warp_there = find_pair(tiles, group.count, first_pair).there;

  float out[kTiles][4] = {};
  float top[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
  const int first_value = across * kTiles;  // tile of 8 dimensions
  // Where 64 positions are read: those of a tile, from `begin` on. The common ones are read as the first tile's.
  struct Place {
    int tile, begin, positions;  // positions of the tile
    int first_pair;              // of the tile
  };
  const auto next_of = [&](Place at) {
    at.begin += kKvBlock;
    if (at.begin < at.positions) return at;
    at.first_pair += tiles[at.tile].last - tiles[at.tile].first;
    ++at.tile;
    at.begin = group.shared * kKvBlock;
    if (at.tile < group.count) at.positions = tile_positions(tiles[at.tile]);
    return at;
  };
  int stage = 0;  // of the positions at hand
  const auto load = [&](const Place& at, int to) {
    const int left = at.positions - at.begin;
    uint4* key = stages + to * shape.stage_chunks();
    load_positions<kThreads>(args, tiles[at.tile], shape, at.begin, left < kKvBlock ? left : kKvBlock, key,
                             key + kKvBlock * shape.key_pitch);
  };

  load_queries<kThreads>(a, args.wide, tiles, group.count, shape, query);
  Place at{0, 0, tile_positions(tiles[0]), 0}, next{};
  if (args.stages > 1) load(at, 0);
  for (; at.tile < group.count; at = next, stage = args.stages - 1 - stage) {
    const int begin = at.begin;
    next = next_of(at);
    if (args.stages == 1) {
      __syncthreads();  // those before have been read
      load(at, 0);
    }
    wait_copies<0>();
    __syncthreads();  // and, of two stages, the other one has been read
    if (args.stages > 1 && next.tile < group.count) load(next, 1 - stage);
    const uint4* key = stages + stage * shape.stage_chunks();
    const uint4* value = args.value_is_key ? key : key + kKvBlock * shape.key_pitch;
    const int value_pitch = args.value_is_key ? shape.key_pitch : shape.value_pitch;
    // Of these positions: how many the warp's pairs see, the last one that each pair does.
    const bool common = begin < group.shared * kKvBlock;
    int seen = common && warp_there ? kKvBlock : 0;
    if (!common) {
      const PairTile& tile = tiles[at.tile];
      const int end = at.first_pair + tile.last - tile.first;
      const int last = (first_pair + 16 < end ? first_pair + 16 : end) - 1;
      if (last >= first_pair && last >= at.first_pair) {
        seen = tile.position + (tile.first + last - at.first_pair) / tile.group + 1 - begin;
        seen = seen < kKvBlock ? (seen > 0 ? seen : 0) : kKvBlock;
      }
    }
    if (kAcross == 1 && seen == 0) continue;
    int limit[2];
    ASSAY_UNROLL
    for (int half = 0; half < 2; ++half) limit[half] = common || owner[half] == at.tile ? own[half] : -1;

    float score[kScores][4] = {};
    if (seen > 0) {
      for (int k = 0; k * 16 < dim; ++k) {
        uint32_t q[4];
        load_matrices(q, query + layout::swizzled_chunk(first_pair + layout::a_row(lane),
                                                        2 * k + layout::a_half(lane), shape.key_pitch));
        ASSAY_UNROLL
        for (int j = 0; j < kScores; j += 2) {
          const int position = (across * kScores + j) * 8;
          if (position >= seen) break;
          uint32_t two[4];
          load_matrices(two, key + layout::swizzled_chunk(position + layout::b_row(lane),
                                                          2 * k + layout::b_half(lane), shape.key_pitch));
          const uint32_t even[2] = {two[0], two[1]}, odd[2] = {two[2], two[3]};
          mma_bf16(score[j], q, even);
          mma_bf16(score[j + 1], q, odd);
        }
      }
    }
    float best[2] = {-INFINITY, -INFINITY};
    ASSAY_UNROLL
    for (int j = 0; j < kScores; ++j) {
      ASSAY_UNROLL
      for (int e = 0; e < 4; ++e) {
        const int position = begin + (across * kScores + j) * 8 + layout::accumulator_column(lane, e);
        score[j][e] = position <= limit[e / 2] ? score[j][e] * a.scale : -INFINITY;
        best[e / 2] = fmaxf(best[e / 2], score[j][e]);
      }
    }
    float factor[2], added[2] = {0, 0};
    ASSAY_UNROLL
    for (int half = 0; half < 2; ++half) {  // over the four lanes of a row
      best[half] = fmaxf(best[half], __shfl_xor_sync(0xffffffffu, best[half], 1));
      best[half] = fmaxf(best[half], __shfl_xor_sync(0xffffffffu, best[half], 2));
    }
    if (kAcross > 1) {
      if (lane % 4 == 0) {
        maximum[across * kTensorPairs + row[0]] = best[0];
        maximum[across * kTensorPairs + row[1]] = best[1];
      }
      __syncthreads();  // and the P of the block before has been read
      ASSAY_UNROLL
      for (int half = 0; half < 2; ++half) {
        best[half] = fmaxf(maximum[row[half]], maximum[(kAcross - 1) * kTensorPairs + row[half]]);
      }
    }
    ASSAY_UNROLL
    for (int half = 0; half < 2; ++half) {
      // Position 0 is seen by all, and read first: the maximum is a number from then on.
      best[half] = fmaxf(best[half], top[half]);
      factor[half] = exponential(top[half] - best[half]);
      top[half] = best[half];
    }
    ASSAY_UNROLL
    for (int j = 0; j < kScores; ++j) {
      ASSAY_UNROLL
      for (int e = 0; e < 4; ++e) {
        score[j][e] = exponential(score[j][e] - top[e / 2]);
        added[e / 2] += score[j][e];
      }
    }
    ASSAY_UNROLL
    for (int half = 0; half < 2; ++half) {
      added[half] += __shfl_xor_sync(0xffffffffu, added[half], 1);
      added[half] += __shfl_xor_sync(0xffffffffu, added[half], 2);
    }
    if (kAcross > 1) {
      auto* words = reinterpret_cast<uint32_t*>(probability);
      ASSAY_UNROLL
      for (int j = 0; j < kScores; ++j) {
        ASSAY_UNROLL
        for (int half = 0; half < 2; ++half) {
          words[layout::swizzled_chunk(row[half], across * kScores + j) * 4 + lane % 4] =
              bf16_pair(score[j][2 * half], score[j][2 * half + 1]);
        }
      }
      if (lane % 4 == 0) {
        sum[across * kTensorPairs + row[0]] = added[0];
        sum[across * kTensorPairs + row[1]] = added[1];
      }
      __syncthreads();
      ASSAY_UNROLL
      for (int half = 0; half < 2; ++half) {
        added[half] = sum[row[half]] + sum[(kAcross - 1) * kTensorPairs + row[half]];
      }
    }
    ASSAY_UNROLL
    for (int half = 0; half < 2; ++half) total[half] = total[half] * factor[half] + added[half];
    ASSAY_UNROLL
    for (int n = 0; n < kTiles; ++n) {
      ASSAY_UNROLL
      for (int e = 0; e < 4; ++e) out[n][e] *= factor[e / 2];
    }
    ASSAY_UNROLL
    for (int k = 0; k < kKvBlock / 16; ++k) {
      if (k * 16 >= seen) break;
      uint32_t p[4];
      if constexpr (kAcross > 1) {
        load_matrices(p, probability + layout::swizzled_chunk(first_pair + layout::a_row(lane),
                                                              2 * k + layout::a_half(lane)));
      } else {
        // The accumulators of two tiles are the fragment of an operand.
        ASSAY_UNROLL
        for (int i = 0; i < 4; ++i) {
          p[i] = bf16_pair(score[2 * k + i / 2][i % 2 * 2], score[2 * k + i / 2][i % 2 * 2 + 1]);
        }
      }
      ASSAY_UNROLL
      for (int n = 0; n < kTiles; n += 2) {
        if ((first_value + n) * 8 >= a.value_dim) break;
        // Transposed: the lane that names row (position) a_row of half a_half gets B's fragment.
        uint32_t two[4];
        load_matrices_transposed(
            two, value + layout::swizzled_chunk(k * 16 + layout::a_row(lane),
                                                first_value + n + layout::a_half(lane), value_pitch));
        const uint32_t even[2] = {two[0], two[1]}, odd[2] = {two[2], two[3]};
        mma_bf16(out[n], p, even);
        mma_bf16(out[n + 1], p, odd);
      }
    }
  }

  ASSAY_UNROLL
  for (int half = 0; half < 2; ++half) {
    const BlockPair pair = find_pair(tiles, group.count, row[half]);
    if (!pair.there) continue;
    const PairTile& tile = tiles[pair.tile];
    const int index = pair.index;
    float* to = a.out + (tile.row + index / tile.group) * a.out_stride +
                static_cast<int64_t>(tile.first_head + index % tile.group) * a.value_dim;
    const float inverse = 1.0f / total[half];
    ASSAY_UNROLL
    for (int n = 0; n < kTiles; ++n) {
      ASSAY_UNROLL
      for (int i = 0; i < 2; ++i) {
        const int column = (first_value + n) * 8 + layout::accumulator_column(lane, i);
        if (column < a.value_dim) to[column] = out[n][2 * half + i] * inverse + 0.0f;
      }
    }
  }
}

}  // namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE
