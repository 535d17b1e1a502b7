#include "results/compare/pairing.h"

#include <unordered_map>

#include "base/error.h"

namespace assay::results {

Pairing pair_items(const Store& store, const EvaluationSummary& a, const EvaluationSummary& b,
                   std::string_view metric) {
  std::vector<ItemValue> in_a = item_values(store, a, metric);
  const std::vector<ItemValue> in_b = item_values(store, b, metric);
  Pairing result;
  result.pairs.reserve(in_a.size());
  // Looked up, never iterated: its order reaches no output.
  std::unordered_map<std::string_view, size_t> index;
  bool aligned = in_a.size() == in_b.size();
  for (size_t i = 0; aligned && i < in_a.size(); ++i) aligned = in_a[i].item_id == in_b[i].item_id;
  if (!aligned) {
    index.reserve(in_b.size());
    for (size_t j = 0; j < in_b.size(); ++j)
      if (!index.emplace(in_b[j].item_id, j).second)
        throw_bad_input("document " + in_b[j].item_id + " was asked twice", evaluation_name(b));
  }
  std::unordered_map<std::string, int32_t> clusters;
  int32_t next_cluster = 0;
  int64_t found = 0;
  for (size_t i = 0; i < in_a.size(); ++i) {
    ItemValue& item = in_a[i];
    size_t j = i;
    if (!aligned) {
      const auto entry = index.find(item.item_id);
      if (entry == index.end()) {
        ++result.only_a;
        continue;
      }
      j = entry->second;
    }
    ++found;
    const ItemValue& other = in_b[j];
    if (item.content_hash != other.content_hash) {
      ++result.changed;
      continue;
    }
    if (!item.value || !other.value) {
      ++result.unjudged;
      continue;
    }
    if (!item.stratum) continue;
    int32_t cluster = next_cluster;
    if (!item.cluster.empty()) {
      cluster = clusters.try_emplace(item.cluster, next_cluster).first->second;
    }
    if (cluster == next_cluster) ++next_cluster;
    result.pairs.push_back(
        {*item.value, *other.value, item.weight, static_cast<int32_t>(*item.stratum), cluster});
    result.position_b.push_back(other.position);
    result.a.push_back(std::move(item));
  }
  result.only_b = static_cast<int64_t>(in_b.size()) - found;
  return result;
}

}  // namespace assay::results
