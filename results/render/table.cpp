#include "results/table.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"
#include "results/csv.h"

namespace assay::results {
namespace {

const Cell& cell_at(const TableRow& row, size_t column) {
  static const Cell empty;
  return column < row.cells.size() ? row.cells[column] : empty;
}

// -- terminal
// --------------------------------------------------------------------------------------

std::string cut(const std::string& text, size_t width) {
  if (utf8::display_width(text) <= width) return text;
  std::string out;
  size_t used = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    utf8::decode(text, at);
    const std::string_view piece(text.data() + begin, at - begin);
    const size_t columns = utf8::display_width(piece);
    if (used + columns + 1 > width) break;
    out += piece;
    used += columns;
  }
  return out + "…";
}

std::string padded(const std::string& text, size_t width, Align align) {
  const size_t columns = utf8::display_width(text);
  const std::string space(columns < width ? width - columns : 0, ' ');
  return align == Align::left ? text + space : space + text;
}

std::string styled(const std::string& text, const Cell& cell, bool color) {
  if (!color) return text;
  std::string codes;
  if (cell.bold) codes += ";1";
  if (cell.tone == Tone::good) codes += ";32";
  if (cell.tone == Tone::bad) codes += ";31";
  if (cell.tone == Tone::dim) codes += ";2";
  if (codes.empty()) return text;
  return "\x1b[" + codes.substr(1) + "m" + text + "\x1b[0m";
}

std::string without_trailing_spaces(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

// Words of `text` in lines of at most `width` columns, continued lines indented by two.
std::string wrapped(const std::string& text, size_t width) {
  std::string out, line;
  size_t used = 0;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    std::string word = text.substr(at, end - at);
    at = end + 1;
    const size_t columns = utf8::display_width(word);
    if (used > 0 && used + 1 + columns > width) {
      out += line + "\n";
      line = "  " + word;
      used = 2 + columns;
    } else {
      line += (used > 0 ? " " : "") + word;
      used += (used > 0 ? 1 : 0) + columns;
    }
  }
  return out + line + "\n";
}

std::string terminal(const Table& table, const TerminalOptions& options) {
  const size_t count = table.columns.size();
  std::vector<std::string> titles;
  std::vector<size_t> widths;
  std::vector<std::vector<std::string>> texts;
  for (const TableColumn& column : table.columns) {
    titles.push_back(utf8::printable(column.title));
    widths.push_back(utf8::display_width(titles.back()));
  }
  for (const TableRow& row : table.rows) {
    texts.emplace_back();
    for (size_t c = 0; c < count; ++c) {
      texts.back().push_back(row.section.empty() ? utf8::printable(cell_at(row, c).text) : "");
      widths[c] = std::max(widths[c], utf8::display_width(texts.back().back()));
    }
  }
  if (count == 0) return {};
  // One wide text may not push the others out: no column is wider than half of the line, unless
  // everything fits.
  const auto total = [&](size_t gap) {
    size_t sum = 0;
    for (const size_t w : widths) sum += w + gap;
    return sum - gap;
  };
  size_t gap = 2;
  if (total(2) > options.width) gap = total(1) <= options.width ? 1 : 2;
  if (total(gap) > options.width)
    for (size_t& w : widths) w = std::min(w, options.width / 2 - gap);

  std::string out;
  if (!table.title.empty())
    out += styled(cut(utf8::printable(table.title), options.width), {"", true}, options.color) +
           "\n\n";
  for (size_t first = count > 1 ? 1 : 0; first < count || first == 0;) {
    std::vector<size_t> block;
    size_t used = 0;
    if (first > 0) {
      block.push_back(0);
      used = widths[0];
    }
    while (first < count && (block.size() < 2 || used + gap + widths[first] <= options.width)) {
      used += widths[first] + (block.empty() ? 0 : gap);
      block.push_back(first++);
    }
    const auto line = [&](auto&& text_of) {
      std::string result;
      for (size_t i = 0; i < block.size(); ++i)
        result += (i ? std::string(gap, ' ') : "") + text_of(block[i]);
      return without_trailing_spaces(result) + "\n";
    };
    out += line([&](size_t c) {
      return padded(cut(titles[c], widths[c]), widths[c], table.columns[c].align);
    });
    std::string rule;
    for (size_t i = 0; i < used; ++i) rule += "─";
    out += styled(rule, {"", false, Tone::dim}, options.color) + "\n";
    for (size_t r = 0; r < table.rows.size(); ++r) {
      const TableRow& row = table.rows[r];
      if (!row.section.empty()) {
        out += styled(cut(utf8::printable(row.section), options.width), {"", true}, options.color) +
               "\n";
        continue;
      }
      out += line([&](size_t c) {
        return styled(padded(cut(texts[r][c], widths[c]), widths[c], table.columns[c].align),
                      cell_at(row, c), options.color);
      });
    }
    if (first < count) out += "\n";
    if (count == 1) break;
  }
  if (!table.notes.empty()) out += "\n";
  for (const std::string& note : table.notes) out += wrapped(utf8::printable(note), options.width);
  return out;
}

// -- documents
// -------------------------------------------------------------------------------------

std::string markdown(const Table& table) {
  std::string out;
  if (!table.title.empty()) out += "**" + escape_markdown(table.title) + "**\n\n";
  std::string rule = "|";
  out += "|";
  for (const TableColumn& column : table.columns) {
    out += " " + escape_markdown(column.title) + " |";
    rule += column.align == Align::left ? " :-- |" : " --: |";
  }
  out += "\n" + rule + "\n";
  for (const TableRow& row : table.rows) {
    out += "|";
    if (!row.section.empty()) {
      out += " **" + escape_markdown(row.section) + "** |";
      for (size_t c = 1; c < table.columns.size(); ++c) out += " |";
    } else {
      for (size_t c = 0; c < table.columns.size(); ++c) {
        const Cell& cell = cell_at(row, c);
        const std::string text = escape_markdown(cell.text);
        out += cell.bold && !text.empty() ? " **" + text + "** |" : " " + text + " |";
      }
    }
    out += "\n";
  }
  for (const std::string& note : table.notes) out += "\n" + escape_markdown(note) + "\n";
  return out;
}

std::string latex(const Table& table) {
  std::string spec;
  for (const TableColumn& column : table.columns) spec += column.align == Align::left ? 'l' : 'r';
  std::string out = "\\begin{tabular}{" + spec + "}\n\\hline\n";
  for (size_t c = 0; c < table.columns.size(); ++c)
    out += (c ? " & " : "") + escape_latex(table.columns[c].title);
  out += " \\\\\n\\hline\n";
  for (const TableRow& row : table.rows) {
    if (!row.section.empty()) {
      out += "\\multicolumn{" + std::to_string(table.columns.size()) + "}{l}{\\textit{" +
             escape_latex(row.section) + "}} \\\\\n";
      continue;
    }
    for (size_t c = 0; c < table.columns.size(); ++c) {
      const Cell& cell = cell_at(row, c);
      const std::string text = escape_latex(cell.text);
      out += c ? " & " : "";
      out += cell.bold && !text.empty() ? "\\textbf{" + text + "}" : text;
    }
    out += " \\\\\n";
  }
  out += "\\hline\n\\end{tabular}\n";
  for (const std::string& note : table.notes) out += "\n% " + escape_latex(note) + "\n";
  return out;
}

std::string csv(const Table& table) {
  const bool sections = std::any_of(table.rows.begin(), table.rows.end(),
                                    [](const TableRow& row) { return !row.section.empty(); });
  std::string out = sections ? "section" : "";
  const auto add = [&](const std::string& text, bool first) {
    if (!first) out += ",";
    out += csv_cell(utf8::sanitized(text));
  };
  for (size_t c = 0; c < table.columns.size(); ++c)
    add(table.columns[c].title, c == 0 && !sections);
  out += "\n";
  std::string section;
  for (const TableRow& row : table.rows) {
    if (!row.section.empty()) {
      section = row.section;
      continue;
    }
    if (sections) out += csv_cell(utf8::sanitized(section));
    for (size_t c = 0; c < table.columns.size(); ++c)
      add(cell_at(row, c).text, c == 0 && !sections);
    out += "\n";
  }
  return out;
}

std::string html(const Table& table) {
  std::string out = "<table>\n";
  if (!table.title.empty()) out += "<caption>" + escape_html(table.title) + "</caption>\n";
  out += "<thead><tr>";
  for (const TableColumn& column : table.columns)
    out += std::string("<th class=\"") + (column.align == Align::left ? "left" : "right") + "\">" +
           escape_html(column.title) + "</th>";
  out += "</tr></thead>\n<tbody>\n";
  for (const TableRow& row : table.rows) {
    if (!row.section.empty()) {
      out += "<tr class=\"section\"><th class=\"left\" colspan=\"" +
             std::to_string(table.columns.size()) + "\">" + escape_html(row.section) +
             "</th></tr>\n";
      continue;
    }
    out += "<tr>";
    for (size_t c = 0; c < table.columns.size(); ++c) {
      const Cell& cell = cell_at(row, c);
      std::string classes = table.columns[c].align == Align::left ? "left" : "right";
      if (cell.bold) classes += " best";
      if (cell.tone == Tone::good) classes += " good";
      if (cell.tone == Tone::bad) classes += " bad";
      if (cell.tone == Tone::dim) classes += " dim";
      out += "<td class=\"" + classes + "\">" + escape_html(cell.text) + "</td>";
    }
    out += "</tr>\n";
  }
  out += "</tbody>\n</table>\n";
  for (const std::string& note : table.notes)
    out += "<p class=\"note\">" + escape_html(note) + "</p>\n";
  return out;
}

}  // namespace

Format parse_format(std::string_view name) {
  constexpr std::pair<std::string_view, Format> kNames[] = {{"terminal", Format::terminal},
                                                            {"markdown", Format::markdown},
                                                            {"latex", Format::latex},
                                                            {"csv", Format::csv},
                                                            {"html", Format::html}};
  for (const auto& [known, format] : kNames)
    if (known == name) return format;
  throw_usage("there is no format " + std::string(name),
              "choose terminal, markdown, latex, csv or html");
}

std::string render(const Table& table, Format format, const TerminalOptions& options) {
  switch (format) {
    case Format::terminal:
      return terminal(table, options);
    case Format::markdown:
      return markdown(table);
    case Format::latex:
      return latex(table);
    case Format::csv:
      return csv(table);
    case Format::html:
      return html(table);
  }
  return {};
}

}  // namespace assay::results
