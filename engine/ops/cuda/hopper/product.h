// Matrix products on sm_90a: out[m, n] = sum over k of A[m, k] W[n, k], operands bf16, or e4m3 with
// fp32 scales per 1 x 128 of A and 128 x 128 of W; dense, per head, grouped by expert.
//
// Tile 128 x 128 (layout.h), one fixed configuration for every shape and number of rows; rows
// beyond the last are computed as zeros or as somebody else's and not stored. One warp loads stages
// of 128 bytes of k by TMA, six in flight; two warpgroups of 64 rows each multiply by WGMMA. Blocks
// are persistent: while a tile is stored the next one's operands arrive.
//
// Accumulation order of every output element, whatever the tile, the rows of the call or their
// order:
//   bf16: one fp32 accumulator in the tensor core, k ascending in steps of 16;
//   e4m3: per 128 of k a fresh accumulator (4 instructions of 32), then acc = part * (sa * sb) +
//   acc in
//         fp32, fused, blocks ascending.
// No split of k, no atomics. The tensor core adds the products of a step in its own order and, for
// e4m3, with about 14 bits: bits differ from product.h's, which is another profile.
//
// Compiled for sm_90a and run on the CPU through an emulation of the instructions; never run on
// hardware so far (docs/gpu.md).
#pragma once

#include "engine/ops/cuda/hopper/layout.h"
#include "engine/ops/cuda/product.h"

namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE {

struct TunedArgs {
  ProductArgs product;                 // a, padded_k, rows, scales, tiles, outputs as there
  const TensorMap* maps;               // [0]: A as [batch x rows][padded_k]; [1 + i]: weight i; boxes of 128 bytes
  int row_tiles, column_tiles, batch;  // row_tiles: where not grouped
};

// A tile, resolved: which rows, columns and weight.
struct TunedPlace {
  int64_t first, last;  // rows
  int weight_row;       // first, as stored
  int batch, weight;
};
__device__ inline int64_t tuned_tiles(const TunedArgs& args) {
  const int rows = args.product.tiles != nullptr ? *args.product.tile_count : args.row_tiles;
  return static_cast<int64_t>(rows) * args.column_tiles * args.batch;
}
__device__ inline TunedPlace tuned_place(const TunedArgs& args, int64_t index) {
  const bool grouped = args.product.tiles != nullptr;
  const int row_tiles = grouped ? *args.product.tile_count : args.row_tiles;
  const int64_t each = static_cast<int64_t>(row_tiles) * args.column_tiles;
  const hopper::Tile tile = hopper::tile_at(index % each, row_tiles, args.column_tiles);
  TunedPlace p;
  p.batch = static_cast<int>(index / each);
  p.weight = p.batch;
  p.weight_row = tile.column * hopper::kTileColumns;
  if (grouped) {
    const RowTile rows = args.product.tiles[tile.row];
    p.first = rows.first;
    p.last = rows.last;
    p.weight = rows.index;
  } else {
    p.first = static_cast<int64_t>(tile.row) * hopper::kTileRows;
    p.last = p.first + hopper::kTileRows < args.product.rows ? p.first + hopper::kTileRows
                                                             : args.product.rows;
  }
  return p;
}

// The ring of stages: which one, and the parity of its barriers' phase.
template <int kStages = hopper::kStages>
struct Ring {
  int stage = 0, parity = 0;
  __device__ inline void next() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

// So many stages that a warpgroup has no use for.
template <int kStages>
__device__ inline void let_pass(Ring<kStages>& ring, int steps, Barrier* full, Barrier* empty, int lane) {
  for (int step = 0; step < steps; ++step) {
    barrier_wait(&full[ring.stage], ring.parity);
    if (lane == 0) barrier_arrive(&empty[ring.stage]);
    ring.next();
  }
}

// Stages of kStageK of k and kStageBytes in the order in which they are multiplied; `boxes` starts the copies of
// one: (where to, its barrier, map of the weight, k, row of A, row of the weight).
template <int kStages, int kStageK, int kStageBytes, class Boxes>
__device__ inline void load_stages(const TunedArgs& args, unsigned char* stages, Barrier* full, Barrier* empty,
                                   const Boxes& boxes) {
  const int steps = args.product.padded_k / kStageK;
  tensor_map_acquire(&args.maps[0]);
  Ring<kStages> ring;
  const int64_t tiles = tuned_tiles(args);
  for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
    const TunedPlace p = tuned_place(args, t);
    const TensorMap* weight = &args.maps[1 + p.weight];
    tensor_map_acquire(weight);
    const int row = static_cast<int>(p.batch * args.product.rows + p.first);
    for (int step = 0; step < steps; ++step) {
      barrier_wait(&empty[ring.stage], ring.parity ^ 1);  // the first round finds all stages empty
      barrier_expect(&full[ring.stage], kStageBytes);
      boxes(stages + ring.stage * kStageBytes, &full[ring.stage], weight, step * kStageK, row, p.weight_row);
      ring.next();
    }
  }
}

template <bool kFp8>
__device__ inline void load_tiles(const TunedArgs& args, unsigned char* stages, Barrier* full,
                                  Barrier* empty) {
  constexpr int kElements = hopper::kStageBytesOfK / (kFp8 ? 1 : 2);
  load_stages<hopper::kStages, kElements, 2 * hopper::kOperandBytes>(
      args, stages, full, empty,
      [&](unsigned char* to, Barrier* arrived, const TensorMap* weight, int k, int row, int weight_row) {
        load_box(&args.maps[0], arrived, to, k, row);
        load_box(weight, arrived, to + hopper::kOperandBytes, k, weight_row);
      });
}

// silu(gate) * up, or the values as they are, plus bias; two neighbouring columns a thread.
template <bool kSwiglu>
__device__ inline void store_tile(const ProductArgs& args, const TunedPlace& p, int first_row,
                                  int t, const float (&sum)[hopper::kAccumulators]) {
  ASSAY_UNROLL
  for (int i = 0; i < hopper::kAccumulators; ++i) {
    const int column_in_tile = hopper::accumulator_column(t, i);
    const int granule = column_in_tile / layout::kGranule;
    if (kSwiglu && granule % 2 != 0) continue;  // an up: used beside its gate
    const int64_t row = p.first + first_row + hopper::accumulator_row(t, i);
    const int64_t stored = p.weight_row + column_in_tile;
    const int64_t column =
        kSwiglu ? stored / (2 * layout::kGranule) * layout::kGranule + stored % layout::kGranule
                : stored;
    if (row >= p.last || column >= args.outputs) continue;
    float value = sum[i];
    if (kSwiglu) value = silu(value) * sum[i + 4 < hopper::kAccumulators ? i + 4 : i];
    if (args.bias != nullptr) value += args.bias[column];
    args.out[p.batch * args.out_batch + row * args.out_stride + column] = value;
  }
}

template <bool kFp8, bool kSwiglu>
__device__ inline void multiply_tiles(const TunedArgs& args, unsigned char* stages, Barrier* full,
                                      Barrier* empty, int consumer, int t) {
  constexpr int kInstructions = hopper::kStageBytesOfK / hopper::kInstructionBytesOfK;
  const ProductArgs& product = args.product;
  const int steps = product.padded_k / (hopper::kStageBytesOfK / (kFp8 ? 1 : 2));
  const int first_row = consumer * hopper::kWarpgroupRows;
  const int lane = t % 32;
  Ring<> ring;
  const int64_t tiles = tuned_tiles(args);
  for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
    const TunedPlace p = tuned_place(args, index);
    if (p.first + first_row >= p.last) {  // all of its rows are beyond the end
      let_pass(ring, steps, full, empty, lane);
      continue;
    }
    float part[hopper::kAccumulators] = {};
    float total[kFp8 ? hopper::kAccumulators : 1] = {};
    // Scales: two rows a thread; granules of even and of odd number (a tile covers one block of 128
    // outputs, or half a block of gates and the same half of ups).
    const float *a_scale = nullptr, *b_even = nullptr, *b_odd = nullptr;
    int64_t row[2] = {0, 0};
    if (kFp8) {
      const int blocks = product.padded_k / layout::kScaleBlock;
      a_scale = product.a_scale + static_cast<int64_t>(p.batch) * blocks *
                                      layout::activation_scale_stride(product.rows);
      const Weight w = product.weights != nullptr ? product.weights[p.weight] : product.weight;
      const int64_t granules = product.weight_rows / layout::kGranule;
      const int64_t granule = p.weight_row / layout::kGranule;
      b_even = w.scale + granule * blocks;
      b_odd = granule + 1 < granules ? b_even + blocks : b_even;
      for (int half = 0; half < 2; ++half) {
        const int64_t r = p.first + first_row + hopper::accumulator_row(t, 2 * half);
        row[half] = r < product.rows ? r : product.rows - 1;  // a place that exists; not stored
      }
    }
    int before = 0;
    for (int step = 0; step < steps; ++step) {
      float low = 0, high = 0, even = 0, odd = 0;
      if (kFp8) {  // on the way while the stage arrives
        low = a_scale[layout::activation_scale_at(row[0], step, product.rows)];
        high = a_scale[layout::activation_scale_at(row[1], step, product.rows)];
        even = b_even[step];
        odd = b_odd[step];
      }
      barrier_wait(&full[ring.stage], ring.parity);
      const unsigned char* a = stages + ring.stage * 2 * hopper::kOperandBytes;
      const uint32_t a_at = shared_address(a + first_row * hopper::kStageBytesOfK);
      const uint32_t b_at = shared_address(a + hopper::kOperandBytes);
      wgmma_fence(part);
      ASSAY_UNROLL
      for (int i = 0; i < kInstructions; ++i) {
        const auto along = static_cast<uint32_t>(i * hopper::kInstructionBytesOfK);
        wgmma<kFp8>(part, hopper::matrix_descriptor(a_at + along),
                    hopper::matrix_descriptor(b_at + along), kFp8 ? i > 0 : step + i > 0);
      }
      wgmma_commit();
      if constexpr (kFp8) {
        wgmma_wait<0>(part);
        if (lane == 0) barrier_arrive(&empty[ring.stage]);
        const float scale[2][2] = {{low * even, low * odd}, {high * even, high * odd}};
        ASSAY_UNROLL
        for (int i = 0; i < hopper::kAccumulators; ++i) {
          total[i] = fmaf(part[i], scale[i / 2 % 2][i / 4 % 2], total[i]);
        }
      } else {
        // The stage before is free once only this one's instructions are running.
        wgmma_wait<1>(part);
        if (step > 0 && lane == 0) barrier_arrive(&empty[before]);
        before = ring.stage;
      }
      ring.next();
    }
    if constexpr (kFp8) {
      store_tile<kSwiglu>(product, p, first_row, t, total);
    } else {
      wgmma_wait<0>(part);
      if (lane == 0) barrier_arrive(&empty[before]);
      store_tile<kSwiglu>(product, p, first_row, t, part);
    }
  }
}

