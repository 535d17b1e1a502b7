// Matrix products on sm_90a of bf16 activations by e4m3 weights with fp32 scales per 128 x 128:
// out[m, n] = sum over k of A[m, k] W[n, k]; dense, per head, grouped by expert.
//
// The product is turned around: weights are WGMMA's left operand, which may come from registers, where e4m3
// becomes bf16 (exactly); activations are the right one, from shared memory as TMA puts them there. Tile 128
// weight rows x 128 activation rows, one fixed configuration; two warpgroups have 64 weight rows each, and
// one converts while the other multiplies. A stage is 128 of k, that is one block of scales; four in flight.
//
// Accumulation order of every output element, whatever the tile, the rows of the call or their order: per 128
// of k a fresh accumulator in the tensor core, k ascending in eight steps of 16 (as product.h here: a block's part
// has the bits of the same values in bf16), then acc = part * scale + acc in fp32, fused, blocks ascending. No
// split of k, no atomics. Bits differ from engine/ops/cuda/product.h's, another profile.
//
// Compiled for sm_90a and run on the CPU through an emulation of the instructions; never run on hardware so
// far (docs/gpu.md).
#pragma once

#include "engine/ops/cuda/hopper/product.h"

namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE {

// Four e4m3 (no NaN) to two pairs of bf16, exact: exponent and fraction moved into a bf16's place are the value
// times 2^-120, subnormals included; times 2^120, by a product of pairs that keeps subnormals.
__device__ inline void widen_e4m3(uint32_t four, uint32_t& low, uint32_t& high) {
  const auto place = [](uint32_t pair) {  // two e4m3 in the upper bytes of two halves
    return multiply_bf16_pairs((pair & 0x80008000u) | (pair >> 4 & 0x07f007f0u), 0x7b807b80u);
  };
  low = place(__byte_perm(four, 0, 0x1404));
  high = place(__byte_perm(four, 0, 0x3424));
}

__device__ inline void load_mixed_tiles(const TunedArgs& args, unsigned char* stages, Barrier* full,
                                        Barrier* empty) {
  load_stages<hopper::kMixedStages, hopper::kMixedK, hopper::kMixedStageBytes>(
      args, stages, full, empty,
      [&](unsigned char* to, Barrier* arrived, const TensorMap* weight, int k, int row, int weight_row) {
        load_box(weight, arrived, to, k, weight_row);
        load_box(&args.maps[0], arrived, to + hopper::kOperandBytes, k, row);
        load_box(&args.maps[0], arrived, to + 2 * hopper::kOperandBytes, k + hopper::kMixedHalf, row);
      });
}

// A stage's weights of this thread: left operands of its eight instructions. Weights wait in the order of
// hopper::mixed_column (interleave_for_registers()).
using MixedFragments = uint32_t[8][4];

// 16 bytes of each half of k and of two rows, 8 apart. `rows`: the warp's 16, within atoms of 8 rows of 128
// bytes whose chunks TMA has swizzled.
__device__ inline void load_fragments(const unsigned char* rows, int lane, MixedFragments& out) {
  ASSAY_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int chunk = (half * 4 + lane % 4) ^ (lane / 4);
    const auto* upper = reinterpret_cast<const uint4*>(rows + lane / 4 * hopper::kStageBytesOfK + chunk * 16);
    const uint4 first = *upper, second = upper[8 * hopper::kStageBytesOfK / 16];
    widen_e4m3(first.x, out[half * 4 + 0][0], out[half * 4 + 0][2]);
    widen_e4m3(first.y, out[half * 4 + 1][0], out[half * 4 + 1][2]);
    widen_e4m3(first.z, out[half * 4 + 2][0], out[half * 4 + 2][2]);
    widen_e4m3(first.w, out[half * 4 + 3][0], out[half * 4 + 3][2]);
    widen_e4m3(second.x, out[half * 4 + 0][1], out[half * 4 + 0][3]);
    widen_e4m3(second.y, out[half * 4 + 1][1], out[half * 4 + 1][3]);
    widen_e4m3(second.z, out[half * 4 + 2][1], out[half * 4 + 2][3]);
    widen_e4m3(second.w, out[half * 4 + 3][1], out[half * 4 + 3][3]);
  }
}

// As store_tile(), turned around: a thread's rows are outputs, its columns rows of the result.
template <bool kSwiglu>
__device__ inline void store_turned(const ProductArgs& args, const TunedPlace& p, int first_output, int t,
                                    const float (&sum)[hopper::kAccumulators]) {
  ASSAY_UNROLL
  for (int i = 0; i < hopper::kAccumulators; ++i) {
    if (kSwiglu && i / 2 % 2 != 0) continue;  // an up, 8 rows below its gate: used beside it
    const int64_t stored = p.weight_row + first_output + hopper::accumulator_row(t, i);
    const int64_t row = p.first + hopper::accumulator_column(t, i);
    const int64_t column =
        kSwiglu ? stored / (2 * layout::kGranule) * layout::kGranule + stored % layout::kGranule : stored;
    if (row >= p.last || column >= args.outputs) continue;
    float value = sum[i];
    if (kSwiglu) value = silu(value) * sum[i + 2 < hopper::kAccumulators ? i + 2 : i];
    if (args.bias != nullptr) value += args.bias[column];
    args.out[p.batch * args.out_batch + row * args.out_stride + column] = value;
  }
}

