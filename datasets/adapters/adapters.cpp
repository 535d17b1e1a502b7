#include "datasets/adapters.h"

namespace assay::datasets {

RowAdapter find_adapter(std::string_view name) {
  if (name == "drop") return adapt_drop;
  if (name == "livecodebench") return adapt_livecodebench;
  if (name == "race-passage") return adapt_race_passage;
  return nullptr;
}

}  // namespace assay::datasets
