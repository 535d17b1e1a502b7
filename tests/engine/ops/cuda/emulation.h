// CUDA's execution model on the host: every thread of a block runs, as a fibre, the kernel's text.
//
// To be included before the kernels (engine/ops/cuda/device.h). A block's threads run one after the
// other up to the next barrier or warp-wide operation; blocks run one after the other. Every other
// launch runs threads and blocks in descending order, so that a result that depends on the order -
// a race - does not keep its bits.
// Warp-wide operations follow the PTX manual: fragments of mma.m16n8k16 and ldmatrix as its figures
// show them. mma accumulates its 16 products in ascending order with fused multiply-adds, which is
// one of the orders the hardware may have, so results agree with the hardware within rounding only.
//
// What this shows: index arithmetic, barriers (a missing one is a wrong result or a deadlock, which
// ends the test), fragment layouts, bounds, arithmetic. What it can't: timing, memory coalescing,
// races that come out right in both orders, the hardware's own reading of the PTX.
//
// "Device memory" is an arena that is inaccessible except during launches and copies, so that host
// code that touches it faults. One thread at a time launches; uploads may come from another thread.
#pragma once

#define ASSAY_CUDA_NAMESPACE cuda_emulated
#define ASSAY_KERNEL inline void
#define ASSAY_UNROLL
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>

namespace assay::engine::ops::cuda_emulated {

using std::isnan;

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}  // NOLINT
};
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

// Runs `thread` once for every thread of every block.
void run_grid(dim3 grid, unsigned threads, size_t shared_bytes, const std::function<void()>& thread);

unsigned char* shared_memory();
// What shared addresses count from; the block's memory begins 128 bytes into it.
unsigned char* shared_window();
void __syncthreads();
void __syncwarp();
void yield();  // lets the other threads run: in loops that wait for them
// Every lane's 8 bytes, after all lanes of the warp have given theirs; valid until the next
// exchange.
const uint64_t* exchange(uint64_t mine);

// Byte n of the result is the byte of (b, a) that nibble n of the selector names.
inline uint32_t __byte_perm(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t both = a | uint64_t{b} << 32;
  uint32_t out = 0;
  for (int n = 0; n < 4; ++n) out |= static_cast<uint32_t>(both >> (selector >> 4 * n & 7) * 8 & 0xff) << 8 * n;
  return out;
}

template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  const uint64_t* all = exchange(bits);
  std::memcpy(&value, &all[(threadIdx.x % 32) ^ static_cast<unsigned>(mask)], sizeof(T));
  return value;
}
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  const uint64_t* all = exchange(bits);
  std::memcpy(&value, &all[lane % 32], sizeof(T));
  return value;
}

void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void load_matrices(uint32_t (&r)[4], const void* row);
void load_matrices_transposed(uint32_t (&r)[4], const void* row);

// Asynchronous copies happen when they are waited for; until then their target is NaN. Whoever reads
// too early, or writes what others still read, gets that.
void copy_async(void* to, const void* from, bool there);
inline uint64_t async_bytes = 0;  // copied so far
void commit_copies();
void wait_for_copies(int pending);
template <int kPending>
void wait_copies() {
  wait_for_copies(kPending);
}

inline float __uint_as_float(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
inline uint32_t __float_as_uint(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}

struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};

}  // namespace assay::engine::ops::cuda_emulated
