// Host data of a decoding step on its way to the device. Plain C++, needs no CUDA.
//
// Every array has a place, the same one on the host and on the device, and the same in every step that
// stages like arrays in the same order: arguments that point there keep their bytes. Rooms are powers of
// two, so that contexts may grow for long before anything moves. An array that is staged again within the
// step, as every layer does, has one place; between steps, only what differs from what lies there is
// copied again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace assay::engine::ops {

class Staging {
 public:
  static constexpr size_t kNoRoom = SIZE_MAX;
  struct Range {
    size_t begin = 0, end = 0;
  };

  // `host`: zeros, like the device's memory that it is copied to; outlives this.
  void attach(std::byte* host, size_t bytes) {
    host_ = host;
    size_ = bytes;
  }
  bool attached() const { return host_ != nullptr; }
  // A new step. What the last ones copied from here must have arrived.
  void begin();
  // Where the values are from now to the end of the step; a multiple of 256, or kNoRoom.
  size_t place(const void* values, size_t bytes);
  // What has to be copied before anything reads it; neighbours are joined.
  std::vector<Range> take_changed();

 private:
  std::byte* host_ = nullptr;
  size_t size_ = 0, at_ = 0;
  // Of this step, by where the values came from. (By content, a coincidence would move all places behind it.)
  std::unordered_map<const void*, Range> places_;
  std::vector<Range> changed_;
};

}  // namespace assay::engine::ops
