// Uninitialised memory aligned to cache lines, which grows but keeps nothing when it does.
#pragma once

#include <cstddef>
#include <memory>

#include "base/blocks.h"

namespace assay::engine::ops {

class AlignedBuffer {
 public:
  static constexpr std::size_t kAlignment = 64;

  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t bytes) { reserve(bytes); }

  // At least `bytes`; the old content is lost if it has to grow.
  void reserve(std::size_t bytes) {
    if (bytes <= bytes_) return;
    data_.reset();
    bytes_ = 0;
    data_ = {static_cast<std::byte*>(take_block(bytes)), Free(bytes)};
    bytes_ = bytes;
  }
  std::size_t bytes() const { return bytes_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_.get());
  }

 private:
  struct Free {
    std::size_t bytes;
    Free() : bytes(0) {}
    explicit Free(std::size_t b) : bytes(b) {}
    void operator()(std::byte* p) const { give_block(p, bytes); }
  };
  std::unique_ptr<std::byte, Free> data_;
  std::size_t bytes_ = 0;
};

}  // namespace assay::engine::ops
