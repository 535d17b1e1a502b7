// Tables for people: one model of rows and columns, rendered for the terminal, Markdown, LaTeX, CSV
// and HTML. Every renderer makes hostile text harmless in its own language.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace assay::results {

enum class Align { left, right };
enum class Tone { plain, good, bad, dim };

struct Cell {
  std::string text;
  bool bold = false;
  Tone tone = Tone::plain;
};

struct TableColumn {
  std::string title;
  Align align = Align::right;
};

struct TableRow {
  std::string section;  // not empty: a heading across the table; cells are ignored
  std::vector<Cell> cells;
};

struct Table {
  std::string title;
  std::vector<TableColumn> columns;  // the first one names the row and repeats in every block
  std::vector<TableRow> rows;
  std::vector<std::string> notes;  // below the table, one paragraph each
};

enum class Format { terminal, markdown, latex, csv, html };
Format parse_format(std::string_view name);  // throws usage, listing the names

struct TerminalOptions {
  size_t width = 80;   // never exceeded as long as two columns fit
  bool color = false;  // ANSI bold, green, red, dim; without it, bold cells begin with "*"
};

// Terminal: columns that do not fit go to further blocks below. Markdown: GitHub's pipe tables.
// LaTeX: a tabular for pdflatex without packages. CSV: header and rows alone, sections as a first
// column. HTML: a <table> fragment.
std::string render(const Table& table, Format format, const TerminalOptions& terminal = {});

// A paragraph in lines of at most `width` columns, continued lines indented by two; ends in LF. The
// text is made safe for a terminal.
std::string wrap_text(std::string_view text, size_t width);

// Text made harmless. Control characters and malformed UTF-8 become visible escapes in all of them;
// characters that pdflatex has no glyph for become U+XXXX.
std::string escape_html(std::string_view text);
std::string escape_latex(std::string_view text);
std::string escape_markdown(std::string_view text);

// "61.3" with `decimals` digits after the point, halves to even; "-0.0" is "0.0".
std::string fixed_text(double value, int decimals);
// The same with a sign: "+1.2".
std::string signed_text(double value, int decimals);
// A p-value: "0.034", "<0.001", "1".
std::string p_text(double p);

}  // namespace assay::results
