// Test cases as LiveCodeBench stores them: base64 of zlib of a pickled string.
//
// Only the opcodes that pickle one string are understood; everything else - above all what would
// call functions - is refused. Nothing is executed.
#pragma once

#include <string>
#include <string_view>

namespace assay::datasets {

// Errors are bad_input naming `where`.
std::string decode_base64(std::string_view text, const std::string& where);
// At most `limit` bytes come out; more is an error, so that a small file cannot fill the memory.
std::string inflate_zlib(std::string_view bytes, size_t limit, const std::string& where);
// The string of a pickle (protocols 0 to 5) whose only value is a string.
std::string unpickle_string(std::string_view bytes, const std::string& where);

}  // namespace assay::datasets
