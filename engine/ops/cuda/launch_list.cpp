#include "engine/ops/cuda/launch_list.h"

#include <algorithm>
#include <cstring>

namespace assay::engine::ops {

namespace {

constexpr size_t kAlignment = 16;  // of any argument

bool same(const Launch& a, const Launch& b) {
  return a.kernel == b.kernel && a.grid == b.grid && a.threads == b.threads && a.shared == b.shared &&
         a.bytes == b.bytes;
}

}  // namespace

void LaunchList::add(const void* kernel, std::array<unsigned, 3> grid, unsigned threads, size_t shared,
                     const void* args, size_t bytes) {
  const size_t at = bytes_.size();
  bytes_.resize(at + (bytes + kAlignment - 1) / kAlignment * kAlignment);
  std::memcpy(&bytes_[at], args, bytes);
  launches_.push_back({kernel, grid, threads, shared, at, bytes});
}

void LaunchList::clear() {
  launches_.clear();
  bytes_.clear();
}

bool LaunchList::same_shape(const LaunchList& other) const {
  return std::equal(launches_.begin(), launches_.end(), other.launches_.begin(), other.launches_.end(), same);
}

bool LaunchList::same_args(const LaunchList& other, size_t i) const {
  return std::ranges::equal(args(i), other.args(i));
}

void LaunchList::copy_args(const LaunchList& from, size_t i) {
  std::ranges::copy(from.args(i), bytes_.begin() + static_cast<ptrdiff_t>(launches_[i].args));
}

}  // namespace assay::engine::ops
