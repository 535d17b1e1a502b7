// What execution asks of the ranks that it computes with. Alone, as defined here, nothing.
//
// DESCRIPTION
//
// Ranks that share out the routed experts (engine/distributed/expert_parallel.h) compute requests of
// their own, but every pass together: those without rows take part with none. Ranks that share out
// the layers (pipeline.h) run the same passes one after the other, each its own layers, and take every
// decision alike; only the last one has hidden states to read results from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/ops/ops.h"

namespace assay::engine {

// Consecutive layers.
struct LayerRange {
  int begin = 0, end = 0;
};

// Kinds of passes. Where ranks want different ones, the last of these comes first: a draft is short.
enum class PassKind : uint8_t { none, layers, draft };

// Memory of the rows that a rank receives at a time from all others, where experts are shared out.
inline constexpr int64_t kExchangedBytes = int64_t{1} << 30;

class Ranks {
 public:
  virtual ~Ranks() = default;

  // Which of the model's layers this rank computes: all, or a part of them as one of several stages.
  virtual LayerRange layers(int count) const { return {0, count}; }
  // Whether this rank has the results: the others run along without.
  virtual bool last() const { return true; }

  // The kind of the next pass, given the one that this rank wants (none: it has no more work). Called
  // before every pass; where the answer is another one, the rank takes part in it without rows.
  virtual PassKind next_pass(PassKind mine) { return mine; }
  // What depends on time or on the caller, decided alike where ranks run the same passes.
  virtual bool decide(bool mine) { return mine; }
  // The smallest of all ranks' where ranks run the same passes.
  virtual int64_t smallest(int64_t mine) { return mine; }

  // Stages: rows from the one before, and to the one behind.
  virtual void receive_rows(ops::Rows /*x*/) {}
  virtual void send_rows(ops::ConstRows /*x*/) {}
  // Stages: the last one's data (host memory) to all.
  virtual void share(std::span<std::byte> /*data*/) {}
};

}  // namespace assay::engine
