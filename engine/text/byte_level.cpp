#include "engine/text/byte_level.h"

#include "base/utf8.h"

namespace assay::engine::byte_level {

namespace {

constexpr bool stands_for_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

// By code point: the byte, or -1. The alphabet ends at U+0143.
constexpr int kEnd = 0x144;
constexpr auto kByteOf = [] {
  std::array<int16_t, kEnd> table{};
  table.fill(-1);
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    table[static_cast<size_t>(stands_for_itself(byte) ? byte : next++)] =
        static_cast<int16_t>(byte);
  }
  return table;
}();

}  // namespace

bool append_bytes(std::string_view text, std::string& out) {
  const size_t size = out.size();
  for (size_t pos = 0; pos < text.size();) {
    const auto lead = static_cast<uint8_t>(text[pos]);
    uint32_t c = lead;
    if (lead >= 0x80) {
      // Two bytes suffice for U+0080..U+0143; anything longer is outside.
      if (lead < 0xC2 || lead > 0xC5 || pos + 1 >= text.size()) return out.resize(size), false;
      c = (lead & 0x1Fu) << 6 | (static_cast<uint8_t>(text[++pos]) & 0x3Fu);
    }
    ++pos;
    const int byte = c < kEnd ? kByteOf[c] : -1;
    if (byte < 0) return out.resize(size), false;
    out.push_back(static_cast<char>(byte));
  }
  return true;
}

std::string character(uint8_t byte) {
  std::string out;
  for (uint32_t c = 0; c < kEnd; ++c) {
    if (kByteOf[c] == byte) utf8::append(out, c);
  }
  return out;
}

}  // namespace assay::engine::byte_level
