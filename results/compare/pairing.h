// Documents of two evaluations, paired. Private to this room.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "results/queries.h"
#include "results/statistics/paired.h"

namespace assay::results {

struct Pairing {
  std::vector<statistics::Pair> pairs;  // in order of position in A
  std::vector<ItemValue> a;             // the documents of `pairs`
  std::vector<int64_t> position_b;
  int64_t only_a = 0, only_b = 0, changed = 0, unjudged = 0;
};

// Pairs by item id and content hash. Groups are the headline's strata, clusters the documents'
// clusters. Documents outside the headline aggregate are left out.
Pairing pair_items(const Store& store, const EvaluationSummary& a, const EvaluationSummary& b,
                   std::string_view metric);

}  // namespace assay::results
