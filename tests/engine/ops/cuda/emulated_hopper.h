// The instructions of sm_90a that the tuned kernel uses (engine/ops/cuda/hopper/primitives.h),
// emulated: TMA boxes, mbarriers, WGMMA by its matrix descriptors. To be included after
// emulation.h.
//
// Shared memory is read and written as the PTX manual lays it out: TMA writes swizzled boxes, WGMMA
// decodes the descriptor's fields and swizzles the address bits by itself. Copies and products have
// happened when the call returns; a barrier that nobody completes ends the test.
#pragma once

#include "tests/engine/ops/cuda/emulation.h"

namespace assay::engine::ops::cuda_emulated {

struct TensorMap {
  const unsigned char* data;
  int64_t rows, row_bytes;
  int element_bytes;
};

using Barrier = uint64_t;

uint32_t shared_address(const void* p);
void barrier_init(Barrier* b, int arrivals);
inline void barrier_publish() {}
void barrier_arrive(Barrier* b);
void barrier_expect(Barrier* b, int bytes);
void barrier_wait(Barrier* b, int parity);
inline void tensor_map_acquire(const TensorMap*) {}
void load_box(const TensorMap* map, Barrier* b, void* to, int k, int row);
template <int>
void give_registers() {}
template <int>
void take_registers() {}

inline void wgmma_fence(float (&)[64]) {}
inline void wgmma_commit() {}
template <int>
void wgmma_wait(float (&)[64]) {}
void emulate_wgmma(float (&d)[64], uint64_t a, uint64_t b, bool add, bool fp8);
template <bool kFp8>
void wgmma(float (&d)[64], uint64_t a, uint64_t b, bool add) {
  emulate_wgmma(d, a, b, add, kFp8);
}

// Until the wait, the instruction may read its registers: a change in between would go unseen here.
void wgmma_left_registers(float (&d)[64], const uint32_t (&a)[4], uint64_t b, bool add);
inline void keep_registers(uint32_t (&)[8][4]) {}
uint32_t multiply_bf16_pairs(uint32_t a, uint32_t b);

}  // namespace assay::engine::ops::cuda_emulated
