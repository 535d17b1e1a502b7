// Unicode normalisation form C with the tables of Unicode 9.0, which the `tokenizers` library uses:
// code points that were encoded later have combining class 0 and do not compose.
//
// Algorithm: UAX #15. Only stretches around code points that could change are decomposed, reordered
// and composed; everything else is copied. Thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace assay::engine::unicode {

// Whether `text` certainly is in NFC (the quick check; false means: maybe not). The text must be
// well-formed UTF-8.
bool is_nfc_quick(std::string_view text);

// Appends NFC(text) to `out`. If `ends` is given, appends for every byte written the offset in
// `text` one past the stretch that the byte came from (plus `base`).
void append_nfc(std::string_view text, std::string& out, std::vector<size_t>* ends = nullptr,
                size_t base = 0);

}  // namespace assay::engine::unicode
