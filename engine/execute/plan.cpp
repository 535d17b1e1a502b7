#include "engine/execute/plan.h"

#include <algorithm>

namespace assay::engine {

namespace {

// Where memory is scarce, passes are still this large (or a quarter of what is aimed at, if that is less): smaller
// ones would hardly need less beside their ancestors.
constexpr int64_t kLeastScarceRows = 64;

}  // namespace

int64_t fresh_rows(const PlanLimits& limits, int64_t kept, int64_t recomputed) {
  int64_t least = std::max<int64_t>(1, limits.pass_tokens / 4), costs = 0;
  if (kept > limits.free_ancestors) {
    costs = (kept - limits.free_ancestors + limits.row_ancestors - 1) / limits.row_ancestors;
    least = std::min(least, kLeastScarceRows);
  }
  return std::max(least, limits.pass_tokens - recomputed - costs);
}

std::vector<PassPlan> plan_passes(std::span<const ForestEntry> forest,
                                  std::span<const PathView> paths, const PlanLimits& limits) {
  std::vector<PassPlan> passes;
  const auto entries = static_cast<uint32_t>(forest.size());
  uint32_t entry = 0, position = 0;
  uint32_t kept = 0;
  while (true) {
    // Entries without own tokens need no pass.
    while (entry < entries && position == paths[forest[entry].path].size()) {
      if (++entry < entries) position = forest[entry].shared;
    }
    if (entry == entries) break;
    PassPlan pass;
    pass.first_entry = entry;
    pass.first_position = position;
    pass.kept = std::min(kept, position);
    pass.recomputed = position - pass.kept;
    const int64_t fresh = fresh_rows(limits, pass.kept, pass.recomputed);
    int64_t left = fresh;
    int64_t slots = 0;
    while (entry < entries) {
      const auto size = static_cast<uint32_t>(paths[forest[entry].path].size());
      if (position < size) {
        // A segment lists the slots of its whole path.
        if (left == 0) break;
        if (left < fresh && slots + size > limits.pass_slots) break;
        const auto take = static_cast<uint32_t>(std::min<int64_t>(left, size - position));
        slots += position + take;
        left -= take;
        position += take;
        if (position < size) break;
      }
      if (++entry < entries) position = forest[entry].shared;
    }
    pass.end_entry = entry;
    pass.end_position = entry < entries ? position : 0;
    pass.rows = pass.recomputed + static_cast<uint64_t>(fresh - left);
    // The open path of the next pass: up to its first own position.
    uint32_t next_entry = entry, next_position = pass.end_position;
    while (next_entry < entries && next_position == paths[forest[next_entry].path].size()) {
      if (++next_entry < entries) next_position = forest[next_entry].shared;
    }
    kept = next_entry < entries
               ? static_cast<uint32_t>(std::min<int64_t>(next_position, limits.kept_tokens))
               : 0;
    pass.keep = kept;
    passes.push_back(pass);
  }
  return passes;
}

void build_pass(std::span<const ForestEntry> forest, std::span<const PathView> paths,
                const PassPlan& pass, PassRows& out) {
  out.ids.clear();
  out.positions.clear();
  out.segments.clear();
  out.store.clear();
  out.slots.clear();
  std::vector<int32_t> path(pass.kept);  // slot of each position of the current path
  for (uint32_t p = 0; p < pass.kept; ++p) path[p] = static_cast<int32_t>(p);
  std::vector<size_t> offsets;  // of each segment's slot list

  uint32_t entry = pass.first_entry;
  uint32_t begin = pass.kept;  // the recomputed ancestors join the first entry's own rows
  while (out.ids.size() < pass.rows) {
    const PathView& tokens = paths[forest[entry].path];
    const uint32_t end =
        entry == pass.end_entry ? pass.end_position : static_cast<uint32_t>(tokens.size());
    if (begin < end) {
      path.resize(begin);
      const auto row = static_cast<int64_t>(out.ids.size());
      for (uint32_t p = begin; p < end; ++p) {
        path.push_back(static_cast<int32_t>(pass.kept + out.ids.size()));
        out.ids.push_back(tokens[p]);
        out.positions.push_back(static_cast<int32_t>(p));
      }
      // A segment that continues the one before shares its slot list.
      if (!offsets.empty() && out.segments.back().position + out.segments.back().count == begin &&
          out.slots.size() == offsets.back() + begin) {
        out.slots.insert(out.slots.end(), path.begin() + begin, path.end());
        offsets.push_back(offsets.back());
      } else {
        offsets.push_back(out.slots.size());
        out.slots.insert(out.slots.end(), path.begin(), path.end());
      }
      out.segments.push_back({row, static_cast<int64_t>(end - begin), begin, nullptr});
    }
    if (++entry < forest.size()) begin = forest[entry].shared;
  }
  for (size_t i = 0; i < offsets.size(); ++i) out.segments[i].slots = out.slots.data() + offsets[i];

  out.store.assign(out.ids.size(), -1);
  for (uint32_t p = 0; p < pass.keep; ++p) {
    if (path[p] >= static_cast<int32_t>(pass.kept)) {
      out.store[static_cast<size_t>(path[p]) - pass.kept] = static_cast<int32_t>(p);
    }
  }
}

std::span<const RowTracker::Place> RowTracker::advance(uint32_t index) {
  const uint32_t size = static_cast<uint32_t>(paths_[forest_[index].path].size());
  path_.resize(std::min<size_t>(path_.size(), forest_[index].shared));
  while (path_.size() < size) {
    const auto position = static_cast<uint32_t>(path_.size());
    if (!started_ || row_ == passes_[pass_].rows) {
      if (started_) ++pass_;
      started_ = true;
      row_ = passes_[pass_].recomputed;
    }
    // All positions of this entry up to the pass's end are consecutive rows.
    const uint64_t take = std::min<uint64_t>(size - position, passes_[pass_].rows - row_);
    for (uint64_t i = 0; i < take; ++i) {
      path_.push_back({pass_, static_cast<uint32_t>(row_ + i)});
    }
    row_ += take;
  }
  return path_;
}

}  // namespace assay::engine
