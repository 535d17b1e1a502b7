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

// The documents of one row, by column; texts once, long prompts as a prefix and a rest (see items.js).
struct TaskItems {
  std::string json;
  size_t documents = 0;
};
std::vector<TaskItems> items_json(const Store& store, const Rows& rows, const ReportOptions& options);

// Everything but the documents (see scores.js, curves.js and heatmaps.js for its fields).
std::string summary_json(const Store& store, std::span<const RunSummary> runs, const Rows& rows,
                         std::span<const TaskItems> items, const ReportOptions& options,
                         const Workers& workers);

}  // namespace assay::results::report
