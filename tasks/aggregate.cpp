#include "tasks/aggregate.h"

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace assay::tasks {
namespace {

using Strata = std::map<std::string, std::vector<size_t>>;

std::vector<std::vector<size_t>> lists(const Strata& strata) {
  std::vector<std::vector<size_t>> out;
  for (const auto& [name, items] : strata) out.push_back(items);
  return out;
}

}  // namespace

size_t Aggregate::items() const {
  size_t n = 0;
  for (const auto& stratum : strata) n += stratum.size();
  return n;
}

double mean(const Aggregate& aggregate, std::span<const double> values,
            std::span<const double> weights) {
  double sum = 0;
  for (const auto& stratum : aggregate.strata) {
    double weighted = 0, weight = 0;
    for (size_t i : stratum) {
      double w = weights.empty() ? 1 : weights[i];
      weighted += w * values[i];
      weight += w;
    }
    sum += weighted / weight;
  }
  return aggregate.strata.empty() ? std::numeric_limits<double>::quiet_NaN()
                                  : sum / static_cast<double>(aggregate.strata.size());
}

std::vector<Aggregate> AggregationRule::aggregates(std::span<const ItemKey> items) const {
  std::vector<size_t> all(items.size());
  Strata by_group;
  std::map<std::string, Strata> by_label;  // label -> value -> items
  for (size_t i = 0; i < items.size(); ++i) {
    all[i] = i;
    if (!items[i].group.empty()) by_group[items[i].group].push_back(i);
    for (const auto& [label, value] : items[i].labels) by_label[label][value].push_back(i);
  }
  std::vector<Aggregate> out;
  if (items.empty()) return out;
  out.push_back({"micro", {all}, false});
  if (!by_group.empty()) out.push_back({"macro", lists(by_group), false});
  for (const auto& [label, strata] : by_label) {
    out.push_back({"macro:" + label, lists(strata), false});
  }
  for (const Category& category : categories) {
    Strata chosen;
    for (const std::string& group : category.groups) {
      if (auto it = by_group.find(group); it != by_group.end()) chosen.insert(*it);
    }
    if (chosen.empty()) continue;
    Aggregate aggregate{"category:" + category.name, lists(chosen), false};
    if (!category.macro) {
      std::vector<size_t> joined;
      for (const auto& stratum : aggregate.strata) {
        joined.insert(joined.end(), stratum.begin(), stratum.end());
      }
      std::sort(joined.begin(), joined.end());
      aggregate.strata = {std::move(joined)};
    }
    out.push_back(std::move(aggregate));
  }
  for (const auto& [group, list] : by_group) out.push_back({"group:" + group, {list}, false});
  for (const auto& [label, strata] : by_label) {
    for (const auto& [value, list] : strata) {
      out.push_back({label + ":" + value, {list}, false});
    }
  }
  auto primary =
      std::find_if(out.begin(), out.end(), [&](const Aggregate& a) { return a.name == headline; });
  if (primary == out.end())
    throw_bad_input("the headline '" + headline + "' is no aggregate", metric);
  primary->primary = true;
  std::rotate(out.begin(), primary, primary + 1);
  return out;
}

}  // namespace assay::tasks
