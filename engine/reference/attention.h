// Causal self-attention over a whole sequence, position 0 first: MLA and grouped-query attention.
//
// Where keys and values are kept as bf16, Arithmetic::bf16_attention rounds the other operand of
// both products, too: queries, and exp(score - largest); their sum is taken of what is not rounded.
// Tile instructions want it so. They find the largest score block by block: the same roundings up
// to 256 positions.
#pragma once

#include <vector>

#include "base/workers.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/reference/linear.h"
#include "engine/reference/matrix.h"

namespace assay::engine::reference {

// x / sqrt(mean(x^2) + eps) * weight, in place.
void rms_norm(double* x, int64_t n, const std::vector<float>& weight, double eps,
              const Formula& formula);
std::vector<float> load_vector(const TensorView& tensor);

class Attention {
 public:
  // `absorbed`: MLA scores and sums in the latent space, q_nope W_UK against the normed latent and
  // W_UV after the sum - the same function, other roundings.
  Attention(const ModelConfig& config, const AttentionWeights& weights,
            const Arithmetic& arithmetic, bool absorbed);

  // [tokens, hidden] (normed) -> [tokens, hidden].
  Matrix apply(const Matrix& x, const Workers& workers) const;

 private:
  struct Projected;  // queries, keys and values per token
  Projected project_latent(const Matrix& x, const Workers& workers) const;
  Projected project_grouped(const Matrix& x, const Workers& workers) const;
  void absorb(Projected& p, const Workers& workers) const;
  Matrix attend(const Projected& p, const Workers& workers) const;
  void rotate(double* x, int64_t position) const;
  bool keeps_bf16() const;  // keys and values
  void round_kv(Matrix& m) const;

  ModelConfig config_;
  Formula formula_;
  Numerics numerics_;
  bool absorbed_, bf16_attention_;
  Linear q_, q_a_, q_b_, k_, v_, kv_a_, kv_b_, o_;
  std::vector<float> q_a_norm_, kv_a_norm_, q_norm_, k_norm_;
  std::vector<double> frequencies_;
  double cos_sin_factor_, softmax_scale_;
};

}  // namespace assay::engine::reference
