// Expert parallelism: every rank computes its own requests (data parallel) and keeps a share of the
// routed experts; rows travel to the ranks that keep their experts and back.
//
// DESCRIPTION
//
// A Backend over a rank's own backend. All ops are the inner backend's, but:
//   - keeps_expert: rank r of n keeps experts [r * experts / n, (r + 1) * experts / n);
//   - experts: each chosen (row, expert) entry is sent to the expert's rank, computed there together
//     with everybody else's, and its output comes back to be combined as always - ascending expert, fp32.
//     In as many rounds as keep what a rank receives at a time within kExchangedBytes.
// Ranks must call experts() equally often: ExpertRanks is how they agree on passes.
//
// Determinism: bit for bit what one rank alone gives. An expert's rows are independent, so it does not
// matter what they are computed with; rows travel as bf16 where the product rounds them to bf16 anyway
// (modes bf16 and fp8-weights) and as fp32 else; outputs travel as fp32 and are combined at home.
//
// Threads, errors: as the inner backend and the collective.
#pragma once

#include <memory>

#include "engine/distributed/collective.h"
#include "engine/distributed/host_numbers.h"
#include "engine/execute/ranks.h"
#include "engine/ops/ops.h"

namespace assay::engine {

// Both must outlive the result. The collective's memory must be the backend's. `exchanged`: most bytes
// received at a time.
std::unique_ptr<ops::Backend> make_expert_parallel(const ops::Backend& inner, Collective& ranks,
                                                   int64_t exchanged = kExchangedBytes);

// Every rank has passes of its own; all take part in each.
class ExpertRanks final : public Ranks {
 public:
  ExpertRanks(const ops::Backend& backend, Collective& ranks) : numbers_(backend, ranks) {}
  PassKind next_pass(PassKind mine) override {
    return static_cast<PassKind>(numbers_.largest(static_cast<int64_t>(mine)));
  }

 private:
  HostNumbers numbers_;
};

}  // namespace assay::engine
