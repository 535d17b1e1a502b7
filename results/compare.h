// `assay compare A B`: is the difference between two runs real, and where does it come from.
//
// Documents are paired by item id and content hash; what cannot be paired is counted and named,
// never dropped silently. Unlike identities are refused with a list of what differs, unless forced;
// a forced comparison says so. Two runs of one checkpoint (the same weights) may differ in
// numerics, kernels and version: that difference is then the question.
//
// Deterministic: equal stores give equal numbers for any thread count.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/workers.h"
#include "results/queries.h"
#include "results/statistics/paired.h"
#include "results/table.h"

namespace assay::results {

struct CompareOptions {
  bool force = false;
  std::vector<std::string> tasks = {};  // empty: all that both have
  std::string metric = {};              // empty: each task's primary metric
  bool by_group = false;                // subjects as well
  bool flips = false;                   // list the documents that changed
  size_t most_flips = 20;               // a task
  double alpha = 0.05;
  statistics::BootstrapOptions bootstrap = {};
};

struct Flip {
  std::string item_id, group;
  int64_t position_a = 0, position_b = 0;
  double value_a = 0, value_b = 0;
};

struct GroupComparison {
  std::string group;
  statistics::PairedEstimate estimate;
  double p_adjusted = 1;  // Benjamini-Hochberg over the groups of the task
};

enum class Verdict { better, worse, unclear, same };

struct TaskComparison {
  EvaluationSummary a, b;
  std::string metric;
  statistics::PairedEstimate estimate;   // difference = B - A in the metric's own direction
  double p_holm = 1, p_bh = 1;           // over the tasks of this comparison
  std::optional<double> detectable;      // smallest difference found with 80 % power
  Verdict verdict = Verdict::unclear;    // of B against A
  std::string sentence;                  // the verdict in words
  int64_t only_a = 0, only_b = 0;        // item ids that the other run lacks
  int64_t changed = 0;                   // the same item id with another content
  int64_t unjudged = 0;                  // without a value in one of the runs
  std::vector<std::string> differences;  // of identity, when forced
  std::vector<GroupComparison> groups;
  std::vector<Flip> flips;  // largest change first, then by position in A
};

struct Comparison {
  RunSummary a, b;
  std::vector<std::string> notes;        // differences that do not forbid a comparison
  std::vector<std::string> differences;  // that do, when forced
  bool forced = false;                   // there were such differences, in a run or a task
  size_t most_flips = 20;                // of the options: how many a task are printed
  std::vector<TaskComparison> tasks;     // in the published table's order
  std::vector<std::string> left_out;     // evaluations of one run alone, or not finished
  std::vector<EvaluationSummary> missing_in_b;  // of A, finished, without a finished partner in B
};

// Throws bad_input listing the differences of unlike runs, and usage if nothing is left to compare.
Comparison compare(const Store& store, const RunSummary& a, const RunSummary& b,
                   const CompareOptions& options, const Workers& workers);

Table comparison_table(const Comparison& comparison);
// Sentences, groups and flips below the table. With flips: prompt ends, options with scores and
// generations of both runs, at most `width` columns, safe for a terminal.
std::string comparison_details(const Store& store, const Comparison& comparison, size_t width);
std::string comparison_json(const Comparison& comparison);

}  // namespace assay::results
