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
  for (std::byte* staged : staged_) release(staged);
}

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

void Queue::release(std::byte* at) {
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
  const Access access(*this);
  if (bytes > 0) std::memcpy(to, from, bytes);
}
void Queue::download(void* to, const std::byte* from, size_t bytes) {
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
    for (size_t i = 0; i < kMostStaged / 2; ++i) release(staged_[i]);
    staged_.erase(staged_.begin(), staged_.begin() + kMostStaged / 2);
  }
  staged_.push_back(take(std::max<size_t>(bytes, 1)));
  upload(staged_.back(), values, bytes);
  return staged_.back();
}

}  // namespace assay::engine::ops::cuda_emulated
