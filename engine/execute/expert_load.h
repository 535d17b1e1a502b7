// Counts how often each routed expert is chosen, per group of requests, in commits.
//
// A row of a pass may count for several groups, and for a request that completes only in a later
// pass; its counts wait for that request, so that what is reported at a commit belongs to the
// requests reported at that commit. Weights are summed as multiples of 2^-24, which makes the sums
// exact and independent of order.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "engine/checkpoint/config.h"
#include "engine/engine.h"
#include "engine/ops/ops.h"

namespace assay::engine {

// Rows [row, row + count) of a pass count for `group`; `owner` is the request that brings them.
struct LoadPiece {
  uint32_t row = 0, count = 0;
  int group = 0;
  uint32_t owner = 0;
  bool waits = false;  // the owner completes in a later pass
};

class LoadCounter {
 public:
  explicit LoadCounter(const ModelConfig& config);

  bool enabled() const { return experts_ > 0; }
  void add(std::span<const LoadPiece> pieces, int layer, const ops::Routing& routing);
  // `owner` has completed: its waiting counts go to its group.
  void release(uint32_t owner, int group);
  // The owner will never complete.
  void drop(uint32_t owner) { waiting_.erase(owner); }
  // Tells the sink what has been released since the last report.
  void report(ResultSink& sink);

 private:
  struct Counts {
    std::vector<uint64_t> tokens;  // [moe layers * experts]
    std::vector<int64_t> weight;
    void ensure(size_t size);
  };
  std::vector<int> moe_layers_;  // of the model, ascending
  std::vector<size_t> index_;    // of a layer in moe_layers_
  size_t layers_ = 0, experts_ = 0, top_k_ = 0;
  std::map<int, Counts> released_;
  std::map<uint32_t, Counts> waiting_;
};

}  // namespace assay::engine
