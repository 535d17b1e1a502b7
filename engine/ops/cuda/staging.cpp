#include "engine/ops/cuda/staging.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace assay::engine::ops {

namespace {

constexpr size_t kLeastRoom = 1024;
// A copy of so many bytes takes about as long as another copy's start.
constexpr size_t kJoined = 128 << 10;

}  // namespace

void Staging::begin() {
  at_ = 0;
  places_.clear();
}

size_t Staging::place(const void* values, size_t bytes) {
  Range& known = places_[values];
  if (known.end - known.begin == bytes && std::memcmp(host_ + known.begin, values, bytes) == 0) {
    return known.begin;
  }
  const size_t room = std::bit_ceil(std::max(bytes, kLeastRoom)), at = at_;
  if (room > size_ - at) return kNoRoom;
  at_ += room;
  known = {at, at + bytes};
  if (std::memcmp(host_ + at, values, bytes) == 0) return at;
  std::memcpy(host_ + at, values, bytes);
  if (!changed_.empty() && changed_.back().begin <= at && at <= changed_.back().end + kJoined) {
    changed_.back().end = std::max(changed_.back().end, at + bytes);
  } else {
    changed_.push_back({at, at + bytes});
  }
  return at;
}

std::vector<Staging::Range> Staging::take_changed() { return std::exchange(changed_, {}); }

}  // namespace assay::engine::ops
