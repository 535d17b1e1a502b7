#include "datasets/csv.h"

#include <algorithm>

#include "base/error.h"

namespace assay::datasets {

namespace {

// Parses one row from `at` on; advances `at` past its newline and `line` by the newlines consumed.
CsvRow parse_row(std::string_view text, CsvFormat format, const std::string& where, size_t& at,
                 size_t& line) {
  CsvRow row;
  row.line = line;
  while (true) {
    std::string cell;
    if (format.quotes && at < text.size() && text[at] == '"') {
      const size_t opened = line;
      for (++at;; ++at) {
        if (at >= text.size()) {
          throw_bad_input("quoted cell never ends", where + ":" + std::to_string(opened),
                          "is the file truncated?");
        }
        if (text[at] == '"') {
          ++at;
          if (at >= text.size() || text[at] != '"') break;
        }
        line += text[at] == '\n';
        cell += text[at];
      }
      // Newlines that a task keeps as they are: CR LF ends a row too.
      if (text.substr(at, 2) == "\r\n") ++at;
      if (at < text.size() && text[at] != format.delimiter && text[at] != '\n') {
        throw_bad_input("text after a closing quote", where + ":" + std::to_string(line));
      }
    } else {
      const size_t begin = at;
      while (at < text.size() && text[at] != format.delimiter && text[at] != '\n') ++at;
      cell = text.substr(begin, at - begin);
      if (at < text.size() && text[at] == '\n' && cell.ends_with('\r')) cell.pop_back();
    }
    row.cells.push_back(std::move(cell));
    if (at < text.size() && text[at] == format.delimiter) {
      ++at;
      continue;
    }
    if (at < text.size()) ++at, ++line;
    return row;
  }
}

}  // namespace

std::vector<CsvRow> parse_csv(std::string_view text, CsvFormat format, const std::string& where) {
  std::vector<CsvRow> rows;
  size_t line = 1;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '\n') {
      ++at, ++line;
      continue;
    }
    rows.push_back(parse_row(text, format, where, at, line));
  }
  return rows;
}

char detect_delimiter(std::string_view text) {
  constexpr std::string_view kDelimiters = ",;\t";
  size_t counts[kDelimiters.size()] = {};
  bool quoted = false;
  for (const char c : text) {
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    if (c == '\n') break;
    if (const size_t i = kDelimiters.find(c); i != std::string_view::npos) ++counts[i];
  }
  return kDelimiters[static_cast<size_t>(std::max_element(counts, std::end(counts)) - counts)];
}

}  // namespace assay::datasets
