// The only data that the supervisor takes apart: length-capped frames from the processes in the
// sandbox. A frame is a tag, a little-endian 32-bit length, and that many bytes; a field list is a
// count, then length and bytes of each field.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace assay::sandbox {

struct Frame {
  char tag = 0;
  std::string payload;
};

// Cuts a byte stream into frames. Whatever the bytes are, at most `max_frame` of them are kept, and
// the stream as a whole may not exceed `max_total`; beyond that it is broken and yields nothing.
class FrameReader {
 public:
  FrameReader(size_t max_frame, size_t max_total) : max_frame_(max_frame), max_total_(max_total) {}

  void feed(std::string_view bytes);
  std::optional<Frame> next();
  bool broken() const { return broken_; }

 private:
  size_t max_frame_, max_total_;
  size_t total_ = 0;
  std::string buffer_;
  bool broken_ = false;
};

std::string make_frame(char tag, std::string_view payload);
std::string pack_fields(std::initializer_list<std::string_view> fields);
// Exactly `count` fields and nothing behind them, or nullopt.
std::optional<std::vector<std::string>> unpack_fields(std::string_view bytes, size_t count);

}  // namespace assay::sandbox
