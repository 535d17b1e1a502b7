#include "tests/engine/ops/cuda/emulated_queue.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>

namespace assay::engine::ops::cuda_emulated {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kArena = size_t{4} << 30;  // of addresses; pages come when written
constexpr size_t kMostStaged = 4096;        // older staged arrays are gone, as in a ring

size_t pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// Memory of all queues with Guard::host_access: one range, so that one call opens or closes it.
struct Memory {
  std::recursive_mutex mutex;
  int open = 0;
  std::byte* base = nullptr;
  size_t used = 0;
  std::multimap<size_t, std::byte*> free;   // by size
  std::map<std::byte*, size_t> taken;

  Memory() {
    void* p = ::mmap(nullptr, kArena, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) std::abort();
    base = static_cast<std::byte*>(p);
  }
  void protect(int how) {
    if (used > 0 && ::mprotect(base, pages(used), how) != 0) std::abort();
  }
};
Memory& memory() {
  static Memory instance;
  return instance;
}

}  // namespace

Queue::Access::Access(Queue& queue) : queue_(queue) {
  memory().mutex.lock();
  if (queue_.guard_ == Guard::host_access && memory().open++ == 0) {
    memory().protect(PROT_READ | PROT_WRITE);
  }
}
Queue::Access::~Access() {
  if (queue_.guard_ == Guard::host_access && --memory().open == 0) memory().protect(PROT_NONE);
  memory().mutex.unlock();
}

Queue::Queue(Guard guard, bool tuned) : guard_(guard), tuned_(tuned) {}
Queue::~Queue() {
  for (std::byte* staged : staged_) free(staged);
  if (step_ring_ != nullptr) free(step_ring_);
}

bool Queue::begin_step() {
  if (!graphs) return false;
  if (step_ring_ == nullptr) {
    host_step_ring_.resize(step_ring);
    step_ring_ = take(host_step_ring_.size());
    upload(step_ring_, host_step_ring_.data(), host_step_ring_.size());
    recorder_.staging().attach(host_step_ring_.data(), host_step_ring_.size());
  }
  recorder_.begin();
  return true;
}

namespace {
struct ListGraph final : StepGraph {
  explicit ListGraph(const LaunchList& l) : list(l) {}
  LaunchList list;
};
}  // namespace

void Queue::copy_staged(size_t begin, size_t bytes) {
  const Access access(*this);
  std::memcpy(step_ring_ + begin, host_step_ring_.data() + begin, bytes);
}
void Queue::launch_all(const LaunchList& list) {
  const Access access(*this);
  for (size_t i = 0; i < list.size(); ++i) {
    const Launch& launch = list[i];
    run_grid(dim3(launch.grid[0], launch.grid[1], launch.grid[2]), launch.threads, launch.shared,
             [&] { callers_.at(launch.kernel)(launch.kernel, list.args(i).data()); });
  }
}
std::unique_ptr<StepGraph> Queue::build(const LaunchList& list) { return std::make_unique<ListGraph>(list); }
void Queue::set_args(StepGraph& graph, const LaunchList& list, size_t i) {
  static_cast<ListGraph&>(graph).list.copy_args(list, i);
}
void Queue::run(StepGraph& graph) { launch_all(static_cast<ListGraph&>(graph).list); }

std::byte* Queue::take(size_t bytes) {
  const std::lock_guard lock(memory().mutex);
  if (guard_ == Guard::bounds) {
    const size_t size = pages(bytes) + kPage;
    void* p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return nullptr;
    auto* first = static_cast<std::byte*>(p);
    if (::mprotect(first + size - kPage, kPage, PROT_NONE) != 0) std::abort();
    std::memset(first, 0xff, size - kPage);
    std::byte* at = first + (size - kPage) - (bytes + 15) / 16 * 16;
    guarded_[at] = {first, size};
    return at;
  }
  size_t size = 256;
  while (size < bytes) size *= 2;
  std::byte* at = nullptr;
  if (const auto it = memory().free.find(size); it != memory().free.end()) {
    at = it->second;
    memory().free.erase(it);
  } else {
    if (memory().used + size > kArena) return nullptr;
    at = memory().base + memory().used;
    memory().used += size;
  }
  memory().taken[at] = size;
  const Access access(*this);
  if (::mprotect(memory().base, pages(memory().used), PROT_READ | PROT_WRITE) != 0) std::abort();
  std::memset(at, 0xff, bytes);  // NaN, whatever it is read as
  return at;
}

void Queue::free(std::byte* at) {
  const std::lock_guard lock(memory().mutex);
  if (guard_ == Guard::bounds) {
    const auto it = guarded_.find(at);
    if (it == guarded_.end()) std::abort();
    ::munmap(it->second.first, it->second.second);
    guarded_.erase(it);
    return;
  }
  const auto it = memory().taken.find(at);
  if (it == memory().taken.end()) std::abort();
  memory().free.emplace(it->second, at);
  memory().taken.erase(it);
}

void Queue::upload(std::byte* to, const void* from, size_t bytes) {
  catch_up();
  const Access access(*this);
  if (bytes > 0) std::memcpy(to, from, bytes);
}
void Queue::download(void* to, const std::byte* from, size_t bytes) {
  catch_up();
  const Access access(*this);
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void Queue::start_download(int which, const std::byte* from, size_t bytes) {
  downloads_[which].resize(bytes);
  download(downloads_[which].data(), from, bytes);
}
void Queue::finish_download(int which, void* to, size_t bytes) {
  if (bytes > downloads_[which].size()) std::abort();
  std::memcpy(to, downloads_[which].data(), bytes);
}

const void* Queue::stage_bytes(const void* values, size_t bytes) {
  if (staged_.size() == kMostStaged) {
    for (size_t i = 0; i < kMostStaged / 2; ++i) free(staged_[i]);
    staged_.erase(staged_.begin(), staged_.begin() + kMostStaged / 2);
  }
  staged_.push_back(take(std::max<size_t>(bytes, 1)));
  upload(staged_.back(), values, bytes);
  return staged_.back();
}

}  // namespace assay::engine::ops::cuda_emulated
