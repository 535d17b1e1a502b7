// Typed questions to a store: which models, runs and evaluations there are, the documents of an
// evaluation, and one document with everything that is known about it.
//
// All functions read only, from the last committed state. Errors as in results/store.h.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "results/store.h"

namespace assay::results {

struct RunSummary {
  RunId id{};
  ModelRecord model;
  RunIdentity identity;
  std::string digest;  // of the identity, hexadecimal
  bool finished = false;
  int64_t evaluations = 0, finished_evaluations = 0;
  int64_t started_at = 0, last_at = 0;  // Unix seconds, first and last session; volatile
  std::string command_line, host;       // of the last session; volatile
};

struct EvaluationSummary {
  EvaluationId id{};
  RunId run{};
  EvaluationIdentity identity;
  EvaluationDescription description;
  std::string digest;
  bool finished = false;
  std::optional<AggregateRecord> headline;  // set when finished and a document could be judged
};

// Ascending row numbers.
std::vector<RunSummary> list_runs(const Store& store);

// The run that a person means: its number ("3" or "#3"), its label, or the beginning (6 digits or
// more) of its digest. Throws usage where none or several fit, naming them.
RunSummary find_run(const Store& store, std::string_view name);

// Evaluations of a run, in the order of the published table, then by task, variant (ds first) and shots.
std::vector<EvaluationSummary> list_evaluations(const Store& store, RunId run);

// A document of an evaluation with one metric.
struct ItemValue {
  int64_t position = 0;
  int64_t document = 0;  // equal numbers in one store: equal document
  std::string item_id, content_hash, group, cluster;
  std::optional<int64_t> stratum;
  std::optional<double> value;  // absent: an error, or a metric that this document lacks
  double weight = 1;
};
// Ascending positions. Throws bad_input naming the metrics there are for an unknown one.
std::vector<ItemValue> item_values(const Store& store, const EvaluationSummary& evaluation,
                                   std::string_view metric);
// Names of an evaluation's metrics, in byte order.
std::vector<std::string> metric_names(const Store& store, EvaluationId evaluation);

// One document as it was asked, answered and judged.
struct ItemDetail {
  ItemRecord item;
  std::vector<OptionRecord> options;
  std::vector<GenerationRecord> generations;
  std::vector<ExecutionRecord> executions;
  GradeRecord grade;
};
ItemDetail item_detail(const Store& store, EvaluationId evaluation, int64_t position);

// Expert load of an evaluation, by ascending layer.
std::vector<ExpertLoadRecord> expert_load(const Store& store, EvaluationId evaluation);

// "MMLU 5-shot", and with the variant where it is not "ds": how an evaluation is called.
std::string evaluation_name(const EvaluationSummary& evaluation);

}  // namespace assay::results
