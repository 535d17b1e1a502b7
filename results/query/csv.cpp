#include "results/csv.h"

#include "base/error.h"

namespace assay::results {

std::vector<CsvRow> parse_csv(std::string_view text, const std::string& where) {
  std::vector<CsvRow> rows;
  size_t line = 1, at = 0;
  while (at < text.size()) {
    CsvRow row{line, {}};
    std::string cell;
    bool ended = false, quoted_row = false;
    while (!ended) {
      if (at < text.size() && text[at] == '"' && cell.empty()) {
        quoted_row = true;
        ++at;
        for (;; ++at) {
          if (at >= text.size())
            throw_bad_input("a quote is not closed", where + ":" + std::to_string(row.line));
          if (text[at] == '\n') ++line;
          if (text[at] != '"') {
            cell += text[at];
          } else if (at + 1 < text.size() && text[at + 1] == '"') {
            cell += text[at++];
          } else {
            ++at;
            break;
          }
        }
        if (at < text.size() && text[at] != ',' && text[at] != '\n' && text[at] != '\r')
          throw_bad_input("text after a closing quote", where + ":" + std::to_string(line));
      }
      if (at >= text.size() || text[at] == '\n' || text[at] == '\r') {
        if (at < text.size() && text[at] == '\r' && at + 1 < text.size() && text[at + 1] == '\n')
          ++at;
        ++at;
        ++line;
        ended = true;
        row.cells.push_back(std::move(cell));
      } else if (text[at] == ',') {
        ++at;
        row.cells.push_back(std::move(cell));
        cell.clear();
      } else {
        cell += text[at++];
      }
    }
    if (row.cells.size() > 1 || !row.cells[0].empty() || quoted_row) rows.push_back(std::move(row));
  }
  return rows;
}

std::string csv_cell(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace assay::results
