#include "sandbox/frames.h"

namespace assay::sandbox {
namespace {

constexpr size_t kHeaderBytes = 5;

void append_u32(std::string& out, size_t value) {
  for (int shift = 0; shift < 32; shift += 8) {
    out.push_back(static_cast<char>(value >> shift & 0xFF));
  }
}

size_t read_u32(std::string_view bytes) {
  size_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

}  // namespace

void FrameReader::feed(std::string_view bytes) {
  total_ += bytes.size();
  if (total_ > max_total_) broken_ = true;
  if (broken_) {
    buffer_.clear();
    return;
  }
  buffer_.append(bytes);
}

std::optional<Frame> FrameReader::next() {
  if (broken_ || buffer_.size() < kHeaderBytes) return std::nullopt;
  const size_t size = read_u32(std::string_view(buffer_).substr(1));
  if (size > max_frame_) {
    broken_ = true;
    buffer_.clear();
    return std::nullopt;
  }
  if (buffer_.size() < kHeaderBytes + size) return std::nullopt;
  Frame frame{buffer_[0], buffer_.substr(kHeaderBytes, size)};
  buffer_.erase(0, kHeaderBytes + size);
  return frame;
}

std::string make_frame(char tag, std::string_view payload) {
  std::string out(1, tag);
  append_u32(out, payload.size());
  out.append(payload);
  return out;
}

std::string pack_fields(std::initializer_list<std::string_view> fields) {
  std::string out;
  append_u32(out, fields.size());
  for (std::string_view field : fields) {
    append_u32(out, field.size());
    out.append(field);
  }
  return out;
}

std::optional<std::vector<std::string>> unpack_fields(std::string_view bytes, size_t count) {
  if (bytes.size() < 4 || read_u32(bytes) != count) return std::nullopt;
  bytes.remove_prefix(4);
  std::vector<std::string> fields;
  for (size_t i = 0; i < count; ++i) {
    if (bytes.size() < 4) return std::nullopt;
    const size_t size = read_u32(bytes);
    bytes.remove_prefix(4);
    if (size > bytes.size()) return std::nullopt;
    fields.emplace_back(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  if (!bytes.empty()) return std::nullopt;
  return fields;
}

}  // namespace assay::sandbox
