// `assay report`: one self-contained HTML file that opens from disk, without a server or a network.
//
// It holds scores with intervals, pairwise comparisons, curves over training, heat maps of subjects
// and of expert load, every document with prompts, option scores and generations of all runs, and
// what identifies each run. Texts of models and data sets reach the page as JSON only and are shown
// as text, never as markup.
//
// Errors: as in results/store.h.
#pragma once

#include <span>
#include <string>

#include "base/workers.h"
#include "results/queries.h"

namespace assay::results {

struct ReportOptions {
  std::string title = "assay report";
  // Documents to embed; where there are more, each task keeps its first ones in proportion, and the
  // page says so.
  size_t most_items = 100000;
  // Of the documents on the page; where they take more, fewer are embedded.
  size_t most_bytes = 24000000;
  size_t most_text = 20000;  // bytes of one prompt or generation; the rest is cut with a mark
  size_t most_pairs = 15;    // comparisons: all pairs, or the first run against the others
};

// The file's bytes. Runs appear in the order given. Comparisons of unlike runs are marked as
// forced.
std::string html_report(const Store& store, std::span<const RunSummary> runs,
                        const ReportOptions& options, const Workers& workers);

}  // namespace assay::results
