// How per-document values become a benchmark's numbers: micro and macro means, categories.
//
// An Aggregate is a mean over strata of the weighted mean inside each stratum: micro has one
// stratum, macro one per subject. Intervals are computed in results/ from the same index lists and
// clusters.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace assay::tasks {

// What aggregation needs to know of a document beside its metric value.
struct ItemKey {
  std::string group;    // subject, subtask, language; "" where there is none
  std::string cluster;  // "" = independent
  std::map<std::string, std::string, std::less<>> labels;  // further breakdowns: difficulty, level
};

struct Aggregate {
  // "micro", "macro", "group:anatomy", "category:STEM", "difficulty:hard", "macro:type".
  std::string name;
  std::vector<std::vector<size_t>> strata;  // item indices; never empty strata
  bool primary = false;                     // the headline number
  size_t items() const;
};

// Mean over strata of Σ weight·value / Σ weight. `weights` may be empty (all 1). NaN if empty.
double mean(const Aggregate& aggregate, std::span<const double> values,
            std::span<const double> weights = {});

struct Category {
  std::string name;
  std::vector<std::string> groups;
  bool macro = false;  // mean of the groups' means, else of the items
};

struct AggregationRule {
  std::string metric;              // the primary metric's name
  std::string headline = "micro";  // name of the primary aggregate
  std::vector<Category> categories;
  std::vector<std::string> breakdowns;  // labels to break down by
  bool lower_is_better = false;         // bits per byte
  bool percent = true;                  // shown times 100
  size_t expected_groups = 0;           // of a complete macro mean; 0 = not stated

  // All aggregates for these items, the headline first. Independent of the metric.
  std::vector<Aggregate> aggregates(std::span<const ItemKey> items) const;
};

}  // namespace assay::tasks
