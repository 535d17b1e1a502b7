#include "tests/engine/ops/cuda/emulation.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "engine/checkpoint/tensor.h"

#if defined(__x86_64__)
// Saves the callee's registers and stack pointer, continues where `to` was saved.
extern "C" void assay_switch_fibre(void** from, void* to);
asm(R"(
.text
.type assay_switch_fibre, @function
assay_switch_fibre:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size assay_switch_fibre, .-assay_switch_fibre
)");
#endif

namespace assay::engine::ops::cuda_emulated {

namespace {

constexpr size_t kStack = 128 << 10, kSharedAlignment = 1024;

enum class Wait { none, warp, block, finished };

struct Copy {
  void* to;
  const void* from;
  int group;
};

struct Fibre {
  std::unique_ptr<char[]> memory{new char[kStack]};
  void* stack = nullptr;
  Wait wait = Wait::none;
  std::vector<Copy> copies;  // under way
  int groups = 0;            // of copies, committed
};

struct Warp {
  int waiting = 0, alive = 0;
  int parity = 0;  // of the exchange in progress
  uint64_t posted[2][32] = {};
};

struct Machine {
  std::vector<std::unique_ptr<Fibre>> fibres;
  std::vector<Warp> warps;
  unsigned threads = 0, current = 0;
  bool reversed = false;  // threads, warps and blocks run in descending order
  void* scheduler = nullptr;
  const std::function<void()>* body = nullptr;
  std::vector<unsigned char> shared;
  unsigned char* shared_base = nullptr;
};
Machine machine;

void to_scheduler(Wait wait) {
#if defined(__x86_64__)
  Fibre& fibre = *machine.fibres[machine.current];
  fibre.wait = wait;
  assay_switch_fibre(&fibre.stack, machine.scheduler);
#else
  (void)wait;
#endif
}

void fibre_main() {
  (*machine.body)();
  to_scheduler(Wait::finished);
  std::abort();
}

void resume(unsigned t) {
#if defined(__x86_64__)
  machine.current = t;
  threadIdx.x = t;
  Fibre& fibre = *machine.fibres[t];
  fibre.wait = Wait::none;
  assay_switch_fibre(&machine.scheduler, fibre.stack);
#else
  (void)t;
  std::abort();
#endif
}

void start(Fibre& fibre) {
  // A stack from which the switch "returns" into fibre_main, aligned as after a call.
  auto top = reinterpret_cast<uintptr_t>(fibre.memory.get() + kStack) & ~uintptr_t{15};
  auto* words = reinterpret_cast<uintptr_t*>(top);
  *--words = 0;
  *--words = reinterpret_cast<uintptr_t>(&fibre_main);
  for (int i = 0; i < 6; ++i) *--words = 0;
  fibre.stack = words;
  fibre.wait = Wait::none;
  fibre.groups = 0;
}

[[noreturn]] void stuck(const char* what) {
  std::fprintf(stderr, "emulated kernel: %s\n", what);
  std::abort();
}

void run_block() {
  for (Warp& warp : machine.warps) warp = {};
  for (unsigned t = 0; t < machine.threads; ++t) {
    start(*machine.fibres[t]);
    ++machine.warps[t / 32].alive;
  }
  unsigned alive = machine.threads;
  while (alive > 0) {
    bool moved = false;
    const auto warps = static_cast<unsigned>(machine.warps.size());
    for (unsigned i = 0; i < warps; ++i) {
      const unsigned w = machine.reversed ? warps - 1 - i : i;
      const unsigned first = w * 32, last = std::min(machine.threads, first + 32);
      while (true) {
        unsigned ran = 0, at_warp = 0;
        for (unsigned lane = 0; lane < last - first; ++lane) {
          const unsigned t = machine.reversed ? last - 1 - lane : first + lane;
          if (machine.fibres[t]->wait == Wait::none) {
            resume(t);
            ++ran;
            if (machine.fibres[t]->wait == Wait::finished) {
              --alive;
              if (!machine.fibres[t]->copies.empty()) stuck("asynchronous copies that nobody waits for");
            }
          }
          at_warp += machine.fibres[t]->wait == Wait::warp;
        }
        moved |= ran > 0;
        if (at_warp == 0) break;
        if (at_warp != last - first) stuck("a warp-wide operation that not all lanes reach");
        machine.warps[w].parity ^= 1;
        for (unsigned t = first; t < last; ++t) machine.fibres[t]->wait = Wait::none;
      }
    }
    unsigned at_block = 0;
    for (unsigned t = 0; t < machine.threads; ++t) {
      at_block += machine.fibres[t]->wait == Wait::block;
    }
    if (at_block == 0) continue;
    if (at_block != alive) stuck("a barrier that not all threads reach");
    if (alive != machine.threads) stuck("a barrier after some threads have returned");
    for (unsigned t = 0; t < machine.threads; ++t) machine.fibres[t]->wait = Wait::none;
    if (!moved) stuck("no thread can go on");
  }
}

}  // namespace

void run_grid(dim3 grid, unsigned threads, size_t shared_bytes, const std::function<void()>& thread) {
  machine.threads = threads;
  while (machine.fibres.size() < threads) machine.fibres.push_back(std::make_unique<Fibre>());
  machine.warps.assign((threads + 31) / 32, {});
  machine.body = &thread;
  machine.shared.assign(shared_bytes + kSharedAlignment + 128,
                        0xff);  // NaN, whatever it is read as
  machine.shared_base = reinterpret_cast<unsigned char*>(
      (reinterpret_cast<uintptr_t>(machine.shared.data()) + kSharedAlignment - 1) &
      ~uintptr_t{kSharedAlignment - 1});
  // Not more than hardware promises.
  machine.shared_base += 128;
  blockDim = dim3(threads);
  gridDim = grid;
  // Every other launch in the opposite order: what depends on the order changes its bits.
  machine.reversed = !machine.reversed;
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  for (uint64_t i = 0; i < blocks; ++i) {
    const uint64_t b = machine.reversed ? blocks - 1 - i : i;
    blockIdx = dim3(static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                    static_cast<unsigned>(b / grid.x / grid.y));
    run_block();
  }
}

unsigned char* shared_memory() { return machine.shared_base; }
unsigned char* shared_window() { return machine.shared_base - 128; }
void __syncthreads() { to_scheduler(Wait::block); }
void yield() { to_scheduler(Wait::none); }
void __syncwarp() { to_scheduler(Wait::warp); }

const uint64_t* exchange(uint64_t mine) {
  Warp& warp = machine.warps[threadIdx.x / 32];
  const int parity = warp.parity;
  warp.posted[parity][threadIdx.x % 32] = mine;
  to_scheduler(Wait::warp);
  return warp.posted[parity];
}

// Lane l holds, as pairs of bf16 with the lower k in the lower half (PTX: mma.m16n8k16):
//   a[0] row l/4, k 2(l%4)   a[1] row l/4+8, same k   a[2] row l/4, k+8   a[3] row l/4+8, k+8
//   b[0] column l/4, k 2(l%4)   b[1] column l/4, k+8
//   d[0], d[1] row l/4, columns 2(l%4), +1   d[2], d[3] row l/4+8
void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  const unsigned lane = threadIdx.x % 32;
  uint32_t all_a[4][32], all_b[2][32];
  for (int i = 0; i < 4; i += 2) {
    const uint64_t* posted = exchange(a[i] | static_cast<uint64_t>(a[i + 1]) << 32);
    for (int l = 0; l < 32; ++l) {
      all_a[i][l] = static_cast<uint32_t>(posted[l]);
      all_a[i + 1][l] = static_cast<uint32_t>(posted[l] >> 32);
    }
  }
  const uint64_t* posted = exchange(b[0] | static_cast<uint64_t>(b[1]) << 32);
  for (int l = 0; l < 32; ++l) {
    all_b[0][l] = static_cast<uint32_t>(posted[l]);
    all_b[1][l] = static_cast<uint32_t>(posted[l] >> 32);
  }
  const auto half = [](uint32_t pair, unsigned k) {
    return bf16_to_float(static_cast<uint16_t>(k % 2 == 0 ? pair : pair >> 16));
  };
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = lane / 4, column = 2 * (lane % 4) + i % 2;
    for (unsigned k = 0; k < 16; ++k) {
      const unsigned quarter = k % 8 / 2;
      const float x = half(all_a[i / 2 + k / 8 * 2][row * 4 + quarter], k);
      const float w = half(all_b[k / 8][column * 4 + quarter], k);
      d[i] = std::fma(x, w, d[i]);
    }
  }
}