// The roles of a block: one thread of the last warpgroup loads stages of kStageBytes, the others multiply them.
template <int kStages, int kStageBytes, class Load, class Multiply>
__device__ inline void share_roles(const Load& load, const Multiply& multiply) {
  unsigned char* raw = shared_memory();
  unsigned char* stages =
      raw + ((hopper::kAlignment - shared_address(raw) % hopper::kAlignment) % hopper::kAlignment);
  auto* full = reinterpret_cast<Barrier*>(stages + kStages * kStageBytes);
  Barrier* empty = full + kStages;
  const int thread = static_cast<int>(threadIdx.x);
  // By a shuffle, so that the compiler knows that a warp goes one way.
  const int group = __shfl_sync(0xffffffffu, thread / 128, 0);
  if (thread == 0) {
    for (int s = 0; s < kStages; ++s) {
      barrier_init(&full[s], 1);
      barrier_init(&empty[s], 4 * hopper::kConsumers);  // a lane of each warp
    }
    barrier_publish();
  }
  __syncthreads();
  // 168 registers a thread on average: the loading warpgroup gives most of its own to the others.
  if (group == hopper::kConsumers) {
    give_registers<40>();
    if (thread == 128 * hopper::kConsumers) load(stages, full, empty);
  } else {
    take_registers<232>();
    multiply(stages, full, empty, group, thread % 128);
  }
}

// Grid: any number of blocks.
template <bool kFp8, bool kSwiglu>
ASSAY_KERNEL __launch_bounds__(hopper::kThreads, 1) tuned_product_kernel(TunedArgs args) {
  share_roles<hopper::kStages, 2 * hopper::kOperandBytes>(
      [&](unsigned char* stages, Barrier* full, Barrier* empty) { load_tiles<kFp8>(args, stages, full, empty); },
      [&](unsigned char* stages, Barrier* full, Barrier* empty, int consumer, int t) {
        multiply_tiles<kFp8, kSwiglu>(args, stages, full, empty, consumer, t);
      });
}

}  // namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE
