// The byte alphabet of byte-level BPE: each byte is written as one printable character.
//
// GPT-2's table: the bytes '!'..'~', 0xA1..0xAC and 0xAE..0xFF stand for themselves (as Latin-1
// code points), the others are U+0100, U+0101, ... in ascending order.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace assay::engine::byte_level {

// Replaces `text` (UTF-8 of alphabet characters) by the bytes it stands for, appended to `out`.
// Returns false, appending nothing, if a character is outside the alphabet.
bool append_bytes(std::string_view text, std::string& out);

// The alphabet's character for a byte, as UTF-8.
std::string character(uint8_t byte);

}  // namespace assay::engine::byte_level
