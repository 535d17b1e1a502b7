// Comma-separated values after RFC 4180, as benchmark publishers write them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace assay::datasets {

struct CsvRow {
  std::vector<std::string> cells;
  size_t line = 0;  // 1-based line on which the row starts
};

struct CsvFormat {
  char delimiter = ',';
  bool quotes = true;  // "" inside quotes is one quote; quoted cells may hold newlines
};

// All rows; lines without any character are skipped. A quote inside an unquoted cell is text, as in
// Python's csv. Newlines must be LF already. Throws bad_input "where:line" for a quoted cell that
// never ends and for text after a closing quote.
std::vector<CsvRow> parse_csv(std::string_view text, CsvFormat format, const std::string& where);

// The delimiter among , ; and TAB that cuts the first row into most cells (earlier in this list
// wins).
char detect_delimiter(std::string_view text);

}  // namespace assay::datasets
