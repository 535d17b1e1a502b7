// The naive forward pass: a whole token sequence in, log-probabilities of every position out.
//
// The referee of every fast path. It is written for the eye: double arithmetic, plain loops, one
// token after the other, no cache, no shared code with engine/ops or engine/model. Slow and memory
// hungry by design; for small models. All families of ModelConfig run through the same few lines.
// Immutable after construction; forward() may be called by several threads.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/workers.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/engine.h"
#include "engine/reference/formula.h"
#include "engine/reference/matrix.h"
#include "engine/reference/router.h"

namespace assay::engine::reference {

struct Options {
  Numerics numerics = Numerics::fp32;  // not automatic; what each rounds: linear.h, attention.cpp
  bool absorbed = false;               // MLA in its absorbed form
  bool bf16_attention = false;         // queries and probabilities rounded to bf16, as `amx` does
  Formula formula = {};
};

// Hidden states at named points, [tokens, hidden] each: "embedding", "layer0.after_attention" (with
// the residual), "layer0.output", ..., "final_norm".
struct Tap {
  std::string name;
  Matrix values;
};
struct LayerRouting {
  int64_t layer = 0;
  std::vector<Routing> tokens;
};

struct Output {
  Matrix logits;    // [tokens, vocabulary]
  Matrix logprobs;  // [tokens, vocabulary], natural logarithm
  std::vector<Tap> taps;
  std::vector<LayerRouting> routing;  // MoE layers, ascending
  // Lowest id among the largest logits of a position.
  TokenId argmax(int64_t position) const;
};

// Which hidden state the MTP layer is given: the last layer's output, or that after the final norm.
enum class MtpHidden { before_norm, after_norm };

class Model {
 public:
  // The checkpoint and the workers must outlive the model. Dequantises every weight.
  Model(const Checkpoint& checkpoint, const Workers& workers, Options options = {});
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // Throws bad_input for an empty sequence or a token outside the vocabulary.
  Output forward(std::span<const TokenId> tokens) const;
  // The MTP layer over the same sequence: row i (of tokens - 1) predicts token i + 2 from h_i and
  // token i + 1. Throws bad_input where the checkpoint has no MTP layer.
  Output forward_mtp(std::span<const TokenId> tokens, MtpHidden hidden) const;

 private:
  struct Layer;
  struct Head;
  struct Mtp;
  Matrix embed(std::span<const TokenId> tokens, const TensorView& table) const;
  void run_layer(const Layer& layer, Matrix& x, const std::string& name, Output& out) const;
  void finish(const Head& head, Matrix& x, Output& out) const;
  // Everything before the final norm.
  Matrix backbone(std::span<const TokenId> tokens, Output& out) const;

  const ModelConfig& config_;
  const ModelWeights& weights_;
  const Workers& workers_;
  Options options_;
  std::vector<std::unique_ptr<Layer>> layers_;
  std::unique_ptr<Head> head_;
  std::unique_ptr<Mtp> mtp_;
};

}  // namespace assay::engine::reference
