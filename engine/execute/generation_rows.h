// The rows of one pass of generation: of prompts, of newest tokens, or of drafts. Internal to
// generation.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/execute/expert_load.h"
#include "engine/execute/sequence.h"
#include "engine/model/decoder.h"

namespace assay::engine {

struct GenerationRows {
  std::vector<TokenId> ids;
  std::vector<int32_t> positions, store;  // model::PassInput
  std::vector<int32_t> ancestors;         // of prompts
  std::vector<ops::Segment> segments;
  std::vector<LoadPiece> pieces;  // what counts in the expert load
  // Behind row next[i] comes a token of *advancing[i].
  std::vector<int32_t> next;
  std::vector<Sequence*> advancing;

  int64_t count() const { return static_cast<int64_t>(ids.size()); }
  void clear() {
    ids.clear();
    positions.clear();
    store.clear();
    ancestors.clear();
    segments.clear();
    pieces.clear();
    next.clear();
    advancing.clear();
  }
  // Valid until the rows change.
  model::PassInput input(model::Form form) const {
    return {positions, segments, ancestors, store, form};
  }
};

}  // namespace assay::engine
