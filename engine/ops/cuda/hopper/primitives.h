// What of sm_90a the tuned kernel uses, as inline PTX. Nothing else in the program contains any of
// it. The tests' emulation has functions of the same names
// (tests/engine/ops/cuda/emulated_hopper.h).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace assay::engine::ops::cuda {

// A CUtensorMap: what TMA has to know of a matrix.
struct alignas(64) TensorMap {
  unsigned char bytes[128];
};

using Barrier = uint64_t;  // an mbarrier in shared memory

__device__ inline uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

__device__ inline void barrier_init(Barrier* b, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(arrivals));
}
// Initialised barriers become visible to TMA.
__device__ inline void barrier_publish() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ inline void barrier_arrive(Barrier* b) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(b)) : "memory");
}
// Arrives, and makes the phase wait for so many bytes from TMA.
__device__ inline void barrier_expect(Barrier* b, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)),
               "r"(bytes)
               : "memory");
}
// Waits until the phase of this parity is complete.
__device__ inline void barrier_wait(Barrier* b, int parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}\n" ::"r"(shared_address(b)),
      "r"(parity)
      : "memory");
}

// The host has written this map to global memory: older copies of it must not be used.
__device__ inline void tensor_map_acquire(const TensorMap* map) {
  asm volatile("fence.proxy.tensormap::generic.acquire.gpu [%0], 128;" ::"l"(map) : "memory");
}
// The box of 128 bytes x 128 rows at (element of k, row) to shared memory, swizzled; zeros outside.
__device__ inline void load_box(const TensorMap* map, Barrier* b, void* to, int k, int row) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, "
      "%4}], "
      "[%2];" ::"r"(shared_address(to)),
      "l"(map), "r"(shared_address(b)), "r"(k), "r"(row)
      : "memory");
}

template <int kRegisters>
__device__ inline void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// --- wgmma: four warps together
// ---------------------------------------------------------------------------
__device__ inline void wgmma_fence(float (&d)[64]) {
#pragma unroll
  for (int i = 0; i < 64; ++i) asm volatile("" : "+f"(d[i])::"memory");
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ inline void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Until at most kPending groups are running.
template <int kPending>
__device__ inline void wgmma_wait(float (&d)[64]) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
#pragma unroll
  for (int i = 0; i < 64; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

#define ASSAY_D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define ASSAY_D64                                                                                \
  ASSAY_D4(0), ASSAY_D4(4), ASSAY_D4(8), ASSAY_D4(12), ASSAY_D4(16), ASSAY_D4(20), ASSAY_D4(24), \
      ASSAY_D4(28), ASSAY_D4(32), ASSAY_D4(36), ASSAY_D4(40), ASSAY_D4(44), ASSAY_D4(48),        \
      ASSAY_D4(52), ASSAY_D4(56), ASSAY_D4(60)
#define ASSAY_D_LIST                                                                            \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, " \
  "%20, "                                                                                       \
  "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, "  \
  "%39, "                                                                                       \
  "%40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, "  \
  "%58, "                                                                                       \
  "%59, %60, %61, %62, %63}"

// d (+)= A B^T over 32 bytes of k: A 64 rows, B 128 rows, both K-major in shared memory. `add`
// false: d is overwritten.
template <bool kFp8>
__device__ inline void wgmma(float (&d)[64], uint64_t a, uint64_t b, bool add) {
  if constexpr (kFp8) {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 " ASSAY_D_LIST
        ", %64, %65, p, 1, 1;\n}\n"
        : ASSAY_D64
        : "l"(a), "l"(b), "r"(static_cast<int>(add)));
  } else {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " ASSAY_D_LIST
        ", %64, %65, p, 1, 1, 0, 0;\n}\n"
        : ASSAY_D64
        : "l"(a), "l"(b), "r"(static_cast<int>(add)));
  }
}

// The same in bf16 over 16 of k with A in registers: lane l of warp w has row 16 w + l / 4 in a[0] and a[2], the
// row 8 below in a[1] and a[3]; columns 2 (l % 4) and the next, 8 further in a[2] and a[3].
__device__ inline void wgmma_left_registers(float (&d)[64], const uint32_t (&a)[4], uint64_t b, bool add) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " ASSAY_D_LIST
      ", {%64, %65, %66, %67}, %68, p, 1, 1, 0;\n}\n"
      : ASSAY_D64
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)));
}
// Operands in registers are read until the products have been waited for: nothing else may get their place.
__device__ inline void keep_registers(uint32_t (&a)[8][4]) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    asm volatile("" : "+r"(a[i][0]), "+r"(a[i][1]), "+r"(a[i][2]), "+r"(a[i][3])::"memory");
  }
}
// Products of two bf16 each, subnormals kept.
__device__ inline uint32_t multiply_bf16_pairs(uint32_t a, uint32_t b) {
  uint32_t out;
  asm("mul.rn.bf16x2 %0, %1, %2;" : "=r"(out) : "r"(a), "r"(b));
  return out;
}

}  // namespace assay::engine::ops::cuda
