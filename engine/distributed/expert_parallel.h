// Expert parallelism: every rank computes its own requests (data parallel) and keeps a share of the
// routed experts; rows travel to the ranks that keep their experts and back.
//
// DESCRIPTION
//
// A Backend over a rank's own backend. All ops are the inner backend's, but:
//   - keeps_expert: rank r of n keeps experts [r * s, (r + 1) * s), s = ceil(experts / n);
//   - experts: each chosen (row, expert) entry is sent to the expert's rank, computed there together
//     with everybody else's, and its output comes back to be combined as always - ascending expert, fp32.
//   - any_rank: whether any rank still has work.
// Ranks must call experts() equally often: those that have run out of passes go on with none (score.cpp
// asks any_rank before every pass).
//
// Determinism: bit for bit what one rank alone gives. An expert's rows are independent, so it does not
// matter what they are computed with; rows travel as bf16 where the product rounds them to bf16 anyway
// (modes bf16 and fp8-weights) and as fp32 else; outputs travel as fp32 and are combined at home.
//
// Threads, errors: as the inner backend and the collective.
#pragma once

#include <memory>

#include "engine/distributed/collective.h"
#include "engine/ops/ops.h"

namespace assay::engine {

// Both must outlive the result. The collective's memory must be the backend's.
std::unique_ptr<ops::Backend> make_expert_parallel(const ops::Backend& inner, Collective& ranks);

}  // namespace assay::engine
