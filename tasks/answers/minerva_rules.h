// The replacements and deletions of Lewkowycz et al.'s normal form, in their order: what the
// Minerva rule and those made from it (lm-eval's, OpenCompass's) begin with.
#pragma once

#include <array>
#include <string_view>
#include <utility>

namespace assay::tasks::answers {

inline constexpr std::array<std::pair<std::string_view, std::string_view>, 10>
    kMinervaSubstitutions{{
        {"an ", ""},
        {"a ", ""},
        {".$", "$"},
        {"\\$", ""},
        {"\\ ", ""},
        {" ", ""},
        {"mbox", "text"},
        {",\\text{and}", ","},
        {"\\text{and}", ","},
        {"\\text{m}", "\\text{}"},
    }};

// Deleted one after the other; \dots comes after them.
inline constexpr std::array<std::string_view, 41> kMinervaRemoved{"square",
                                                                  "ways",
                                                                  "integers",
                                                                  "dollars",
                                                                  "mph",
                                                                  "inches",
                                                                  "ft",
                                                                  "hours",
                                                                  "km",
                                                                  "units",
                                                                  "\\ldots",
                                                                  "sue",
                                                                  "points",
                                                                  "feet",
                                                                  "minutes",
                                                                  "digits",
                                                                  "cents",
                                                                  "degrees",
                                                                  "cm",
                                                                  "gm",
                                                                  "pounds",
                                                                  "meters",
                                                                  "meals",
                                                                  "edges",
                                                                  "students",
                                                                  "childrentickets",
                                                                  "multiples",
                                                                  "\\text{s}",
                                                                  "\\text{.}",
                                                                  "\\text{\ns}",
                                                                  "\\text{}^2",
                                                                  "\\text{}^3",
                                                                  "\\text{\n}",
                                                                  "\\text{}",
                                                                  "\\mathrm{th}",
                                                                  "^\\circ",
                                                                  "^{\\circ}",
                                                                  "\\;",
                                                                  ",\\!",
                                                                  "{,}",
                                                                  "\""};

}  // namespace assay::tasks::answers
