#include "tests/engine/ops/cuda/emulated_hopper.h"

#include <cstdio>
#include <cstdlib>

#include "engine/checkpoint/tensor.h"

namespace assay::engine::ops::cuda_emulated {

namespace {

[[noreturn]] void stuck(const char* what) {
  std::fprintf(stderr, "emulated kernel: %s\n", what);
  std::abort();
}

// An mbarrier in its 8 bytes: arrivals expected in a phase, arrivals pending, bytes pending, the
// phase.
struct State {
  uint8_t expected, pending, phase, used;
  int32_t bytes;
};
static_assert(sizeof(State) == sizeof(Barrier));

State load(const Barrier* b) {
  State s;
  std::memcpy(&s, b, sizeof s);
  if (s.used != 0x5a) stuck("a barrier that was not initialised");
  return s;
}
void store(Barrier* b, State s) {
  if (s.pending == 0 && s.bytes == 0) {
    s.phase ^= 1;
    s.pending = s.expected;
  }
  std::memcpy(b, &s, sizeof s);
}

// PTX manual: with 128-byte swizzling, 16-byte chunk c of row r (of 8 rows of 128 bytes) lies at
// chunk c xor r of that row; rows and chunks are bits 7-9 and 4-6 of the shared address.
uint32_t swizzled(uint32_t address) {
  const uint32_t chunk = address / 16 % 8, row = address / 128 % 8;
  return address - chunk * 16 + (chunk ^ row) * 16;
}

constexpr int64_t kMostSpins = 20'000'000;

}  // namespace

uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(static_cast<const unsigned char*>(p) - shared_window());
}

void barrier_init(Barrier* b, int arrivals) {
  const State s{static_cast<uint8_t>(arrivals), static_cast<uint8_t>(arrivals), 0, 0x5a, 0};
  std::memcpy(b, &s, sizeof s);
}
void barrier_arrive(Barrier* b) {
  State s = load(b);
  if (s.pending == 0) stuck("more arrivals than a barrier expects");
  --s.pending;
  store(b, s);
}
void barrier_expect(Barrier* b, int bytes) {
  State s = load(b);
  if (s.pending == 0) stuck("more arrivals than a barrier expects");
  s.bytes += bytes;
  --s.pending;
  store(b, s);
}
void barrier_wait(Barrier* b, int parity) {
  // The phase of this parity is complete when the current one has the other parity.
  for (int64_t spins = 0; load(b).phase == parity; ++spins) {
    if (spins == kMostSpins) stuck("a barrier's phase that never completes");
    yield();
  }
}

void load_box(const TensorMap* map, Barrier* b, void* to, int k, int row) {
  const uint32_t base = shared_address(to);
  if (base % 1024 != 0) stuck("a swizzled box that is not aligned");
  if (reinterpret_cast<uintptr_t>(map->data) % 16 != 0 || map->row_bytes % 16 != 0) {
    stuck("a tensor map that TMA refuses");
  }
  for (uint32_t r = 0; r < 128; ++r) {
    for (uint32_t c = 0; c < 128; c += 16) {
      const int64_t at_row = row + static_cast<int64_t>(r),
                    at = int64_t{k} * map->element_bytes + c;
      unsigned char* dst = shared_window() + swizzled(base + r * 128 + c);
      if (at_row < map->rows && at + 16 <= map->row_bytes) {
        std::memcpy(dst, map->data + at_row * map->row_bytes + at, 16);
      } else {
        std::memset(dst, 0, 16);
      }
    }
  }
  State s = load(b);
  s.bytes -= 128 * 128;
  store(b, s);
}

namespace {

float operand(uint64_t descriptor, uint32_t row, uint32_t k, bool fp8) {
  const auto start = static_cast<uint32_t>(descriptor & 0x3fff) * 16;
  const auto stride = static_cast<uint32_t>(descriptor >> 32 & 0x3fff) * 16;
  if (descriptor >> 62 != 1) stuck("a descriptor without 128-byte swizzle");
  const uint32_t at = start + row / 8 * stride + row % 8 * 128 + k * (fp8 ? 1 : 2);
  const unsigned char* p = shared_window() + swizzled(at);
  if (fp8) return e4m3_to_float(*p);
  uint16_t half = 0;
  std::memcpy(&half, p, 2);
  return bf16_to_float(half);
}

// The rest of an instruction over `depth` of k, given this thread's two rows of A.
void multiply(float (&d)[64], const float (&rows)[2][32], uint64_t b, bool add, bool fp8, uint32_t depth) {
  const unsigned lane = threadIdx.x % 32;
  for (uint32_t pair = 0; pair < 32; ++pair) {
    const uint32_t column = pair / 2 * 8 + lane % 4 * 2 + pair % 2;
    float w[32];
    for (uint32_t k = 0; k < depth; ++k) w[k] = operand(b, column, k, fp8);
    for (uint32_t half = 0; half < 2; ++half) {
      const uint32_t i = pair / 2 * 4 + half * 2 + pair % 2;
      float sum = add ? d[i] : 0.0f;
      for (uint32_t k = 0; k < depth; ++k) sum = std::fma(rows[half][k], w[k], sum);
      d[i] = sum;
    }
  }
}

}  // namespace

// D[64][128] of the warpgroup. Lane l of warp w holds, in register i, row 16 w + l / 4 (+ 8 for the
// second pair of four), columns 8 (i / 4) + 2 (l % 4) + i % 2 (PTX: wgmma .m64nNk D fragments).
void emulate_wgmma(float (&d)[64], uint64_t a, uint64_t b, bool add, bool fp8) {
  const unsigned t = threadIdx.x % 128, warp = t / 32, lane = t % 32;
  const uint32_t depth = fp8 ? 32 : 16;
  float rows[2][32];
  for (uint32_t half = 0; half < 2; ++half) {
    for (uint32_t k = 0; k < depth; ++k) rows[half][k] = operand(a, warp * 16 + lane / 4 + half * 8, k, fp8);
  }
  multiply(d, rows, b, add, fp8, depth);
}

// PTX manual, "WGMMA .m64nNk16: A fragment": the four threads of a quad share two rows; a row's 16 columns are
// in registers 0 and 2 (upper row) or 1 and 3 (lower row).
void wgmma_left_registers(float (&d)[64], const uint32_t (&a)[4], uint64_t b, bool add) {
  const unsigned lane = threadIdx.x % 32;
  float rows[2][32];
  for (int half = 0; half < 2; ++half) {  // of the 16 columns
    const uint64_t* all = exchange(a[half * 2] | uint64_t{a[half * 2 + 1]} << 32);
    for (uint32_t other = 0; other < 4; ++other) {
      const uint64_t both = all[lane / 4 * 4 + other];
      for (int row = 0; row < 2; ++row) {
        float* to = rows[row] + half * 8 + other * 2;
        to[0] = bf16_to_float(static_cast<uint16_t>(both >> 32 * row));
        to[1] = bf16_to_float(static_cast<uint16_t>(both >> (32 * row + 16)));
      }
    }
  }
  multiply(d, rows, b, add, false, 16);
}

uint32_t multiply_bf16_pairs(uint32_t a, uint32_t b) {
  const auto product = [](uint32_t x, uint32_t y) {
    return uint32_t{float_to_bf16(bf16_to_float(static_cast<uint16_t>(x)) * bf16_to_float(static_cast<uint16_t>(y)))};
  };
  return product(a & 0xffffu, b & 0xffffu) | product(a >> 16, b >> 16) << 16;
}

}  // namespace assay::engine::ops::cuda_emulated
