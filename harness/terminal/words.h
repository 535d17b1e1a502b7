// Words in lines.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace assay::harness {

// The words of `text`, as many a line as have room in `width` columns, with `line_break` between lines. A longer
// word has a line of its own.
std::string fill_lines(std::string_view text, size_t width, std::string_view line_break);
// The same with items that are not taken apart, `gap` between two on a line.
std::string fill_lines(const std::vector<std::string>& items, size_t width, std::string_view line_break,
                       std::string_view gap);

}  // namespace assay::harness
