// `assay table A B ... --with published`: the base-model comparison table of the DeepSeek-V3
// report, own runs beside published columns, and the layout of its ablations.
//
// Bold logic of the report: the best of a row, and every score of the same level, which is a gap of
// at most 0.3 (percent; for bits per byte, equal in the three digits shown). Compared as shown,
// since published numbers are rounded.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "results/published.h"
#include "results/queries.h"
#include "results/table.h"

namespace assay::results {

enum class TableLayout {
  base,      // all columns compete for bold
  ablation,  // columns come in pairs, baseline and variant; each pair competes alone
};

struct BaseTableOptions {
  TableLayout layout = TableLayout::base;
  std::vector<published::Column> published;  // shown before the runs, in this order
  std::string variant = "ds";                // taken where a run has several; others are marked
  bool only_measured = false;                // leave out benchmarks that no run has
  bool footnotes = true;                     // what a cell departs in: as [a] with a note, else in it
};

// What `--with` names: "published" (the four base models), one of them ("DeepSeek-V3-Base"), an
// ablation ("mtp", "aux-loss-free"), or a CSV file of baselines. Throws usage for anything else.
std::vector<published::Column> published_columns(const std::string& name);

Table base_table(const Store& store, std::span<const RunSummary> runs,
                 const BaseTableOptions& options);

}  // namespace assay::results
