// How much arithmetic a model needs: the useful floating-point operations of rows, attention, head.
//
// One multiplication and its addition count as two. Useful means what the result depends on: the
// chosen experts only, causal pairs only, the head at scored positions only; nothing for norms,
// rotations, softmax, or what a kernel computes beside it (padding, masked pairs).
//
//   row    2 x elements of the matrices that a token meets: attention, dense MLP, router, shared
//          experts, experts_per_token routed experts
//   pair   a query row and a position it attends to, all layers and heads:
//          2 x heads x (width of keys + width of values); MLA expanded nope + rope, v per head;
//          MLA absorbed latent + rope, latent
//   scored 2 x vocabulary x hidden
#pragma once

#include <cstdint>
#include <span>

#include "engine/checkpoint/config.h"
#include "engine/model/decoder.h"
#include "engine/ops/ops.h"

namespace assay::engine {

struct WorkRates {
  double row = 0, pair = 0, scored = 0;  // FLOP each

  double of(double rows, double pairs, double scored_rows) const {
    return rows * row + pairs * pair + scored_rows * scored;
  }
};

WorkRates work_rates(const ModelConfig& config, model::Form form);

// Pairs of `count` consecutive positions from `position` on with themselves and all before.
inline double causal_pairs(double position, double count) {
  return count * position + count * (count + 1) / 2;
}
double causal_pairs(std::span<const ops::Segment> segments);

}  // namespace assay::engine
