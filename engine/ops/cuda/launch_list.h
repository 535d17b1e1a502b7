// Launches that have been put off: kernels, grids and the bytes of their arguments, in order. Plain
// C++, needs no CUDA.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace assay::engine::ops {

struct Launch {
  const void* kernel = nullptr;
  std::array<unsigned, 3> grid = {};
  unsigned threads = 0;
  size_t shared = 0;            // bytes of shared memory
  size_t args = 0, bytes = 0;   // where the argument's bytes begin, and how many
};

class LaunchList {
 public:
  // `args`: the kernel's one argument, copied.
  void add(const void* kernel, std::array<unsigned, 3> grid, unsigned threads, size_t shared,
           const void* args, size_t bytes);
  void clear();
  bool empty() const { return launches_.empty(); }
  size_t size() const { return launches_.size(); }
  const Launch& operator[](size_t i) const { return launches_[i]; }
  std::span<const std::byte> args(size_t i) const {
    return std::span(bytes_).subspan(launches_[i].args, launches_[i].bytes);
  }

  // The shape is everything but the arguments' bytes.
  bool same_shape(const LaunchList& other) const;
  bool same_args(const LaunchList& other, size_t i) const;
  // Lists of the same shape: takes over the i-th launch's argument.
  void copy_args(const LaunchList& from, size_t i);

 private:
  std::vector<Launch> launches_;
  std::vector<std::byte> bytes_;
};

// Bytes of an argument that mean nothing must not look like a change (where the compiler can tell).
template <class T>
void clear_padding([[maybe_unused]] T& value) {
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
  __builtin_clear_padding(&value);
#endif
}

}  // namespace assay::engine::ops
