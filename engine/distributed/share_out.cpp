#include "engine/distributed/share_out.h"

#include "engine/execute/forest.h"
#include "engine/execute/generate.h"
#include "engine/execute/work.h"

namespace assay::engine {

namespace {

// `cost(path, own)`: arithmetic of a request that brings `own` tokens of its own.
template <class Unfinished, class Cost>
std::vector<int> cut(std::span<const PathView> paths, int ranks, const Unfinished& unfinished,
                     const Cost& cost) {
  const std::vector<ForestEntry> forest = filter_forest(build_forest(paths), unfinished);
  std::vector<double> costs;
  double all = 0;
  for (const ForestEntry& entry : forest) {
    costs.push_back(cost(entry.path, static_cast<double>(paths[entry.path].size() - entry.shared)));
    all += costs.back();
  }
  std::vector<int> out(paths.size(), -1);
  double before = 0;
  int rank = 0;
  for (size_t i = 0; i < forest.size(); ++i) {
    // A request belongs to the rank in whose share its middle lies; identical ones stay together.
    const bool repeated = i > 0 && forest[i].shared == paths[forest[i].path].size() &&
                          forest[i].shared == paths[forest[i - 1].path].size();
    while (!repeated && rank + 1 < ranks && before + costs[i] / 2 > all * (rank + 1) / ranks) ++rank;
    before += costs[i];
    out[forest[i].path] = rank;
  }
  return out;
}

}  // namespace

std::vector<int> share_out(std::span<const ScoreRequest> requests, const ModelConfig& config, int ranks) {
  const WorkRates rates = work_rates(config, model::Form::expanded);
  std::vector<PathView> paths;
  for (const ScoreRequest& request : requests) {
    paths.push_back({request.context, request.continuation.first(request.continuation.size() - 1)});
  }
  return cut(
      paths, ranks, [&](uint32_t i) { return !requests[i].finished; },
      [&](uint32_t i, double own) {
        return rates.of(own, 0, static_cast<double>(requests[i].continuation.size()));
      });
}

std::vector<int> share_out(std::span<const GenerateRequest> requests, const ModelConfig& config, int ranks) {
  const WorkRates rates = work_rates(config, model::Form::absorbed);
  std::vector<PathView> paths;
  for (const GenerateRequest& request : requests) paths.push_back({request.prompt, {}});
  return cut(
      paths, ranks, [&](uint32_t i) { return !requests[i].finished; },
      [&](uint32_t i, double own) {
        const auto tokens = static_cast<double>(generation_limit(requests[i], config));
        return rates.of(own + tokens, 0, tokens);
      });
}

}  // namespace assay::engine
