// Which rows of KV memory are in use, and by how many sequences.
//
// A slot is taken for one token of one path; sequences that share the path share the slot. Lowest
// free slots are handed out first, so that neighbours on a path are mostly neighbours in memory and
// untouched memory stays untouched. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

namespace assay::engine {

class Slots {
 public:
  explicit Slots(int64_t capacity) : capacity_(capacity) {}

  int64_t available() const { return capacity_ - used_; }
  // A slot with one user; available() must be positive.
  int32_t take() {
    ++used_;
    int32_t slot;
    if (!returned_.empty()) {
      slot = returned_.top();
      returned_.pop();
    } else {
      slot = static_cast<int32_t>(users_.size());
      users_.push_back(0);
    }
    users_[static_cast<size_t>(slot)] = 1;
    return slot;
  }
  void share(int32_t slot) { ++users_[static_cast<size_t>(slot)]; }
  void release(int32_t slot) {
    if (--users_[static_cast<size_t>(slot)] > 0) return;
    --used_;
    returned_.push(slot);
  }
  // Slots ever handed out: what a pool must hold.
  int64_t high_water() const { return static_cast<int64_t>(users_.size()); }

 private:
  int64_t capacity_, used_ = 0;
  std::vector<int32_t> users_;
  std::priority_queue<int32_t, std::vector<int32_t>, std::greater<>> returned_;
};

}  // namespace assay::engine
