#include "harness/terminal/words.h"

#include <sstream>

#include "base/utf8.h"

namespace assay::harness {

std::string fill_lines(std::string_view text, size_t width, std::string_view line_break) {
  std::istringstream in{std::string(text)};
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return fill_lines(words, width, line_break, " ");
}

std::string fill_lines(const std::vector<std::string>& items, size_t width, std::string_view line_break,
                       std::string_view gap) {
  std::string out;
  size_t column = 0;
  for (const std::string& item : items) {
    const size_t columns = utf8::display_width(item);
    if (column > 0) {
      const bool fits = column + gap.size() + columns <= width;
      out += fits ? gap : line_break;
      column = fits ? column + gap.size() : 0;
    }
    out += item;
    column += columns;
  }
  return out;
}

}  // namespace assay::harness
