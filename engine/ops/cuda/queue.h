// One stream of a CUDA device: memory, copies, launches, sorts. nvcc only; the tests' emulation has a
// class of the same form (tests/engine/ops/cuda/emulated_queue.h).
//
// Calls return once queued, but for download, finish_download and synchronise. Memory comes from the
// device's pool (cudaMallocAsync), which keeps what is released; never managed memory. Memory is
// released in the order of the device's computing stream, whichever queue it came from, so that a
// layer prepared on a second stream may be dropped while the last kernels on it are still queued.
// Host data reaches the device through a ring of pinned memory.
// Within a step (step.h) launches are put off; every other call that queues something makes them first.
// One thread at a time per queue.
#pragma once

#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_segmented_radix_sort.cuh>
#include <cuda_runtime.h>

#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "engine/ops/cuda/graph.h"
#include "engine/ops/cuda/hopper/launch.h"
#include "engine/ops/cuda/step.h"
#include "engine/ops/ops.h"

namespace assay::engine::ops::cuda {

inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  const std::string text = std::string(what) + ": " + cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // not to be seen by the next check
    throw OutOfMemory(0, "the device (" + text + ")");
  }
  throw_internal(text, "engine/ops/cuda");
}

// check(), but false where there is no memory for it.
inline bool checked_unless_full(cudaError_t status, const char* what) {
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // not to be seen by the next check
    return false;
  }
  check(status, what);
  return true;
}

// The stream that computes on a device; made when first asked for, never destroyed.
inline cudaStream_t computing_stream(int device) {
  static std::mutex mutex;
  static std::vector<cudaStream_t> streams;
  const std::lock_guard lock(mutex);
  if (static_cast<int>(streams.size()) <= device) streams.resize(static_cast<size_t>(device) + 1);
  cudaStream_t& stream = streams[static_cast<size_t>(device)];
  if (stream == nullptr) {
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
    // Released memory stays with the pool: passes ask for the same sizes over and over.
    cudaMemPool_t pool;
    check(cudaDeviceGetDefaultMemPool(&pool, device), "finding the memory pool");
    uint64_t everything = UINT64_MAX;
    check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &everything),
          "setting up the memory pool");
  }
  return stream;
}

