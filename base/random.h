// Counter-based random numbers (Philox4x32-10, Salmon et al., SC'11): the same numbers on every
// machine, for any thread count, because number i of stream (seed, stream) is a pure function.
//
// Standard-library distributions and std::shuffle differ between libraries and are not used.
#pragma once

#include <array>
#include <cstdint>

namespace assay {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// A cursor over one stream. Cheap to make; copyable; not thread-safe (make one per task instead).
class Random {
 public:
  explicit Random(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  uint32_t next_u32();
  uint64_t next_u64();
  // Uniform in [0, bound) without bias (Lemire's rejection); bound > 0.
  uint64_t below(uint64_t bound);
  // Uniform in [0, 1) with 53 random bits.
  double uniform();
  // Standard normal by Box-Muller; two uniforms a call, the second value is not kept.
  double normal();

 private:
  uint64_t seed_, stream_;
  uint64_t block_ = 0;
  std::array<uint32_t, 4> buffer_{};
  int left_ = 0;
};

}  // namespace assay
