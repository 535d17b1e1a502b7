// Memory of a backend: buffers for intermediate results, and vectors of weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/ops/ops.h"

namespace assay::engine::model {

// Grows to the largest request and is then reused. The backend must outlive it.
template <class T>
class Buffer {
 public:
  Buffer() = default;  // empty until a buffer with a backend is assigned
  explicit Buffer(const ops::Backend& backend) : backend_(&backend) {}

  // At least n elements, 64-byte aligned, uninitialised; earlier content is lost when it grows.
  T* ensure(int64_t n) {
    if (!try_ensure(n)) {
      throw ops::OutOfMemory(static_cast<size_t>(n) * sizeof(T), "intermediate results");
    }
    return data_.get();
  }
  void drop() {
    data_.reset();
    capacity_ = 0;
  }
  // False where there is no memory left.
  bool try_ensure(int64_t n) {
    if (n <= capacity_) return true;
    data_.reset();
    capacity_ = 0;
    const size_t bytes = static_cast<size_t>(n) * sizeof(T);
    data_ = {reinterpret_cast<T*>(backend_->allocate(bytes)), Free{backend_, bytes}};
    if (!data_) return false;
    capacity_ = n;
    return true;
  }
  size_t bytes() const { return static_cast<size_t>(capacity_) * sizeof(T); }
  T* data() const { return data_.get(); }

 private:
  struct Free {
    const ops::Backend* backend = nullptr;
    size_t bytes = 0;
    void operator()(T* p) const { backend->release(reinterpret_cast<std::byte*>(p), bytes); }
  };
  const ops::Backend* backend_ = nullptr;
  std::unique_ptr<T, Free> data_;
  int64_t capacity_ = 0;
};

// A vector of weights (norms, biases).
class Vector {
 public:
  Vector() = default;
  Vector(const ops::Backend& backend, std::span<const float> values)
      : data_(backend), size_(values.size()) {
    if (values.empty()) return;
    data_.ensure(static_cast<int64_t>(size_));
    backend.upload(reinterpret_cast<std::byte*>(data_.data()), values.data(), values.size_bytes());
  }
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  // Null where empty.
  const float* data() const { return data_.data(); }

 private:
  Buffer<float> data_;
  size_t size_ = 0;
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
// Rows `rows` of x, in that order, to the rows of out.
inline void gather(const ops::Backend& backend, ops::ConstRows x, std::span<const int32_t> rows,
                   const ops::Rows& out) {
  backend.copy_rows(reinterpret_cast<const std::byte*>(x.data), x.stride * 4, rows,
                    reinterpret_cast<std::byte*>(out.data), out.stride * 4, {}, out.rows, out.cols * 4);
}
// Row i of x to row rows[i] of out, unless that is negative.
inline void scatter(const ops::Backend& backend, ops::ConstRows x, std::span<const int32_t> rows,
                    const ops::Rows& out) {
  backend.copy_rows(reinterpret_cast<const std::byte*>(x.data), x.stride * 4, {},
                    reinterpret_cast<std::byte*>(out.data), out.stride * 4, rows, x.rows, x.cols * 4);
}

}  // namespace assay::engine::model
