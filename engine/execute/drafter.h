// Multi-token prediction: the checkpoint's MTP layer guesses the token after the next.
//
// Entry j of a path (j >= 1) is made of token t_j and the main model's hidden state h_{j-1} after
// its final norm: x = eh_proj [enorm(embed t_j); hnorm(h_{j-1})] at position j-1, then one decoder
// layer over the entries 1..j, then norm and head, which predicts t_{j+1} (numerics: section 7). An
// entry depends on the path up to j only, so its keys and values lie in the token's own slot, in a
// pool layer behind the main model's, and are shared where the token is.
//
// Drafts never change results: the main model verifies every one.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/execute/runner.h"

namespace assay::engine {

class Drafter {
 public:
  // The checkpoint must have MTP weights.
  explicit Drafter(Runner& runner);

  // Entries of a call: token t_j, hidden state h_{j-1} (row i of `hidden`), in segments whose
  // slots begin with that of position 1. `store` are the entries' own slots.
  // Returns the MTP layer's output, valid until the next call.
  ops::Rows run(std::span<const TokenId> ids, ops::ConstRows hidden, const model::PassInput& pass,
                model::KvPool& pool);
  // A call without entries, beside ranks that have some (Ranks::next_pass).
  void run_idle();
  // The most likely next token for some rows of that output.
  std::span<const int32_t> guess(ops::ConstRows output, std::span<const int32_t> rows);

 private:
  Runner& runner_;
  const MtpWeights& weights_;
  TensorView embedding_;
  model::Vector enorm_, hnorm_, norm_;
  std::unique_ptr<ops::Matrix> projection_, own_head_;  // own_head_: where it differs from the main
  std::unique_ptr<model::PreparedLayer> layer_;
  model::Buffer<float> pair_, x_, selected_;
  std::vector<int32_t> no_targets_, argmax_;
  std::vector<float> argmax_logprobs_;
};

}  // namespace assay::engine