class Queue : private StepDevice {
 public:
  // `preparing`: a stream of its own, for weights that are prepared while others compute. `tuned`:
  // use the kernels of sm_90a where the device runs them. `graphs`: put steps off.
  Queue(int device, bool preparing, bool tuned, bool graphs)
      : device_(device), graphs_(graphs && !preparing) {
    use();
    stream_ = computing_ = computing_stream(device);
    if (preparing) {
      check(cudaStreamCreateWithFlags(&own_, cudaStreamNonBlocking), "creating a stream");
      stream_ = own_;
    }
    int major = 0, minor = 0;
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "device attributes");
    check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "device attributes");
    check(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, device),
          "device attributes");
    check(cudaDeviceGetAttribute(&shared_limit_, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
          "device attributes");
    const bool hopper = major == 9 && minor == 0;
    tuned_ = tuned && hopper;
    name_ = "cuda-sm" + std::to_string(major) + std::to_string(minor);
    if (hopper && !tuned) name_ += "-portable";
    check(cudaMallocHost(&ring_, kRing), "pinning host memory");
    check(cudaMalloc(&device_ring_, kRing), "reserving device memory");
    for (cudaEvent_t& event : left_) {
      check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "creating an event");
    }
    for (Download& d : downloads_) {
      check(cudaEventCreateWithFlags(&d.done, cudaEventDisableTiming), "creating an event");
    }
  }
  ~Queue() override {
    // Errors on the way out have nobody to tell.
    cudaSetDevice(device_);
    cudaStreamSynchronize(stream_);
    for (std::byte* p : oversize_) cudaFreeAsync(p, computing_);
    if (sort_space_ != nullptr) cudaFreeAsync(sort_space_, computing_);
    for (const cudaEvent_t event : left_) cudaEventDestroy(event);
    for (Download& d : downloads_) {
      cudaEventDestroy(d.done);
      cudaFreeHost(d.pinned);
    }
    cudaFreeHost(ring_);
    cudaFree(device_ring_);
    cudaFreeHost(step_ring_);
    cudaFree(device_step_ring_);
    if (step_copied_ != nullptr) cudaEventDestroy(step_copied_);
    if (own_ != nullptr) cudaStreamDestroy(own_);
  }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  std::string name() const { return name_; }
  bool tuned() const { return tuned_; }
  int multiprocessors() const { return multiprocessors_; }
  // Bytes of shared memory that a block may have.
  int shared_limit() const { return shared_limit_; }
  // What experts() may hold between its products.
  static constexpr int64_t expert_bytes() { return kGpuExpertBytes; }
  // Entries of routed rows up to which one launch of ours orders them: CUB's calls are no launches of a list.
  static constexpr int64_t ranked_entries() { return 4096; }

  // False where steps are not put off.
  bool begin_step() {
    if (!graphs_) return false;
    use();
    if (!recorder_.staging().attached() && !make_step_ring()) return false;
    check(cudaEventSynchronize(step_copied_), "waiting for the device");
    recorder_.begin();
    return true;
  }
  void end_step() { recorder_.end(); }
  void drop_step() { recorder_.drop(); }
  // Whether what is staged now stays to the end of the step.
  bool in_step() const { return recorder_.recording(); }

  // Null where there is none left.
  std::byte* allocate(size_t bytes) {
    use();
    if (recorder_.holds_memory()) recorder_.flush();
    void* memory = nullptr;
    const cudaError_t status = cudaMallocAsync(&memory, bytes, stream_);
    return checked_unless_full(status, "allocating device memory") ? static_cast<std::byte*>(memory) : nullptr;
  }
  // Gives what the pool keeps back to the device.
  void trim() {
    synchronise();
    recorder_.forget();
    cudaMemPool_t pool;
    check(cudaDeviceGetDefaultMemPool(&pool, device_), "finding the memory pool");
    check(cudaMemPoolTrimTo(pool, 0), "giving back device memory");
  }
  void release(std::byte* memory) {
    if (recorder_.release(memory)) return;
    free(memory);
  }

  void upload(std::byte* to, const void* from, size_t bytes) {
    catch_up();
    for (size_t at = 0; at < bytes; at += kPiece) {
      const size_t n = bytes - at < kPiece ? bytes - at : kPiece;
      const size_t place = reserve(n);
      std::memcpy(ring_ + place, static_cast<const std::byte*>(from) + at, n);
      check(cudaMemcpyAsync(to + at, ring_ + place, n, cudaMemcpyHostToDevice, stream_), "uploading");
    }
    // What was prepared on a stream of its own is used on another.
    if (own_ != nullptr) synchronise();
  }
  // Host memory that copy_pinned() may read while the host goes on; null where no more can be pinned.
  std::byte* allocate_pinned(size_t bytes) {
    use();
    void* memory = nullptr;
    const cudaError_t status = cudaHostAlloc(&memory, bytes, cudaHostAllocDefault);
    return checked_unless_full(status, "pinning host memory") ? static_cast<std::byte*>(memory) : nullptr;
  }
  static void release_pinned(std::byte* memory) { cudaFreeHost(memory); }
  // Queued only: on a preparing queue others wait for it by synchronise().
  void copy_pinned(std::byte* to, const std::byte* from, size_t bytes) {
    catch_up();
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "uploading");
  }
  void download(void* to, const std::byte* from, size_t bytes) {
    catch_up();
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_), "downloading");
    synchronise();
  }
  // What the memory holds at this point of the stream, to be picked up later: the host waits for what
  // was queued before it only.
  void start_download(int which, const std::byte* from, size_t bytes) {
    catch_up();
    Download& d = downloads_[which];
    if (bytes > d.size) {
      if (d.pinned != nullptr) check(cudaFreeHost(d.pinned), "freeing pinned memory");
      d.pinned = nullptr;
      check(cudaMallocHost(&d.pinned, bytes), "pinning host memory");
      d.size = bytes;
    }
    check(cudaMemcpyAsync(d.pinned, from, bytes, cudaMemcpyDeviceToHost, stream_), "downloading");
    check(cudaEventRecord(d.done, stream_), "recording an event");
  }
  void finish_download(int which, void* to, size_t bytes) {
    use();
    check(cudaEventSynchronize(downloads_[which].done), "waiting for the device");
    std::memcpy(to, downloads_[which].pinned, bytes);
  }
  void synchronise() {
    catch_up();
    check(cudaStreamSynchronize(stream_), "waiting for the device");
  }

  // A copy of host data on the device, for the launches of the current op.
  template <class T>
  const T* stage(const T* values, size_t n) {
    use();
    const size_t bytes = n * sizeof(T);
    if (recorder_.recording()) {
      const size_t place = recorder_.stage(values, bytes);
      if (place != Staging::kNoRoom) return reinterpret_cast<const T*>(device_step_ring_ + place);
    }
    if (bytes > kPiece) return reinterpret_cast<const T*>(stage_oversize(values, bytes));
    const size_t place = reserve(bytes);
    std::memcpy(ring_ + place, values, bytes);
    check(cudaMemcpyAsync(device_ring_ + place, ring_ + place, bytes, cudaMemcpyHostToDevice, stream_),
          "uploading");
    return reinterpret_cast<const T*>(device_ring_ + place);
  }

  // A stable sort of n pairs by the low `bits` bits of non-negative keys.
  void sort_pairs(const int32_t* keys, int32_t* sorted_keys, const int32_t* values,
                  int32_t* sorted_values, int64_t n, int bits) {
    sort([&](void* space, size_t& bytes) {
      return cub::DeviceRadixSort::SortPairs(space, bytes, keys, sorted_keys, values, sorted_values,
                                             static_cast<int>(n), 0, bits, stream_);
    });
  }
  // Every row of keys [rows][columns], highest first, with its values; equal ones stay in order.
  void sort_rows_descending(const float* keys, float* sorted_keys, const int32_t* values,
                            int32_t* sorted_values, int64_t rows, int64_t columns) {
    std::vector<int32_t> begins;
    for (int64_t row = 0; row <= rows; ++row) begins.push_back(static_cast<int32_t>(row * columns));
    const int32_t* offsets = stage(begins.data(), begins.size());
    sort([&](void* space, size_t& bytes) {
      return cub::DeviceSegmentedRadixSort::SortPairsDescending(
          space, bytes, keys, sorted_keys, values, sorted_values, static_cast<int>(rows * columns),
          static_cast<int>(rows), offsets, offsets + 1, 0, 32, stream_);
    });
  }

  template <class Args>
  void launch(void (*kernel)(Args), dim3 grid, unsigned threads, size_t shared, const Args& args) {
    use();
    if (shared > kSharedWithoutAsking) {
      check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(shared)),
            "reserving shared memory");
    }
    make(reinterpret_cast<const void*>(kernel), grid, threads, shared, args);
  }

  TensorMap make_map(const void* data, int64_t rows, int64_t padded_k, bool fp8) const {
    return make_tensor_map(data, rows, padded_k, fp8);
  }
  void launch_tuned(const TunedArgs& args, hopper::TunedOperands operands, bool swiglu, unsigned blocks) {
    use();
    const void* kernel = nullptr;
    check(tuned_product(operands, swiglu, &kernel), "reserving shared memory");
    make(kernel, dim3(blocks), hopper::kThreads, hopper::shared_bytes(operands), args);
  }

 private:
  static constexpr size_t kStepRing = size_t{32} << 20;
  static constexpr size_t kSegment = size_t{16} << 20, kSegments = 4, kRing = kSegment * kSegments;
  // An op stages at most three arrays: less than a segment, so that it touches two at most.
  static constexpr size_t kPiece = kSegment / 4;
  static constexpr size_t kSharedWithoutAsking = 48 << 10;
  static constexpr size_t kOversize = 8;  // of the latest ops, still in use

  struct Download {
    std::byte* pinned = nullptr;
    size_t size = 0;
    cudaEvent_t done = nullptr;
  };

  // CUB's calls: asked for the bytes of work space first, then with them.
  template <class Call>
  void sort(const Call& call) {
    catch_up();
    size_t bytes = 0;
    check(call(nullptr, bytes), "sorting");
    if (bytes > sort_bytes_) {
      if (sort_space_ != nullptr) release(static_cast<std::byte*>(sort_space_));
      sort_space_ = nullptr;
      sort_bytes_ = 0;
      check(cudaMallocAsync(&sort_space_, bytes, stream_), "allocating device memory");
      sort_bytes_ = bytes;
    }
    bytes = sort_bytes_;
    check(call(sort_space_, bytes), "sorting");
  }

  void use() const { check(cudaSetDevice(device_), "choosing the device"); }
  // Before what has to come behind the launches that were put off.
  void catch_up() {
    use();
    if (recorder_.recording()) recorder_.flush();
  }

  // A launch, or the promise of one.
  template <class Args>
  void make(const void* kernel, dim3 grid, unsigned threads, size_t shared, const Args& args) {
    static_assert(std::is_trivially_copyable_v<Args>);
    Args copy = args;
    if (recorder_.recording()) {
      clear_padding(copy);
      recorder_.add(kernel, {grid.x, grid.y, grid.z}, threads, shared, &copy, sizeof copy);
      return;
    }
    void* params[] = {&copy};
    check(cudaLaunchKernel(kernel, grid, dim3(threads), params, shared, stream_), "launching a kernel");
  }

  // --- StepDevice ---------------------------------------------------------------------------------
  void copy_staged(size_t begin, size_t bytes) override {
    check(cudaMemcpyAsync(device_step_ring_ + begin, step_ring_ + begin, bytes, cudaMemcpyHostToDevice,
                          stream_),
          "uploading");
    check(cudaEventRecord(step_copied_, stream_), "recording an event");
  }
  void launch_all(const LaunchList& list) override {
    for (size_t i = 0; i < list.size(); ++i) {
      check(NodeParams(list, i).launch(stream_), "launching a kernel");
    }
  }
  std::unique_ptr<StepGraph> build(const LaunchList& list) override {
    auto graph = std::make_unique<CudaGraph>(stream_);
    return checked_unless_full(graph->build(list), "building a graph") ? std::move(graph) : nullptr;
  }
  void set_args(StepGraph& graph, const LaunchList& list, size_t i) override {
    check(static_cast<CudaGraph&>(graph).set_args(list, i), "changing a graph");
  }
  void run(StepGraph& graph) override {
    check(static_cast<CudaGraph&>(graph).run(), "launching a graph");
  }
  void free(std::byte* memory) override {
    cudaSetDevice(device_);
    cudaFreeAsync(memory, computing_);
  }
  // False where there is no memory for it; then never again.
  bool make_step_ring() {
    void *host = nullptr, *device = nullptr;
    if (cudaMallocHost(&host, kStepRing) != cudaSuccess || cudaMalloc(&device, kStepRing) != cudaSuccess) {
      cudaGetLastError();
      cudaFreeHost(host);
      graphs_ = false;
      return false;
    }
    step_ring_ = static_cast<std::byte*>(host);
    device_step_ring_ = static_cast<std::byte*>(device);
    std::memset(step_ring_, 0, kStepRing);
    check(cudaMemsetAsync(device_step_ring_, 0, kStepRing, stream_), "clearing device memory");
    check(cudaEventCreateWithFlags(&step_copied_, cudaEventDisableTiming), "creating an event");
    recorder_.staging().attach(step_ring_, kStepRing);
    return true;
  }

  // A place of the ring. On entering a segment, what was queued with data of the last but one is
  // behind us in the stream, so its event is recorded then; its last use of this segment is waited for.
  size_t reserve(size_t bytes) {
    if (at_ % kSegment + bytes > kSegment) {
      at_ = (at_ / kSegment + 1) * kSegment % kRing;
      const size_t segment = at_ / kSegment;
      check(cudaEventRecord(left_[(segment + kSegments - 2) % kSegments], stream_), "recording an event");
      check(cudaEventSynchronize(left_[segment]), "waiting for the device");
    }
    const size_t place = at_;
    at_ += (bytes + 255) / 256 * 256;
    return place;
  }
  std::byte* stage_oversize(const void* values, size_t bytes) {
    if (oversize_.size() == kOversize) {
      release(oversize_.front());
      oversize_.erase(oversize_.begin());
    }
    void* memory = nullptr;
    check(cudaMallocAsync(&memory, bytes, stream_), "allocating device memory");
    oversize_.push_back(static_cast<std::byte*>(memory));
    upload(oversize_.back(), values, bytes);
    return oversize_.back();
  }

  const int device_;
  std::string name_;
  bool tuned_ = false;
  int multiprocessors_ = 0, shared_limit_ = 0;
  cudaStream_t stream_ = nullptr, computing_ = nullptr, own_ = nullptr;
  std::byte *ring_ = nullptr, *device_ring_ = nullptr;
  size_t at_ = 0;
  cudaEvent_t left_[kSegments] = {};
  std::vector<std::byte*> oversize_;
  Download downloads_[2];
  void* sort_space_ = nullptr;
  size_t sort_bytes_ = 0;
  bool graphs_;
  std::byte *step_ring_ = nullptr, *device_step_ring_ = nullptr;
  cudaEvent_t step_copied_ = nullptr;  // the host may write the step's ring again
  StepRecorder recorder_{*this};
};

}  // namespace assay::engine::ops::cuda
