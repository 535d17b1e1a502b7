// `assay show`: scores of runs with intervals, as tables and as JSON.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "results/queries.h"
#include "results/table.h"

namespace assay::results {

// "61.3" for a fraction in percent, "0.548" for bits per byte, "0.613" for raw values.
std::string score_text(double value, std::string_view unit);
// A difference of two scores: "+1.2", "-0.004".
std::string difference_text(double value, std::string_view unit);

// Runs across, evaluations down, grouped by category in the order of the published table; each cell
// a score with the half width of its 95 % interval. Evaluations of unlike identity get rows of
// their own. A run that lacks an evaluation shows a dash, one that is still running "n/N".
Table scores_table(const Store& store, std::span<const RunSummary> runs);

struct ShowOptions {
  bool all_metrics = false;  // every metric, not only the primary one
  bool by_group = false;     // subjects below their task
};
// One run: metric, score, interval, documents and errors of each evaluation.
Table run_table(const Store& store, const RunSummary& run, const ShowOptions& options = {});
// Checkpoint, numerics, digests, settings, sessions: "name: value" lines, safe for a terminal.
std::string run_card(const RunSummary& run);

// {"runs": [{"id", "label", "model", ..., "tasks": [{"task", ..., "aggregates": [...]}]}]}
std::string scores_json(const Store& store, std::span<const RunSummary> runs);

// `assay runs`, `assay models`, also below `assay list`.
Table runs_list(std::span<const RunSummary> runs);
Table models_list(std::span<const RunSummary> runs);
std::string runs_json(std::span<const RunSummary> runs);    // an array, one object a run
std::string models_json(std::span<const RunSummary> runs);  // one object a checkpoint

}  // namespace assay::results
