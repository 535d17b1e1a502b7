// The queue of the emulated device: every call has happened when it returns.
#pragma once

#include "tests/engine/ops/cuda/emulated_hopper.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include "engine/ops/cuda/hopper/product.h"

namespace assay::engine::ops::cuda_emulated {

// How host code that errs is caught.
enum class Guard {
  host_access,  // device memory is inaccessible between launches and copies
  bounds,       // every allocation ends at an inaccessible page; host code may read device memory
};

class Arena;

class Queue {
 public:
  Queue(Guard guard, bool tuned);
  ~Queue();

  std::string name() const { return tuned_ ? "cuda-emulated-tuned" : "cuda-emulated"; }
  bool tuned() const { return tuned_; }
  int multiprocessors() const { return 3; }  // fewer than tiles, and no divisor of their number
  int shared_limit() const { return (tuned_ ? 227 : 163) << 10; }  // of 9.0, of 8.0
  static constexpr int64_t expert_bytes() { return 48 << 10; }  // a few rows at a time
  TensorMap make_map(const void* data, int64_t rows, int64_t padded_k, bool fp8) const {
    const int bytes = fp8 ? 1 : 2;
    return {static_cast<const unsigned char*>(data), rows, padded_k * bytes, bytes};
  }
  void launch_tuned(const TunedArgs& args, bool fp8, bool swiglu, unsigned blocks) {
    const auto kernel =
        fp8 ? (swiglu ? tuned_product_kernel<true, true> : tuned_product_kernel<true, false>)
            : (swiglu ? tuned_product_kernel<false, true> : tuned_product_kernel<false, false>);
    launch(kernel, dim3(blocks), hopper::kThreads, hopper::kSharedBytes, args);
  }
  // Allocations until one fails; -1: none does.
  static inline std::atomic<int64_t> fail_after = -1;
  std::byte* allocate(size_t bytes) {
    if (fail_after >= 0 && fail_after-- == 0) return nullptr;
    return take(bytes);
  }
  void trim() {}
  void release(std::byte* memory);
  void upload(std::byte* to, const void* from, size_t bytes);
  // Pinned arrays until there are no more; -1: there always are.
  static inline std::atomic<int64_t> pinned_left = -1;
  static std::byte* allocate_pinned(size_t bytes) {
    if (pinned_left == 0) return nullptr;
    if (pinned_left > 0) --pinned_left;
    return new std::byte[bytes];
  }
  static void release_pinned(std::byte* memory) { delete[] memory; }
  void copy_pinned(std::byte* to, const std::byte* from, size_t bytes) { upload(to, from, bytes); }
  void download(void* to, const std::byte* from, size_t bytes);
  void start_download(int which, const std::byte* from, size_t bytes);
  void finish_download(int which, void* to, size_t bytes);
  void synchronise() {}

  template <class T>
  const T* stage(const T* values, size_t n) {
    return static_cast<const T*>(stage_bytes(values, n * sizeof(T)));
  }
  void sort_pairs(const int32_t* keys, int32_t* sorted_keys, const int32_t* values,
                  int32_t* sorted_values, int64_t n, int) {
    const Access access(*this);
    std::vector<int32_t> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return keys[a] < keys[b]; });
    for (int64_t i = 0; i < n; ++i) {
      sorted_keys[i] = keys[order[static_cast<size_t>(i)]];
      sorted_values[i] = values[order[static_cast<size_t>(i)]];
    }
  }
  void sort_rows_descending(const float* keys, float* sorted_keys, const int32_t* values,
                            int32_t* sorted_values, int64_t rows, int64_t columns) {
    const Access access(*this);
    for (int64_t first = 0; first < rows * columns; first += columns) {
      std::vector<int64_t> order(static_cast<size_t>(columns));
      std::iota(order.begin(), order.end(), first);
      std::stable_sort(order.begin(), order.end(),
                       [&](int64_t a, int64_t b) { return keys[a] > keys[b]; });
      for (const int64_t from : order) {
        *sorted_keys++ = keys[from];
        *sorted_values++ = values[from];
      }
    }
  }
  template <class Args>
  void launch(void (*kernel)(Args), dim3 grid, unsigned threads, size_t shared, const Args& args) {
    const Access access(*this);
    run_grid(grid, threads, shared, [&] { kernel(args); });
  }

 private:
  // Device memory is accessible while one exists.
  class Access {
   public:
    explicit Access(Queue& queue);
    ~Access();
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;

   private:
    Queue& queue_;
  };
  std::byte* take(size_t bytes);
  const void* stage_bytes(const void* values, size_t bytes);

  const Guard guard_;
  const bool tuned_;
  std::map<std::byte*, std::pair<std::byte*, size_t>> guarded_;  // bounds: memory -> its pages
  std::vector<std::byte*> staged_;                               // the latest, oldest first
  std::vector<std::byte> downloads_[2];
};

}  // namespace assay::engine::ops::cuda_emulated
