// Cuts a prefix forest, in depth-first order, into passes that fit the memory budget.
//
// DESCRIPTION
//
// A pass computes rows: tokens with their positions, layer by layer. Between passes the open path
// (the ancestors that the next pass starts below) is either kept, its KV of all layers in memory,
// or computed again at the start of the next pass. Keeping is always cheaper in computation, so as
// much of the open path as the KV budget allows is kept, its beginning first; the rest is
// recomputed. The bits are the same either way.
//
// Pure integer code. Everything is a function of the paths and the limits alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/execute/forest.h"
#include "engine/ops/ops.h"

namespace assay::engine {

struct PlanLimits {
  int64_t pass_tokens = 2048;       // rows aimed at
  int64_t kept_tokens = INT64_MAX;  // longest prefix of the open path whose KV is kept
  int64_t pass_slots = 16 << 20;    // most entries in the slot lists of a pass
  // Kept positions take memory in a pass (MLA expands their keys and values): as many as `free_ancestors`
  // have room beside pass_tokens rows; every further `row_ancestors` cost a row.
  int64_t free_ancestors = INT64_MAX;
  int64_t row_ancestors = 1;
};

// A pass begins at `first_position` of entry `first_entry` and ends before `end_position` of entry
// `end_entry` (end_position == its `shared`: before the entry's first own token).
struct PassPlan {
  uint32_t first_entry = 0, first_position = 0;
  uint32_t end_entry = 0, end_position = 0;
  uint32_t kept = 0;        // positions [0, kept) of the open path come from memory
  uint32_t recomputed = 0;  // positions [kept, first_position) are computed again
  uint32_t keep = 0;        // positions [0, keep) of the next pass's open path stay in memory
  uint64_t rows = 0;        // recomputed ones included
};

// Rows are never more than the larger of limits.pass_tokens, less what the kept positions cost, and the
// recomputed ones plus a quarter of it (64 at most where kept positions cost rows), so that every pass makes
// progress.
std::vector<PassPlan> plan_passes(std::span<const ForestEntry> forest,
                                  std::span<const PathView> paths, const PlanLimits& limits);

// Rows of new tokens in a pass behind `kept` positions, `recomputed` rows beside them.
int64_t fresh_rows(const PlanLimits& limits, int64_t kept, int64_t recomputed);

// The rows of one pass, ready for the model. Slots: 0 .. kept-1 are the kept positions, kept + r is
// row r.
struct PassRows {
  std::vector<TokenId> ids;
  std::vector<int32_t> positions;
  std::vector<ops::Segment> segments;
  std::vector<int32_t> store;  // position under which the row's KV is kept after the pass, or -1
  std::vector<int32_t> slots;  // backing of segments[].slots
};

// Reuses the capacity of `out`.
void build_pass(std::span<const ForestEntry> forest, std::span<const PathView> paths,
                const PassPlan& pass, PassRows& out);

// Where each position of the current path is computed, followed through the forest entry by entry
// in order. A position computed in several passes counts as the first.
class RowTracker {
 public:
  struct Place {
    uint32_t pass, row;
  };
  RowTracker(std::span<const ForestEntry> forest, std::span<const PathView> paths,
             std::span<const PassPlan> passes)
      : forest_(forest), paths_(paths), passes_(passes) {}
  // Moves on to entry `index` (entries in order, none skipped); places of all its positions.
  std::span<const Place> advance(uint32_t index);

 private:
  std::span<const ForestEntry> forest_;
  std::span<const PathView> paths_;
  std::span<const PassPlan> passes_;
  std::vector<Place> path_;
  uint32_t pass_ = 0;
  uint64_t row_ = 0;  // next row of the current pass
  bool started_ = false;
};

}  // namespace assay::engine
