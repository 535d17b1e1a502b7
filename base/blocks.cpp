#include "base/blocks.h"

#include <sys/mman.h>

#include <iterator>
#include <map>
#include <mutex>
#include <new>

namespace assay {

namespace {

constexpr std::size_t kSlab = std::size_t{32} << 20;
constexpr std::size_t kSmall = std::size_t{64} << 10;  // below: malloc
constexpr std::size_t kPage = 4096;                    // blocks are multiples of it
// Empty slabs that are kept for the next layer's weights: touching fresh memory costs more than
// filling it.
constexpr std::size_t kMostSpare = (std::size_t{512} << 20) / kSlab;

std::size_t rounded(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

char* map_pages(std::size_t bytes) {
  void* range =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (range == MAP_FAILED) throw std::bad_alloc();
  return static_cast<char*>(range);
}

class Slabs {
 public:
  void* take(std::size_t bytes) {
    bytes = rounded(bytes);
    const std::lock_guard lock(mutex_);
    if (bytes > kSlab / 2) {
      trim(0);  // spare memory does not add to a peak
      return map_pages(bytes);
    }
    for (auto& [begin, slab] : slabs_) {
      for (auto range = slab.free.begin(); range != slab.free.end(); ++range) {
        if (range->second >= bytes) return cut(slab, range, bytes);
      }
    }
    char* begin = map_pages(kSlab);
    Slab& slab = slabs_[begin];
    ++spare_;
    return cut(slab, slab.free.emplace(begin, kSlab).first, bytes);
  }

  void give(void* block, std::size_t bytes) {
    bytes = rounded(bytes);
    if (bytes > kSlab / 2) {
      ::munmap(block, bytes);
      return;
    }
    char* begin = static_cast<char*>(block);
    const std::lock_guard lock(mutex_);
    const auto owner = std::prev(slabs_.upper_bound(begin));
    Slab& slab = owner->second;
    auto range = slab.free.emplace(begin, bytes).first;
    if (const auto next = std::next(range);
        next != slab.free.end() && range->first + range->second == next->first) {
      range->second += next->second;
      slab.free.erase(next);
    }
    if (range != slab.free.begin()) {
      if (const auto before = std::prev(range); before->first + before->second == range->first) {
        before->second += range->second;
        slab.free.erase(range);
      }
    }
    slab.used -= bytes;
    if (slab.used > 0) return;
    ++spare_;
    trim(kMostSpare);
  }

 private:
  struct Slab {
    std::map<char*, std::size_t> free;
    std::size_t used = 0;
  };
  // Gives empty slabs back until at most `most` are left, the highest first.
  void trim(std::size_t most) {
    for (auto slab = slabs_.end(); spare_ > most && slab != slabs_.begin();) {
      --slab;
      if (slab->second.used > 0) continue;
      ::munmap(slab->first, kSlab);
      slab = slabs_.erase(slab);
      --spare_;
    }
  }
  void* cut(Slab& slab, std::map<char*, std::size_t>::iterator range, std::size_t bytes) {
    char* block = range->first;
    const std::size_t left = range->second - bytes;
    if (slab.used == 0) --spare_;
    slab.free.erase(range);
    if (left > 0) slab.free.emplace(block + bytes, left);
    slab.used += bytes;
    return block;
  }
  std::mutex mutex_;
  std::map<char*, Slab> slabs_;  // lowest address first
  std::size_t spare_ = 0;        // empty ones
};

// Never destroyed: blocks may be given back late.
Slabs& slabs() {
  static auto* instance = new Slabs;
  return *instance;
}

}  // namespace

void* take_block(std::size_t bytes) {
  if (bytes < kSmall) return ::operator new(bytes, std::align_val_t{64});
  return slabs().take(bytes);
}

void give_block(void* block, std::size_t bytes) noexcept {
  if (block == nullptr) return;
  if (bytes < kSmall) {
    ::operator delete(block, std::align_val_t{64});
  } else {
    slabs().give(block, bytes);
  }
}

}  // namespace assay
