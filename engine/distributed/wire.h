// Values as bytes, for processes of the same program on machines of the same kind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace assay::engine {

using Bytes = std::vector<std::byte>;

class WireWriter {
 public:
  template <class T>
    requires std::is_trivially_copyable_v<T>
  WireWriter& put(const T& value) {
    return raw(&value, sizeof value);
  }
  // A length and elements, of anything contiguous.
  template <class Range>
  WireWriter& list(const Range& values) {
    put(static_cast<uint64_t>(values.size()));
    return raw(values.data(), values.size() * sizeof(*values.data()));
  }
  Bytes take() { return std::move(bytes_); }

 private:
  WireWriter& raw(const void* data, size_t bytes) {
    const auto* begin = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), begin, begin + bytes);
    return *this;
  }
  Bytes bytes_;
};

class WireReader {
 public:
  explicit WireReader(const Bytes& bytes) : at_(bytes.data()), end_(at_ + bytes.size()) {}
  template <class T>
  T get() {
    T value;
    raw(&value, sizeof value);
    return value;
  }
  template <class Range>
  Range list() {
    Range out;
    out.resize(get<uint64_t>());
    raw(out.data(), out.size() * sizeof(*out.data()));
    return out;
  }
  std::string text() { return list<std::string>(); }

 private:
  void raw(void* data, size_t bytes) {
    if (static_cast<size_t>(end_ - at_) < bytes) throw_internal("a message is too short", "engine/distributed");
    if (bytes > 0) std::memcpy(data, at_, bytes);
    at_ += bytes;
  }
  const std::byte* at_;
  const std::byte* end_;
};

}  // namespace assay::engine
