// Pipeline parallelism: every rank keeps consecutive layers; a pass's rows go from rank to rank.
//
// DESCRIPTION
//
// All ranks run the same passes over the same requests, which are a function of the requests, the
// limits (the smallest of all ranks') and, in generation, of the tokens chosen, which the last rank
// shares. While one rank computes a pass, the one before computes the next: in scoring, where passes
// don't depend on each other, all ranks compute at the same time; in generation, where the next step
// needs the last one's tokens, one at a time.
//
// Determinism: bit for bit what one rank alone gives; the residual stream travels as it is, fp32.
//
// Threads, errors: as the collective.
#pragma once

#include "engine/distributed/collective.h"
#include "engine/distributed/host_numbers.h"
#include "engine/execute/ranks.h"
#include "engine/ops/ops.h"

namespace assay::engine {

class PipelineRanks final : public Ranks {
 public:
  // `range`: this rank's layers. The collective's memory must be the backend's; all outlive this.
  PipelineRanks(const ops::Backend& backend, Collective& ranks, LayerRange range)
      : ranks_(ranks), range_(range), numbers_(backend, ranks) {}

  LayerRange layers(int) const override { return range_; }
  bool last() const override { return ranks_.rank() + 1 == ranks_.size(); }
  // The first rank's, handed on: nobody waits for those behind.
  bool decide(bool mine) override;
  int64_t smallest(int64_t mine) override { return -numbers_.largest(-mine); }
  void receive_rows(ops::Rows x) override;
  void send_rows(ops::ConstRows x) override;
  void share(std::span<std::byte> data) override { numbers_.broadcast(data, ranks_.size() - 1); }

 private:
  Collective& ranks_;
  const LayerRange range_;
  HostNumbers numbers_;
};

}  // namespace assay::engine
