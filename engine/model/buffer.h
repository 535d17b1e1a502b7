// Memory for intermediate results that grows to the largest request and is then reused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/blocks.h"
#include "engine/ops/ops.h"

namespace assay::engine::model {

template <class T>
class Buffer {
 public:
  // At least n elements, 64-byte aligned, uninitialised; earlier content is lost when it grows.
  T* ensure(int64_t n) {
    if (n > capacity_) {
      data_.reset();
      const auto bytes = static_cast<size_t>(n) * sizeof(T);
      data_ = {static_cast<T*>(take_block(bytes)), Free(bytes)};
      capacity_ = n;
    }
    return data_.get();
  }
  size_t bytes() const { return static_cast<size_t>(capacity_) * sizeof(T); }
  T* data() const { return data_.get(); }

 private:
  struct Free {
    size_t bytes;
    Free() : bytes(0) {}
    explicit Free(size_t b) : bytes(b) {}
    void operator()(T* p) const { give_block(p, bytes); }
  };
  std::unique_ptr<T, Free> data_;
  int64_t capacity_ = 0;
};

// A dense [rows, cols] matrix in the buffer.
inline ops::Rows matrix(Buffer<float>& buffer, int64_t rows, int64_t cols) {
  return {buffer.ensure(rows * cols), rows, cols, cols};
}
inline ops::Rows slice(const ops::Rows& x, int64_t first, int64_t rows) {
  return {x.row(first), rows, x.cols, x.stride};
}
inline ops::Rows columns(const ops::Rows& x, int64_t first, int64_t cols) {
  return {x.data + first, x.rows, cols, x.stride};
}

}  // namespace assay::engine::model
