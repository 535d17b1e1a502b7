// What a kernel may use: CUDA's own names under nvcc, an emulation of them elsewhere.
//
// Kernels are written in plain CUDA C++ over these few primitives, so that the same text is compiled
// by nvcc for the device and, in the tests, by the host compiler over an emulation that runs every
// thread of a block (tests/engine/ops/cuda/emulation.h, to be included before any kernel). The two
// live in different namespaces, ASSAY_CUDA_NAMESPACE, because a program may hold both.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define ASSAY_CUDA_NAMESPACE cuda
#define ASSAY_KERNEL static __global__ void
// Before loops over arrays that have to stay in registers.
#define ASSAY_UNROLL _Pragma("unroll")

#include <cuda_runtime.h>

namespace assay::engine::ops::cuda {

// The block's dynamic shared memory.
__device__ inline unsigned char* shared_memory() {
  extern __shared__ __align__(128) unsigned char memory[];
  return memory;
}

// d += A B of one 16 x 16 by 16 x 8 tile, bf16 operands, fp32 accumulation: mma.sync (sm_80), whose
// fragments are those of layout.h.
__device__ inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8 x 8 matrices of 16-bit elements: lane l names the 16-byte row l % 8 of matrix l / 8 and
// receives elements 2 (l % 4) and + 1 of row l / 4 of each.
__device__ inline void load_matrices(uint32_t (&r)[4], const void* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

// The same, each matrix transposed: elements (2 (l % 4), l / 4) and (2 (l % 4) + 1, l / 4).
__device__ inline void load_matrices_transposed(uint32_t (&r)[4], const void* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

// 16 bytes from global to shared memory behind the thread's back, or 16 zeros where `there` is false
// (`from` is not read then). They are there for the thread that asked once it has waited for the group
// of copies, and for others behind a barrier after that.
__device__ inline void copy_async(void* to, const void* from, bool there) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address),
               "l"(__cvta_generic_to_global(from)), "r"(there ? 16 : 0)
               : "memory");
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until at most kPending of the groups are under way.
template <int kPending>
__device__ inline void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace assay::engine::ops::cuda

#elif !defined(ASSAY_CUDA_NAMESPACE)
#error "kernels are compiled by nvcc, or over the tests' emulation, which must be included first"
#endif
