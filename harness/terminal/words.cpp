#include "harness/terminal/words.h"

#include <sstream>

#include "base/utf8.h"

namespace assay::harness {

std::string fill_lines(std::string_view text, size_t width, std::string_view line_break) {
  std::istringstream words{std::string(text)};
  std::string out, word;
  for (size_t column = 0; words >> word;) {
    const size_t columns = utf8::display_width(word);
    if (column > 0) {
      const bool fits = column + 1 + columns <= width;
      out += fits ? " " : line_break;
      column = fits ? column + 1 : 0;
    }
    out += word;
    column += columns;
  }
  return out;
}

}  // namespace assay::harness
