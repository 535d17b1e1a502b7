// Words in lines.
#pragma once

#include <string>
#include <string_view>

namespace assay::harness {

// The words of `text`, as many a line as have room in `width` columns, with `line_break` between lines. A longer
// word has a line of its own.
std::string fill_lines(std::string_view text, size_t width, std::string_view line_break);

}  // namespace assay::harness
