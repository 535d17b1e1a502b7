// The data of an HTML report. Private to this room.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "results/report.h"

namespace assay::results::report {

// One line of the report: an evaluation identity, with the evaluation of each run that has it.
struct Row {
  std::string name;
  std::vector<std::optional<EvaluationSummary>> runs;
  const EvaluationSummary& any() const;
};
using Rows = std::vector<Row>;

Rows collect_rows(const Store& store, std::span<const RunSummary> runs);

// Everything but the documents (see core.js and charts.js for its fields).
std::string summary_json(const Store& store, std::span<const RunSummary> runs, const Rows& rows,
                         const ReportOptions& options, const Workers& workers);

// The documents, by column; texts once, long prompts as a prefix and a rest (see items.js).
std::string items_json(const Store& store, std::span<const RunSummary> runs, const Rows& rows,
                       const ReportOptions& options);

}  // namespace assay::results::report
