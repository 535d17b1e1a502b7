// Comma-separated values as RFC 4180 has them: quoted fields, doubled quotes, embedded line breaks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace assay::results {

struct CsvRow {
  size_t line = 0;  // 1-based, where the row begins
  std::vector<std::string> cells;
};

// Rows of a text, the header among them; blank lines are skipped. `where` names the source in
// errors: an unclosed quote, or text after a closing one.
std::vector<CsvRow> parse_csv(std::string_view text, const std::string& where);

// One cell, quoted where it must be.
std::string csv_cell(std::string_view text);

}  // namespace assay::results