template <bool kSwiglu>
__device__ inline void multiply_mixed_tiles(const TunedArgs& args, unsigned char* stages, Barrier* full,
                                            Barrier* empty, int consumer, int t) {
  const ProductArgs& product = args.product;
  const int steps = product.padded_k / hopper::kMixedK;
  const int first_output = consumer * hopper::kWarpgroupRows;
  const int lane = t % 32;
  Ring<hopper::kMixedStages> ring;
  const int64_t tiles = tuned_tiles(args);
  for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
    const TunedPlace p = tuned_place(args, index);
    if (p.weight_row + first_output >= product.weight_rows) {  // all of its outputs are beyond the end
      let_pass(ring, steps, full, empty, lane);
      continue;
    }
    // A thread's rows are in two granules: of even number (gates) and of odd number (ups).
    const Weight w = product.weights != nullptr ? product.weights[p.weight] : product.weight;
    const int64_t granules = product.weight_rows / layout::kGranule;
    const int64_t granule = (p.weight_row + first_output) / layout::kGranule;
    const float* even = w.scale + granule * steps;
    const float* odd = granule + 1 < granules ? even + steps : even;

    float part[hopper::kAccumulators] = {};
    float total[hopper::kAccumulators] = {};
    MixedFragments now, next;
    const int own_rows = (first_output + t / 32 * 16) * hopper::kStageBytesOfK;
    barrier_wait(&full[ring.stage], ring.parity);
    load_fragments(stages + ring.stage * hopper::kMixedStageBytes + own_rows, lane, now);
    for (int step = 0; step < steps; ++step) {
      const float scale[2] = {even[step], odd[step]};
      const uint32_t right = shared_address(stages + ring.stage * hopper::kMixedStageBytes + hopper::kOperandBytes);
      wgmma_fence(part);
      ASSAY_UNROLL
      for (int i = 0; i < 8; ++i) {
        const auto along =
            static_cast<uint32_t>(i / 4 * hopper::kOperandBytes + i % 4 * hopper::kInstructionBytesOfK);
        wgmma_left_registers(part, now[i], hopper::matrix_descriptor(right + along), i > 0);
      }
      wgmma_commit();
      const int multiplied = ring.stage;
      ring.next();
      if (step + 1 < steps) {  // converted while this stage is multiplied
        barrier_wait(&full[ring.stage], ring.parity);
        load_fragments(stages + ring.stage * hopper::kMixedStageBytes + own_rows, lane, next);
      }
      wgmma_wait<0>(part);
      keep_registers(now);
      if (lane == 0) barrier_arrive(&empty[multiplied]);
      ASSAY_UNROLL
      for (int i = 0; i < hopper::kAccumulators; ++i) total[i] = fmaf(part[i], scale[i / 2 % 2], total[i]);
      ASSAY_UNROLL
      for (int i = 0; i < 8; ++i) {
        ASSAY_UNROLL
        for (int j = 0; j < 4; ++j) now[i][j] = next[i][j];
      }
    }
    store_turned<kSwiglu>(product, p, first_output, t, total);
  }
}

// Grid: any number of blocks.
template <bool kSwiglu>
ASSAY_KERNEL __launch_bounds__(hopper::kThreads, 1) mixed_product_kernel(TunedArgs args) {
  share_roles<hopper::kMixedStages, hopper::kMixedStageBytes>(
      [&](unsigned char* stages, Barrier* full, Barrier* empty) { load_mixed_tiles(args, stages, full, empty); },
      [&](unsigned char* stages, Barrier* full, Barrier* empty, int consumer, int t) {
        multiply_mixed_tiles<kSwiglu>(args, stages, full, empty, consumer, t);
      });
}

// The kernel for these operands; blocks of hopper::kThreads, hopper::shared_bytes() each. A template, so that only
// a file that asks for it has the kernels: they don't compile for other architectures.
template <class = void>
auto tuned_kernel(hopper::TunedOperands operands, bool swiglu) {
  switch (operands) {
    case hopper::TunedOperands::bf16:
      return swiglu ? tuned_product_kernel<false, true> : tuned_product_kernel<false, false>;
    case hopper::TunedOperands::e4m3:
      return swiglu ? tuned_product_kernel<true, true> : tuned_product_kernel<true, false>;
    default: return swiglu ? mixed_product_kernel<true> : mixed_product_kernel<false>;
  }
}

}  // namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE
