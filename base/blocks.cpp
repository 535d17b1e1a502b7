#include "base/blocks.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <new>

namespace assay {

namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kSlab = std::size_t{32} << 20;
constexpr std::size_t kSmall = std::size_t{64} << 10;  // below: malloc
constexpr std::size_t kUnit = 4096;                    // blocks are multiples of it

std::size_t rounded(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

// Whole huge pages from the system.
char* map_pages(std::size_t bytes) {
  void* range = ::mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (range == MAP_FAILED) throw std::bad_alloc();
  char* begin = static_cast<char*>(range);
  char* aligned = reinterpret_cast<char*>(rounded(reinterpret_cast<std::uintptr_t>(begin), kHugePage));
  if (aligned > begin) ::munmap(begin, static_cast<std::size_t>(aligned - begin));
  const std::size_t behind = static_cast<std::size_t>(begin + bytes + kHugePage - (aligned + bytes));
  if (behind > 0) ::munmap(aligned + bytes, behind);
#ifdef MADV_HUGEPAGE
  ::madvise(aligned, bytes, MADV_HUGEPAGE);  // refused by systems without them: small pages then
#endif
  return aligned;
}

class Slabs {
 public:
  void* take(std::size_t bytes) {
    bytes = rounded(bytes, kUnit);
    if (bytes > kSlab / 2) return map_pages(rounded(bytes, kHugePage));
    const std::lock_guard lock(mutex_);
    for (auto& [begin, slab] : slabs_) {
      for (auto range = slab.free.begin(); range != slab.free.end(); ++range) {
        if (range->second >= bytes) return cut(slab, range, bytes);
      }
    }
    char* begin = map_pages(kSlab);
    Slab& slab = slabs_[begin];
    return cut(slab, slab.free.emplace(begin, kSlab).first, bytes);
  }

  void give(void* block, std::size_t bytes) {
    bytes = rounded(bytes, kUnit);
    if (bytes > kSlab / 2) {
      ::munmap(block, rounded(bytes, kHugePage));
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
    ::munmap(owner->first, kSlab);
    slabs_.erase(owner);
  }

 private:
  struct Slab {
    std::map<char*, std::size_t> free;
    std::size_t used = 0;
  };
  static void* cut(Slab& slab, std::map<char*, std::size_t>::iterator range, std::size_t bytes) {
    char* block = range->first;
    const std::size_t left = range->second - bytes;
    slab.free.erase(range);
    if (left > 0) slab.free.emplace(block + bytes, left);
    slab.used += bytes;
    return block;
  }
  std::mutex mutex_;
  std::map<char*, Slab> slabs_;  // lowest address first
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
