// Judging a finished run again from its stored outputs, without a model.
//
// Extraction, normalisation, grading, programs and averages are done anew with this program's scorers
// and task files. The result is a run of its own beside the first one, which keeps its scores: scorer
// versions stand side by side and can be compared document by document. Where nothing changes, no
// new run is kept.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "results/queries.h"

namespace assay::harness {

class ProgressDisplay;

struct RescoreOptions {
  std::filesystem::path data;       // root of the publishers' files, as for the run
  std::vector<std::filesystem::path> task_directories;
  std::vector<std::string> tasks;   // names; empty: all of the run
  std::string label;                // of the new run; default: "LABEL (rescored)"
  std::string sandbox = "auto";     // least isolation level for model-written code
  int sandbox_workers = 0;
  bool keep_verdicts = false;       // do not run programs again: their stored verdicts stand
};

struct RescoredMetric {
  std::string metric;
  std::optional<double> before, after;  // the headline average; absent: the metric is not there
  int64_t changed = 0;                  // documents with another value
};

struct RescoredTask {
  results::EvaluationSummary before, after;
  std::vector<RescoredMetric> metrics;  // the primary one first, then those that changed
  int64_t documents = 0;
  bool definition_changed = false;      // the task file, not only the scorers
  bool changed() const;
};

struct Rescored {
  results::RunSummary from;
  std::optional<results::RunSummary> run;  // the new one; absent: nothing changed
  std::vector<RescoredTask> tasks;
  std::vector<std::string> left_out;       // "mmlu@ds: ..." evaluations that could not be judged
};

// Throws usage for an unknown run or task, bad_input where the data are not those of the run or where
// no task can be judged, resource for a sandbox that is not there.
Rescored rescore(results::Store& store, const std::string& run, const RescoreOptions& options,
                 ProgressDisplay& display);

}  // namespace assay::harness
