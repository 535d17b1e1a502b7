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

// A title in lines of at most `width` columns, broken after spaces and hyphens.
std::vector<std::string> title_lines(const std::string& title, size_t width) {
  std::vector<std::string> lines{""};
  for (size_t at = 0; at < title.size();) {
    const size_t stop = title.find_first_of(" -", at);
    const size_t end = stop == std::string::npos ? title.size() : stop + 1;
    const std::string piece = title.substr(at, end - at);
    at = end;
    const size_t visible = utf8::display_width(without_trailing_spaces(piece));
    if (!lines.back().empty() && utf8::display_width(lines.back()) + visible > width)
      lines.emplace_back();
    lines.back() += piece;
  }
  for (std::string& line : lines) line = without_trailing_spaces(line);
  return lines;
}

// A row's name in lines of at most `width` columns where it has spaces to break at, the later ones
// indented.
std::vector<std::string> name_lines(const std::string& name, size_t width) {
  std::vector<std::string> lines{""};
  for (size_t at = 0; at < name.size();) {
    const size_t end = std::min(name.find(' ', at + 1), name.size());
    const std::string word = name.substr(at, end - at);  // with the space before it
    at = end;
    if (!lines.back().empty() &&
        utf8::display_width(lines.back()) + utf8::display_width(word) > width)
      lines.push_back(" " + word);
    else
      lines.back() += word;
  }
  return lines;
}

// How a table stands on a terminal: texts, widths, titles broken into lines.
class Layout {
 public:
  Layout(const Table& table, const TerminalOptions& options) : count_(table.columns.size()) {
    for (const TableColumn& column : table.columns) titles_.push_back(utf8::printable(column.title));
    cell_widths_.resize(count_, 0);
    for (const TableRow& row : table.rows) {
      texts.emplace_back();
      for (size_t c = 0; c < count_; ++c) {
        const Cell& cell = cell_at(row, c);
        const char* star = cell.bold && !options.color && !cell.text.empty() ? "*" : "";
        texts.back().push_back(row.section.empty() ? star + utf8::printable(cell.text) : "");
        cell_widths_[c] = std::max(cell_widths_[c], utf8::display_width(texts.back().back()));
      }
    }
    choose(options.width);
  }

  std::vector<std::vector<std::string>> texts;  // row, column; "" in section rows
  std::vector<std::vector<std::string>> heads;  // column, line
  std::vector<size_t> widths;                   // columns
  size_t head_lines = 1, gap = 2;

 private:
  // Titles break into lines, columns move together and long names of rows break, only as far as that
  // lets all stand side by side; where nothing does, the table will be cut into blocks of columns.
  void choose(size_t width) {
    struct Try {
      size_t title_width, gap, name_width;
    };
    constexpr size_t kAny = 1000, kTitleWidth = 12, kNameWidth = 24;
    constexpr Try kTries[] = {{kAny, 2, kAny},        {kAny, 1, kAny}, {kTitleWidth, 2, kAny},
                              {kTitleWidth, 1, kAny}, {9, 2, kAny},    {9, 1, kAny},
                              {9, 1, kNameWidth}};
    for (const Try& t : kTries)
      if (set(t.title_width, t.gap, t.name_width); total() <= width) return;
    set(kTitleWidth, 2, kAny);
    // One wide text may not push the others out: no column is wider than half of the line.
    for (size_t& w : widths) w = std::min(w, width / 2 - gap);
  }

  void set(size_t title_width, size_t new_gap, size_t name_width) {
    gap = new_gap;
    heads.clear();
    head_lines = 1;
    widths = cell_widths_;
    if (count_ > 1 && widths[0] > name_width) {
      widths[0] = 0;
      for (const auto& row : texts)
        for (const std::string& line : name_lines(row[0], name_width))
          widths[0] = std::max(widths[0], utf8::display_width(line));
    }
    for (size_t c = 0; c < count_; ++c) {
      heads.push_back(title_lines(titles_[c], std::max(title_width, widths[c])));
      head_lines = std::max(head_lines, heads.back().size());
      for (const std::string& line : heads.back())
        widths[c] = std::max(widths[c], utf8::display_width(line));
    }
  }

  size_t total() const {
    size_t sum = 0;
    for (const size_t w : widths) sum += w + gap;
    return sum - std::min(sum, gap);
  }

  size_t count_;
  std::vector<std::string> titles_;
  std::vector<size_t> cell_widths_;
};

std::string terminal(const Table& table, const TerminalOptions& options) {
  const size_t count = table.columns.size();
  if (count == 0) return {};
  const Layout layout(table, options);
  const std::vector<size_t>& widths = layout.widths;
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
    while (first < count &&
           (block.size() < 2 || used + layout.gap + widths[first] <= options.width)) {
      used += widths[first] + (block.empty() ? 0 : layout.gap);
      block.push_back(first++);
    }
    const auto line = [&](auto&& text_of) {
      std::string result;
      for (size_t i = 0; i < block.size(); ++i)
        result += (i ? std::string(layout.gap, ' ') : "") + text_of(block[i]);
      return without_trailing_spaces(result) + "\n";
    };
    for (size_t h = 0; h < layout.head_lines; ++h) {
      out += line([&](size_t c) {
        // Titles stand on the rule: short ones begin further down.
        const size_t skip = layout.head_lines - layout.heads[c].size();
        const std::string text = h < skip ? "" : layout.heads[c][h - skip];
        return padded(cut(text, widths[c]), widths[c], table.columns[c].align);
      });
    }
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
      const std::vector<std::string> name =
          count > 1 ? name_lines(layout.texts[r][0], widths[0])
                    : std::vector<std::string>{layout.texts[r][0]};
      out += line([&](size_t c) {
        const std::string& text = c == 0 ? name[0] : layout.texts[r][c];
        return styled(padded(cut(text, widths[c]), widths[c], table.columns[c].align),
                      cell_at(row, c), options.color);
      });
      for (size_t n = 1; n < name.size(); ++n) out += cut(name[n], widths[0]) + "\n";
    }
    if (first < count) out += "\n";
    if (count == 1) break;
  }
  if (!table.notes.empty()) out += "\n";
  for (const std::string& note : table.notes) out += wrap_text(note, options.width);
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

std::string wrap_text(std::string_view raw, size_t width) {
  const std::string text = utf8::printable(raw);
  std::string out, line;
  size_t used = 0;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    std::string word = text.substr(at, end - at);
    at = end + 1;
    if (used > 2 && used + 1 + utf8::display_width(word) > width) {
      out += line + "\n";
      line = "  ";
      used = 2;
    } else if (used > 0) {
      line += ' ';
      ++used;
    }
    // A word longer than a line is broken where the line ends.
    while (used + utf8::display_width(word) > width) {
      size_t cut_at = 0;
      while (cut_at < word.size()) {
        size_t next = cut_at;
        utf8::decode(word, next);
        const size_t columns =
            utf8::display_width(std::string_view(word).substr(cut_at, next - cut_at));
        if (used + columns > width) break;
        used += columns;
        cut_at = next;
      }
      out += line + word.substr(0, cut_at) + "\n";
      word.erase(0, cut_at);
      line = "  ";
      used = 2;
    }
    line += word;
    used += utf8::display_width(word);
  }
  return out + line + "\n";
}

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
