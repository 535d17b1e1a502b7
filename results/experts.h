// `assay show --experts`: how evenly a run's tokens were spread over the routed experts.
//
// Relative load of an expert in a layer is the share of routed tokens it received times the number
// of experts: 1 everywhere is perfect balance (DeepSeek-V3 report, figures of expert load).
#pragma once

#include <string>

#include "results/queries.h"
#include "results/table.h"

namespace assay::results {

// One layer of one evaluation.
struct LoadBalance {
  int layer = 0;
  uint64_t tokens = 0;                  // routed: token positions times experts per token
  std::vector<double> relative;         // [experts] relative load
  std::vector<double> mean_weight;      // [experts] mean combine weight where chosen; 0 if never
  double highest = 0, lowest = 0, deviation = 0;  // of `relative`; standard deviation over experts
  int busiest = 0, unused = 0;          // expert of the highest load (lowest index); never chosen
};
// Throws internal for a layer without experts.
LoadBalance load_balance(const ExpertLoadRecord& load);

// Tasks as sections, a row a layer: the spread of the relative load and its heat strip, experts from
// left to right, from a dot (never chosen) to the full block (twice the mean and above); more than 32
// experts are averaged in 32 equal ranges. Fits 80 columns. A note where there are no statistics.
Table experts_table(const Store& store, const RunSummary& run);
// {"run", "label", "tasks": [{"task", "variant", "shots", "identity", "layers": [{"layer", "tokens",
// "counts", "relative_load", "mean_weight"}]}]}
std::string experts_json(const Store& store, const RunSummary& run);

}  // namespace assay::results