namespace {

const uint64_t* matrix_rows(const void* row) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) stuck("ldmatrix of a row that is not aligned");
  return exchange(reinterpret_cast<uintptr_t>(row));
}

}  // namespace

void load_matrices(uint32_t (&r)[4], const void* row) {
  const unsigned lane = threadIdx.x % 32;
  const uint64_t* rows = matrix_rows(row);
  for (unsigned m = 0; m < 4; ++m) {
    std::memcpy(&r[m], reinterpret_cast<const char*>(rows[m * 8 + lane / 4]) + lane % 4 * 4, 4);
  }
}

void load_matrices_transposed(uint32_t (&r)[4], const void* row) {
  const unsigned lane = threadIdx.x % 32;
  const uint64_t* rows = matrix_rows(row);
  for (unsigned m = 0; m < 4; ++m) {
    uint16_t pair[2];
    for (unsigned i = 0; i < 2; ++i) {
      const auto* from = reinterpret_cast<const char*>(rows[m * 8 + lane % 4 * 2 + i]);
      std::memcpy(&pair[i], from + lane / 4 * 2, 2);
    }
    r[m] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
  }
}

void copy_async(void* to, const void* from, bool there) {
  if (reinterpret_cast<uintptr_t>(to) % 16 != 0 || reinterpret_cast<uintptr_t>(from) % 16 != 0) {
    stuck("an asynchronous copy that is not aligned");
  }
  Fibre& fibre = *machine.fibres[machine.current];
  std::memset(to, 0xff, 16);
  if (there) async_bytes += 16;
  fibre.copies.push_back({to, there ? from : nullptr, fibre.groups});
}
void commit_copies() { ++machine.fibres[machine.current]->groups; }
void wait_for_copies(int pending) {
  Fibre& fibre = *machine.fibres[machine.current];
  std::erase_if(fibre.copies, [&](const Copy& copy) {
    if (copy.group >= fibre.groups - pending) return false;
    if (copy.from != nullptr) {
      std::memcpy(copy.to, copy.from, 16);
    } else {
      std::memset(copy.to, 0, 16);
    }
    return true;
  });
}

}  // namespace assay::engine::ops::cuda_emulated
