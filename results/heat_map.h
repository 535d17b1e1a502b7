// Scores on a grid of two labels, from aggregates called "cell:COLUMN|ROW" (needle in a haystack:
// lengths across, depths down).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "results/queries.h"
#include "results/table.h"

namespace assay::results {

struct HeatMap {
  EvaluationSummary evaluation;
  std::vector<std::string> columns, rows;               // in numeric order
  std::vector<std::vector<std::optional<double>>> cells;  // [row][column] of the primary metric
};

// Of one evaluation; nothing where it has no such aggregates.
std::optional<HeatMap> heat_map(const Store& store, const EvaluationSummary& evaluation);
// One for each finished evaluation of the run that has such aggregates.
std::vector<HeatMap> heat_maps(const Store& store, const RunSummary& run);

// Rows of numbers; with `color` on a background from red (0) over yellow to green (1). Columns beyond
// `width` go to further blocks.
std::string heat_map_text(const HeatMap& map, size_t width, bool color);

}  // namespace assay::results
