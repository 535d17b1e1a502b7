// The queue of the emulated device: every call has happened when it returns, but for the launches of a
// step. A step's graph is a list of its own, which gets nothing but the arguments that the recorder sets:
// what the recorder misses is missing in the results.
#pragma once

#include "tests/engine/ops/cuda/emulated_hopper.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/ops/cuda/hopper/mixed_product.h"
#include "engine/ops/cuda/step.h"

namespace assay::engine::ops::cuda_emulated {

// How host code that errs is caught.
enum class Guard {
  host_access,  // device memory is inaccessible between launches and copies
  bounds,       // every allocation ends at an inaccessible page; host code may read device memory
};

class Arena;

class Queue : private StepDevice {
 public:
  Queue(Guard guard, bool tuned);
  ~Queue() override;

  std::string name() const { return tuned_ ? "cuda-emulated-tuned" : "cuda-emulated"; }
  bool tuned() const { return tuned_; }
  static inline std::atomic<int> multiprocessor_count = 3;  // fewer than tiles, and no divisor of their number
  int multiprocessors() const { return multiprocessor_count; }
  int shared_limit() const { return (tuned_ ? 227 : 163) << 10; }  // of 9.0, of 8.0
  static constexpr int64_t expert_bytes() { return 48 << 10; }  // a few rows at a time
  TensorMap make_map(const void* data, int64_t rows, int64_t padded_k, bool fp8) const {
    const int bytes = fp8 ? 1 : 2;
    return {static_cast<const unsigned char*>(data), rows, padded_k * bytes, bytes};
  }
  void launch_tuned(const TunedArgs& args, hopper::TunedOperands operands, bool swiglu, unsigned blocks) {
    launch(tuned_kernel(operands, swiglu), dim3(blocks), hopper::kThreads,
           static_cast<size_t>(hopper::shared_bytes(operands)), args);
  }
  // More than some steps of the tests have, fewer than others.
  static constexpr int64_t ranked_entries() { return 12; }

  static inline std::atomic<bool> graphs = true;
  static inline std::atomic<size_t> step_ring = size_t{1} << 20;  // bytes, of queues made from now on
  bool begin_step();
  void end_step() { recorder_.end(); }
  void drop_step() { recorder_.drop(); }
  bool in_step() const { return recorder_.recording(); }
  const StepCounts& step_counts() const { return recorder_.counts(); }

  // Allocations until one fails; -1: none does.
  static inline std::atomic<int64_t> fail_after = -1;
  std::byte* allocate(size_t bytes) {
    if (fail_after >= 0 && fail_after-- == 0) return nullptr;
    if (recorder_.holds_memory()) recorder_.flush();
    return take(bytes);
  }
  void trim() { recorder_.forget(); }
  void release(std::byte* memory) {
    if (!recorder_.release(memory)) free(memory);
  }
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
  void synchronise() { catch_up(); }

  template <class T>
  const T* stage(const T* values, size_t n) {
    if (recorder_.recording()) {
      const size_t place = recorder_.stage(values, n * sizeof(T));
      if (place != Staging::kNoRoom) return reinterpret_cast<const T*>(step_ring_ + place);
    }
    return static_cast<const T*>(stage_bytes(values, n * sizeof(T)));
  }
  void sort_pairs(const int32_t* keys, int32_t* sorted_keys, const int32_t* values,
                  int32_t* sorted_values, int64_t n, int) {
    catch_up();
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
    catch_up();
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
    static_assert(std::is_trivially_copyable_v<Args>);
    if (recorder_.recording()) {
      Args copy = args;
      clear_padding(copy);
      const auto* address = reinterpret_cast<const void*>(kernel);
      callers_[address] = call<Args>;
      recorder_.add(address, {grid.x, grid.y, grid.z}, threads, shared, &copy, sizeof copy);
      return;
    }
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
  // A kernel of the type, with an argument's bytes.
  template <class Args>
  static void call(const void* kernel, const std::byte* bytes) {
    Args args;
    std::memcpy(&args, bytes, sizeof args);
    reinterpret_cast<void (*)(Args)>(const_cast<void*>(kernel))(args);
  }
  void catch_up() {
    if (recorder_.recording()) recorder_.flush();
  }
  // --- StepDevice
  void copy_staged(size_t begin, size_t bytes) override;
  void launch_all(const LaunchList& list) override;
  std::unique_ptr<StepGraph> build(const LaunchList& list) override;
  void set_args(StepGraph& graph, const LaunchList& list, size_t i) override;
  void run(StepGraph& graph) override;
  void free(std::byte* memory) override;

  std::byte* take(size_t bytes);
  const void* stage_bytes(const void* values, size_t bytes);

  const Guard guard_;
  const bool tuned_;
  std::map<std::byte*, std::pair<std::byte*, size_t>> guarded_;  // bounds: memory -> its pages
  std::vector<std::byte*> staged_;                               // the latest, oldest first
  std::vector<std::byte> downloads_[2];
  std::map<const void*, void (*)(const void*, const std::byte*)> callers_;  // by kernel
  std::vector<std::byte> host_step_ring_;
  std::byte* step_ring_ = nullptr;
  StepRecorder recorder_{*this};
};

}  // namespace assay::engine::ops::cuda_emulated
