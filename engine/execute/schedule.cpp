// The part of scoring that needs no weights (score.h).
#include <algorithm>

#include "base/error.h"
#include "engine/execute/request_name.h"
#include "engine/execute/score.h"

namespace assay::engine {

namespace {

void check_ids(TokenSpan ids, const ModelConfig& config, const std::string& where) {
  for (const TokenId id : ids) {
    if (id >= 0 && id < config.vocabulary) continue;
    throw_bad_input("token id " + std::to_string(id) + " is outside the vocabulary of " +
                        std::to_string(config.vocabulary),
                    where, "tokenise with this checkpoint's tokenizer");
  }
}

}  // namespace

void check_requests(std::span<const ScoreRequest> requests, const ModelConfig& config) {
  for (size_t i = 0; i < requests.size(); ++i) {
    const ScoreRequest& request = requests[i];
    const std::string where = request_name(request.name, i);
    if (request.context.empty() || request.continuation.empty()) {
      throw_bad_input(request.context.empty() ? "empty context" : "empty continuation",
                      where, "give at least one token of each");
    }
    check_ids(request.context, config, where);
    check_ids(request.continuation, config, where);
    const auto tokens =
        static_cast<int64_t>(request.context.size() + request.continuation.size());
    // The last token is only predicted: it needs no position.
    if (tokens - 1 > config.context_length) {
      throw_bad_input(std::to_string(tokens) + " tokens, but the checkpoint's context is " +
                          std::to_string(config.context_length),
                      where, "shorten the prompt (fewer shots) or the continuation");
    }
  }
}

ScoreSchedule::ScoreSchedule(std::span<const ScoreRequest> requests, const PlanLimits& limits,
                             bool expert_load)
    : requests_(requests) {
  paths_.reserve(requests.size());
  for (const ScoreRequest& request : requests) {
    paths_.push_back({request.context, request.continuation.first(request.continuation.size() - 1)});
  }
  const std::vector<ForestEntry> all = build_forest(paths_);
  const auto unfinished = [&](uint32_t path) { return !requests_[path].finished; };
  forest_ = filter_forest(all, unfinished);
  passes_ = plan_passes(forest_, paths_, limits);
  work_.resize(passes_.size());

  // Finished requests own positions in the statistics though they are not computed.
  std::vector<uint32_t> counted;  // of each entry of forest_, positions that its group has seen
  if (expert_load) {
    std::vector<int> groups(requests.size());
    for (size_t i = 0; i < requests.size(); ++i) groups[i] = requests[i].group;
    const std::vector<uint32_t> shared = shared_within_group(all, groups);
    for (size_t i = 0; i < all.size(); ++i) {
      if (unfinished(all[i].path)) counted.push_back(shared[i]);
    }
  }

  RowTracker tracker(forest_, paths_, passes_);
  for (uint32_t e = 0; e < forest_.size(); ++e) {
    const uint32_t index = forest_[e].path;
    const ScoreRequest& request = requests_[index];
    const auto places = tracker.advance(e);
    const size_t first = request.context.size() - 1;
    for (size_t k = 0; k < request.continuation.size(); ++k) {
      const RowTracker::Place place = places[first + k];
      work_[place.pass].targets.push_back(
          {place.row, request.continuation[k], index, static_cast<uint32_t>(k)});
    }
    const uint32_t last_pass = places.back().pass;
    work_[last_pass].completed.push_back(index);
    if (!expert_load) continue;
    for (size_t p = counted[e]; p < places.size();) {
      size_t q = p + 1;
      while (q < places.size() && places[q].pass == places[p].pass &&
             places[q].row == places[p].row + (q - p)) {
        ++q;
      }
      work_[places[p].pass].load.push_back({places[p].row, static_cast<uint32_t>(q - p),
                                            request.group, index, places[p].pass != last_pass});
      p = q;
    }
  }
  for (PassWork& work : work_) {
    std::sort(work.targets.begin(), work.targets.end(), [](const ScoreTarget& a, const ScoreTarget& b) {
      if (a.row != b.row) return a.row < b.row;
      if (a.token != b.token) return a.token < b.token;
      return a.request != b.request ? a.request < b.request : a.index < b.index;
    });
  }
}

PlanSummary ScoreSchedule::summary() const {
  PlanSummary summary;
  summary.requests = requests_.size();
  for (const ScoreRequest& request : requests_) {
    summary.tokens_asked += request.context.size() + request.continuation.size();
  }
  // Distinct: another path, or another scored span of it. Identical paths are neighbours.
  std::vector<std::pair<size_t, TokenId>> spans;  // context length and last token
  for (size_t e = 0; e < forest_.size(); ++e) {
    const ScoreRequest& request = requests_[forest_[e].path];
    spans.push_back({request.context.size(), request.continuation.back()});
    const bool last = e + 1 == forest_.size() ||
                      forest_[e + 1].shared != paths_[forest_[e].path].size() ||
                      paths_[forest_[e + 1].path].size() != paths_[forest_[e].path].size();
    if (!last) continue;
    std::sort(spans.begin(), spans.end());
    summary.distinct_requests +=
        static_cast<uint64_t>(std::unique(spans.begin(), spans.end()) - spans.begin());
    spans.clear();
  }
  for (const PassPlan& pass : passes_) summary.tokens_computed += pass.rows;
  for (const PassWork& work : work_) {
    for (size_t i = 0; i < work.targets.size(); ++i) {
      if (i == 0 || work.targets[i].row != work.targets[i - 1].row) ++summary.scored_positions;
    }
  }
  summary.passes = passes_.size();
  return summary;
}

}  // namespace assay::engine
