// Many tests at once: adjusted p-values.
#pragma once

#include <span>
#include <vector>

namespace assay::results::statistics {

// Holm's step-down adjustment: rejecting at alpha keeps the chance of any false rejection at alpha,
// whatever the dependence. For gates.
std::vector<double> holm(std::span<const double> p);

// Benjamini and Hochberg's step-up adjustment: rejecting at q keeps the expected share of false
// rejections at q for independent or positively dependent tests. For exploration.
std::vector<double> benjamini_hochberg(std::span<const double> p);

}  // namespace assay::results::statistics
