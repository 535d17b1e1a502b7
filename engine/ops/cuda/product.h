// Matrix products: out[m, n] = sum over k of A[m, k] B[n, k], in the numerics modes of the engine.
//
// Tensor-core kernel (mma.sync m16n8k16, bf16 operands, sm_80 and later): a block of warps computes
// a tile of kTileRows x kTileCols; per step of 64 k, registers fetch the next step's operands while
// the tiles of the current one are in shared memory (two buffers, one barrier a step). e4m3 weights
// become bf16 on their way into shared memory, exactly.
// Accumulation order of every output element, whatever the tile, the rows of the call or their order:
//   bf16:        one fp32 accumulator, k ascending in steps of 16, one mma each;
//   block scales: per 128 of k a fresh accumulator, as above; then acc += (part * sa) * sb in fp32,
//                blocks ascending (sa only where activations are quantised).
// No split of k, no atomics. The two tile shapes (large: 128 x 128; small, for few rows: 16 x 64) give
// the same bits, so the choice may depend on the number of rows.
//
// fp32 kernel: 64 x 64 tiles, fused multiply-adds, k ascending.
//
// Not tuned: no cp.async, TMA or WGMMA. Never run on hardware so far (docs/gpu.md).
#pragma once

#include "engine/ops/cuda/layout.h"
#include "engine/ops/cuda/scalar.h"

namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE {

// The weight of one product of a launch.
struct Weight {
  const void* data;    // [rows][padded_k], granules of 8 rows (packing.h)
  const float* scale;  // [rows / 8][padded_k / 128], or null
};

// Rows [first, last) of the operand belong to product `index`.
struct RowTile {
  int32_t index, first, last;
};

struct ProductArgs {
  const void* a;               // [batch][rows][padded_k], bf16 or fp32
  const float* a_scale;        // quantised: [batch][blocks][rows padded to 4]
  int64_t rows;
  int64_t a_batch, out_batch;  // elements between products of a batch
  int padded_k;
  Weight weight;               // where `weights` is null
  const Weight* weights;       // one a batch entry or expert
  const RowTile* tiles;        // grouped: of tile blockIdx.x; else null
  const int32_t* tile_count;
  int outputs;                 // columns of the product
  int weight_rows;             // as stored
  const float* bias;           // [outputs] or null
  float* out;
  int64_t out_stride;
};

// What a block computes, resolved from its indices. Grid: row tiles x column tiles x batch.
struct Place {
  Weight weight;
  const unsigned char* a;
  const float* a_scale;
  float* out;
  int64_t first, last;  // rows
};
template <class Element>
__device__ inline Place place_of(const ProductArgs& args, int tile_rows) {
  Place p;
  p.first = static_cast<int64_t>(blockIdx.x) * tile_rows;
  p.last = p.first + tile_rows < args.rows ? p.first + tile_rows : args.rows;
  p.weight = args.weight;
  if (args.tiles != nullptr) {
    const RowTile tile = args.tiles[blockIdx.x];
    p.first = tile.first;
    p.last = tile.last;
    p.weight = args.weights[tile.index];
  } else if (args.weights != nullptr) {
    p.weight = args.weights[blockIdx.z];
  }
  p.a = static_cast<const unsigned char*>(args.a) +
        static_cast<int64_t>(blockIdx.z) * args.a_batch * static_cast<int64_t>(sizeof(Element));
  p.a_scale = args.a_scale;
  if (p.a_scale != nullptr) {
    p.a_scale += static_cast<int64_t>(blockIdx.z) * (args.padded_k / layout::kScaleBlock) *
                 layout::activation_scale_stride(args.rows);
  }
  p.out = args.out + static_cast<int64_t>(blockIdx.z) * args.out_batch;
  return p;
}

// --- tensor cores -----------------------------------------------------------------------------------
template <int kRows, int kCols, int kWarpsDown, int kWarpsAcross>
struct TileShape {
  static constexpr int kTileRows = kRows, kTileCols = kCols;
  static constexpr int kDown = kWarpsDown, kAcross = kWarpsAcross;
  static constexpr int kThreads = 32 * kWarpsDown * kWarpsAcross;
  static constexpr int kMmaRows = kRows / kWarpsDown / 16;     // mma tiles of a warp, down
  static constexpr int kMmaCols = kCols / kWarpsAcross / 8;    // and across
  static constexpr int kSharedBytes = 2 * (kRows + kCols) * layout::kStep * 2;
  static constexpr int kAChunks = kRows * layout::kChunks / kThreads;  // 16 bytes each, a thread
  static constexpr int kBChunks = kCols * layout::kChunks / kThreads;
  static_assert(kAChunks > 0 && kBChunks % 2 == 0 && kMmaCols % 2 == 0 && kCols % 16 == 0);
};
using LargeTile = TileShape<128, 128, 2, 4>;
using SmallTile = TileShape<16, 64, 1, 4>;
// Rows up to which the small tile is used.
inline constexpr int kSmallRows = 48;

// Registers that carry a step's operands from global to shared memory.
template <class Tile, bool kE4m3>
struct Fetched {
  static constexpr int kB = kE4m3 ? Tile::kBChunks / 2 : Tile::kBChunks;
  uint4 a[Tile::kAChunks], b[kB];
};

template <class Tile, bool kE4m3>
__device__ inline void fetch(const ProductArgs& args, const Place& p, int64_t first_weight_row,
                             int step, Fetched<Tile, kE4m3>& to) {
  const int t = static_cast<int>(threadIdx.x);
  const uint4 zero = {0, 0, 0, 0};
  ASSAY_UNROLL
  for (int i = 0; i < Tile::kAChunks; ++i) {
    const int chunk = t + i * Tile::kThreads;
    const int64_t row = p.first + chunk / layout::kChunks;
    const int64_t at = row * args.padded_k + step * layout::kStep + chunk % layout::kChunks * 8;
    to.a[i] = row < p.last ? *reinterpret_cast<const uint4*>(p.a + at * 2) : zero;
  }
  constexpr int kPieces = kE4m3 ? layout::kChunks / 2 : layout::kChunks;  // of 16 bytes, a row
  constexpr int kElements = layout::kStep / kPieces;
  ASSAY_UNROLL
  for (int i = 0; i < Fetched<Tile, kE4m3>::kB; ++i) {
    const int piece = t + i * Tile::kThreads;
    const int64_t row = first_weight_row + piece / kPieces;
    const int64_t at = row * args.padded_k + step * layout::kStep + piece % kPieces * kElements;
    to.b[i] = row < args.weight_rows
                  ? *reinterpret_cast<const uint4*>(static_cast<const unsigned char*>(p.weight.data) +
                                                    at * (kE4m3 ? 1 : 2))
                  : zero;
  }
}

__device__ inline uint32_t widen_pair(uint32_t two_bytes) {
  return e4m3_to_bf16(two_bytes & 0xffu) | e4m3_to_bf16(two_bytes >> 8 & 0xffu) << 16;
}

template <class Tile, bool kE4m3>
__device__ inline void store_shared(const Fetched<Tile, kE4m3>& from, uint4* a, uint4* b) {
  const int t = static_cast<int>(threadIdx.x);
  ASSAY_UNROLL
  for (int i = 0; i < Tile::kAChunks; ++i) {
    const int chunk = t + i * Tile::kThreads;
    a[layout::swizzled_chunk(chunk / layout::kChunks, chunk % layout::kChunks)] = from.a[i];
  }
  ASSAY_UNROLL
  for (int i = 0; i < Fetched<Tile, kE4m3>::kB; ++i) {
    const int piece = t + i * Tile::kThreads;
    if (!kE4m3) {
      b[layout::swizzled_chunk(piece / layout::kChunks, piece % layout::kChunks)] = from.b[i];
      continue;
    }
    const int row = piece / (layout::kChunks / 2), chunk = piece % (layout::kChunks / 2) * 2;
    const uint4 q = from.b[i];
    const uint4 low = {widen_pair(q.x), widen_pair(q.x >> 16), widen_pair(q.y), widen_pair(q.y >> 16)};
    const uint4 high = {widen_pair(q.z), widen_pair(q.z >> 16), widen_pair(q.w), widen_pair(q.w >> 16)};
    b[layout::swizzled_chunk(row, chunk)] = low;
    b[layout::swizzled_chunk(row, chunk + 1)] = high;
  }
}

// sum += A B over one step of the tiles in shared memory.
template <class Tile>
__device__ inline void multiply_step(const uint4* a, const uint4* b, int warp_row, int warp_col,
                                     float (&sum)[Tile::kMmaRows][Tile::kMmaCols][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  ASSAY_UNROLL
  for (int k = 0; k < layout::kStep / 16; ++k) {
    uint32_t a_fragment[Tile::kMmaRows][4], b_fragment[Tile::kMmaCols][2];
    ASSAY_UNROLL
    for (int i = 0; i < Tile::kMmaRows; ++i) {
      const int row = warp_row + i * 16 + layout::a_row(lane);
      load_matrices(a_fragment[i], a + layout::swizzled_chunk(row, 2 * k + layout::a_half(lane)));
    }
    ASSAY_UNROLL
    for (int j = 0; j < Tile::kMmaCols; j += 2) {
      const int row = warp_col + j * 8 + layout::b_row(lane);
      uint32_t two[4];
      load_matrices(two, b + layout::swizzled_chunk(row, 2 * k + layout::b_half(lane)));
      b_fragment[j][0] = two[0];
      b_fragment[j][1] = two[1];
      b_fragment[j + 1][0] = two[2];
      b_fragment[j + 1][1] = two[3];
    }
    ASSAY_UNROLL
    for (int i = 0; i < Tile::kMmaRows; ++i) {
      ASSAY_UNROLL
      for (int j = 0; j < Tile::kMmaCols; ++j) mma_bf16(sum[i][j], a_fragment[i], b_fragment[j]);
    }
  }
}

// kSwiglu: out[c] = silu(gate c) * up c, `outputs` counts gates.
template <class Tile, bool kE4m3, bool kSwiglu>
ASSAY_KERNEL __launch_bounds__(Tile::kThreads) product_kernel(ProductArgs args) {
  if (args.tile_count != nullptr && static_cast<int>(blockIdx.x) >= *args.tile_count) return;
  const Place p = place_of<uint16_t>(args, Tile::kTileRows);
  const int64_t first_weight_row = static_cast<int64_t>(blockIdx.y) * Tile::kTileCols;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int warp_row = warp / Tile::kAcross * (Tile::kMmaRows * 16);
  const int warp_col = warp % Tile::kAcross * (Tile::kMmaCols * 8);

  // Two buffers, each the A tile and the B tile.
  auto* shared = reinterpret_cast<uint4*>(shared_memory());
  constexpr int kABuffer = Tile::kTileRows * layout::kChunks;
  constexpr int kBuffer = kABuffer + Tile::kTileCols * layout::kChunks;

  float sum[Tile::kMmaRows][Tile::kMmaCols][4] = {};
  float total[kE4m3 ? Tile::kMmaRows : 1][kE4m3 ? Tile::kMmaCols : 1][4] = {};
  const int steps = args.padded_k / layout::kStep;
  Fetched<Tile, kE4m3> next;
  fetch<Tile, kE4m3>(args, p, first_weight_row, 0, next);
  for (int step = 0; step < steps; ++step) {
    uint4* a = shared + step % 2 * kBuffer;
    uint4* b = a + kABuffer;
    // Nobody reads this buffer any more: all have passed the last barrier, behind the step before.
    store_shared<Tile, kE4m3>(next, a, b);
    __syncthreads();
    if (step + 1 < steps) fetch<Tile, kE4m3>(args, p, first_weight_row, step + 1, next);
    multiply_step<Tile>(a, b, warp_row, warp_col, sum);
    if (!kE4m3 || step % 2 == 0) continue;
    // The end of a scale block: promotion to the running totals.
    const int block = step / 2, blocks = args.padded_k / layout::kScaleBlock;
    ASSAY_UNROLL
    for (int i = 0; i < Tile::kMmaRows; ++i) {
      float a_scale[2] = {1, 1};  // of the fragment's two rows
      ASSAY_UNROLL
      for (int half = 0; half < 2 && p.a_scale != nullptr; ++half) {
        const int64_t row = p.first + warp_row + i * 16 + lane / 4 + half * 8;
        if (row < p.last) a_scale[half] = p.a_scale[layout::activation_scale_at(row, block, args.rows)];
      }
      ASSAY_UNROLL
      for (int j = 0; j < Tile::kMmaCols; ++j) {
        const int64_t row = first_weight_row + warp_col + j * 8;
        const float b_scale =
            row < args.weight_rows ? p.weight.scale[row / layout::kGranule * blocks + block] : 0.0f;
        ASSAY_UNROLL
        for (int e = 0; e < 4; ++e) {
          const int ti = kE4m3 ? i : 0, tj = kE4m3 ? j : 0;
          total[ti][tj][e] = fmaf(sum[i][j][e] * a_scale[e / 2], b_scale, total[ti][tj][e]);
          sum[i][j][e] = 0;
        }
      }
    }
  }

  ASSAY_UNROLL
  for (int i = 0; i < Tile::kMmaRows; ++i) {
    ASSAY_UNROLL
    for (int j = 0; j < Tile::kMmaCols; j += kSwiglu ? 2 : 1) {
      ASSAY_UNROLL
      for (int e = 0; e < 4; ++e) {
        const auto result = [&](int jj) {
          return kE4m3 ? total[kE4m3 ? i : 0][kE4m3 ? jj : 0][e] : sum[i][jj][e];
        };
        const int64_t row = p.first + warp_row + i * 16 + layout::accumulator_row(lane, e);
        const int in_granule = layout::accumulator_column(lane, e);
        const int64_t granule = (first_weight_row + warp_col) / layout::kGranule + j;
        const int64_t column = (kSwiglu ? granule / 2 : granule) * layout::kGranule + in_granule;
        if (row >= p.last || column >= args.outputs) continue;
        float value = result(j);
        if (kSwiglu) value = silu(value) * result(j + 1);
        if (args.bias != nullptr) value += args.bias[column];
        p.out[row * args.out_stride + column] = value;
      }
    }
  }
}

// --- fp32 -----------------------------------------------------------------------------------------
inline constexpr int kFp32Tile = 64, kFp32Step = 16, kFp32Threads = 256;
// Tile column of element j of thread column x: pairs of a granule and its neighbour, so that a gate
// and its up meet in one thread.
ASSAY_HOST_DEVICE constexpr int fp32_column(int x, int j) { return x / 4 * 16 + x % 4 * 2 + j % 2 + j / 2 * 8; }

template <bool kSwiglu>
ASSAY_KERNEL __launch_bounds__(kFp32Threads) fp32_product_kernel(ProductArgs args) {
  if (args.tile_count != nullptr && static_cast<int>(blockIdx.x) >= *args.tile_count) return;
  __shared__ float a[kFp32Step][kFp32Tile + 1], b[kFp32Step][kFp32Tile + 1];
  const Place p = place_of<float>(args, kFp32Tile);
  const auto* rows = reinterpret_cast<const float*>(p.a);
  const auto* weights = static_cast<const float*>(p.weight.data);
  const int64_t first_weight_row = static_cast<int64_t>(blockIdx.y) * kFp32Tile;
  const int t = static_cast<int>(threadIdx.x), x = t % 16, y = t / 16;
  float sum[4][4] = {};
  for (int begin = 0; begin < args.padded_k; begin += kFp32Step) {
    for (int i = t; i < kFp32Tile * kFp32Step; i += kFp32Threads) {
      const int row = i / kFp32Step, k = i % kFp32Step;
      const int64_t a_row = p.first + row, b_row = first_weight_row + row;
      a[k][row] = a_row < p.last ? rows[a_row * args.padded_k + begin + k] : 0.0f;
      b[k][row] = b_row < args.weight_rows ? weights[b_row * args.padded_k + begin + k] : 0.0f;
    }
    __syncthreads();
    ASSAY_UNROLL
    for (int k = 0; k < kFp32Step; ++k) {
      ASSAY_UNROLL
      for (int i = 0; i < 4; ++i) {
        ASSAY_UNROLL
        for (int j = 0; j < 4; ++j) sum[i][j] = fmaf(a[k][y * 4 + i], b[k][fp32_column(x, j)], sum[i][j]);
      }
    }
    __syncthreads();
  }
  ASSAY_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int64_t row = p.first + y * 4 + i;
    if (row >= p.last) continue;
    ASSAY_UNROLL
    for (int j = 0; j < (kSwiglu ? 2 : 4); ++j) {
      const int64_t stored = first_weight_row + fp32_column(x, j);
      const int64_t column =
          kSwiglu ? stored / (2 * layout::kGranule) * layout::kGranule + stored % layout::kGranule : stored;
      if (column >= args.outputs) continue;
      float value = kSwiglu ? silu(sum[i][j]) * sum[i][j + 2] : sum[i][j];
      if (args.bias != nullptr) value += args.bias[column];
      p.out[row * args.out_stride + column] = value;
    }
  }
}

}  // namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE
