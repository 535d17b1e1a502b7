#include "engine/reference/attention.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/checkpoint/rope.h"

namespace assay::engine::reference {

namespace {

// The configuration's rope with the deviations that a test asked for.
RopeConfig deviating_rope(RopeConfig rope, const Formula& formula) {
  if (!formula.rope_scaling) rope.scaling = RopeScaling::none;
  if (!formula.rope_pairs_as_stored)
    rope.pairs = rope.pairs == RopePairs::adjacent ? RopePairs::halves : RopePairs::adjacent;
  return rope;
}

std::vector<double> frequencies_of(const RopeConfig& rope, const Formula& formula) {
  if (formula.yarn_ramp || rope.scaling != RopeScaling::yarn) return rope_inverse_frequencies(rope);
  RopeConfig plain = rope;
  plain.scaling = RopeScaling::none;
  std::vector<double> out = rope_inverse_frequencies(plain);
  for (double& f : out) f /= rope.factor;
  return out;
}

double to_bf16(double x) { return round_to_bf16(static_cast<float>(x)); }

}  // namespace

void rms_norm(double* x, int64_t n, const std::vector<float>& weight, double eps,
              const Formula& formula) {
  double square = 0;
  for (int64_t i = 0; i < n; ++i) square += x[i] * x[i];
  const double rstd = 1 / std::sqrt(square / static_cast<double>(n) + eps);
  for (int64_t i = 0; i < n; ++i) {
    double scaled = x[i] * rstd;
    if (!formula.norm_rounds_once) scaled = round_to_bf16(static_cast<float>(scaled));
    x[i] = scaled * weight[static_cast<size_t>(i)];
  }
}

std::vector<float> load_vector(const TensorView& tensor) {
  std::vector<float> out(static_cast<size_t>(tensor.elements()));
  if (tensor) dequantize(tensor, out.data());
  return out;
}

struct Attention::Projected {
  int64_t kv_heads = 0, key_dim = 0, value_dim = 0;  // per head; queries have key_dim too
  Matrix q, k, v;                                    // [tokens, heads or kv_heads * dim]
};

Attention::Attention(const ModelConfig& config, const AttentionWeights& w, const Arithmetic& a,
                     bool absorbed)
    : config_(config),
      formula_(a.formula),
      numerics_(a.numerics),
      absorbed_(absorbed && config.mla.has_value()),
      bf16_attention_(a.bf16_attention),
      q_(w.q, a, a.formula.qkv_bias ? w.q_bias : TensorView{}),
      q_a_(w.q_a, a, w.q_a_bias),
      q_b_(w.q_b, a),
      k_(w.k, a, a.formula.qkv_bias ? w.k_bias : TensorView{}),
      v_(w.v, a, a.formula.qkv_bias ? w.v_bias : TensorView{}),
      kv_a_(w.kv_a, a, w.kv_a_bias),
      kv_b_(w.kv_b, a),
      o_(w.o, a, w.o_bias),
      q_a_norm_(load_vector(w.q_a_norm)),
      kv_a_norm_(load_vector(w.kv_a_norm)),
      q_norm_(load_vector(w.q_norm)),
      k_norm_(load_vector(w.k_norm)) {
  const double scaled = attention_softmax_scale(config_);
  const double plain = 1 / std::sqrt(static_cast<double>(config_.head_dim));
  softmax_scale_ = formula_.yarn_softmax_factor ? scaled : plain;
  config_.rope = deviating_rope(config_.rope, formula_);
  frequencies_ = frequencies_of(config_.rope, formula_);
  cos_sin_factor_ = rope_cos_sin_factor(config_.rope);
  if (formula_.yarn_factor_on_cos_sin) cos_sin_factor_ *= std::sqrt(scaled / plain);
}

void Attention::rotate(double* x, int64_t position) const {
  const int64_t half = config_.rope.dim / 2;
  const bool adjacent = config_.rope.pairs == RopePairs::adjacent;
  for (int64_t i = 0; i < half; ++i) {
    const double angle = static_cast<double>(position) * frequencies_[static_cast<size_t>(i)];
    const double c = std::cos(angle) * cos_sin_factor_, s = std::sin(angle) * cos_sin_factor_;
    double& a = adjacent ? x[2 * i] : x[i];
    double& b = adjacent ? x[2 * i + 1] : x[i + half];
    const double a0 = a, b0 = b;
    a = a0 * c - b0 * s;
    b = a0 * s + b0 * c;
  }
}

// KV memory is bf16 in the modes whose operands are bf16.
bool Attention::keeps_bf16() const {
  return numerics_ == Numerics::bf16 || numerics_ == Numerics::fp8_weights;
}
void Attention::round_kv(Matrix& m) const {
  if (!keeps_bf16()) return;
  for (double& value : m.data) value = to_bf16(value);
}

Attention::Projected Attention::project_grouped(const Matrix& x, const Workers& workers) const {
  const int64_t dim = config_.head_dim;
  Projected p{
      config_.kv_heads,         dim, dim, Matrix(x.rows, q_.rows()), Matrix(x.rows, k_.rows()),
      Matrix(x.rows, v_.rows())};
  workers.for_each(x.rows, [&](int64_t t) {
    q_.apply(x.row(t), p.q.row(t));
    k_.apply(x.row(t), p.k.row(t));
    v_.apply(x.row(t), p.v.row(t));
    const auto finish = [&](double* row, int64_t heads, const std::vector<float>& norm) {
      for (int64_t h = 0; h < heads; ++h) {
        if (config_.qk_norm && formula_.qk_norm)
          rms_norm(row + h * dim, dim, norm, config_.norm_eps, formula_);
        rotate(row + h * dim, t);
      }
    };
    finish(p.q.row(t), config_.heads, q_norm_);
    finish(p.k.row(t), config_.kv_heads, k_norm_);
  });
  return p;
}

// Keys of one shared head: [normed latent | rotated k_pe]; queries [q_nope | rotated q_pe]: the
// absorbed form but for the projections by kv_b.
Attention::Projected Attention::project_latent(const Matrix& x, const Workers& workers) const {
  const MlaConfig& mla = *config_.mla;
  const int64_t latent = mla.kv_lora_rank, nope = mla.nope_dim;
  const double latent_eps = formula_.latent_norm_class_eps ? kLatentNormEps : config_.norm_eps;
  Projected p{1,
              config_.head_dim,
              latent,
              Matrix(x.rows, config_.heads * config_.head_dim),
              Matrix(x.rows, latent + mla.rope_dim),
              {}};
  workers.for_each(x.rows, [&](int64_t t) {
    if (q_) {
      q_.apply(x.row(t), p.q.row(t));
    } else {
      std::vector<double> low(static_cast<size_t>(mla.q_lora_rank));
      q_a_.apply(x.row(t), low.data());
      rms_norm(low.data(), mla.q_lora_rank, q_a_norm_, latent_eps, formula_);
      q_b_.apply(low.data(), p.q.row(t));
    }
    for (int64_t h = 0; h < config_.heads; ++h) rotate(p.q.row(t) + h * config_.head_dim + nope, t);

    double* k = p.k.row(t);
    kv_a_.apply(x.row(t), k);
    rms_norm(k, latent, kv_a_norm_, latent_eps, formula_);
    if (!formula_.norm_latent_only)
      rms_norm(k + latent, mla.rope_dim,
               std::vector<float>(static_cast<size_t>(mla.rope_dim), 1.0f), latent_eps, formula_);
    rotate(k + latent, t);
  });
  return p;
}

// From the shared latent to what the scores are taken of: per-head keys and values out of kv_b, or
// (absorbed) queries carried into the latent space.
void Attention::absorb(Projected& p, const Workers& workers) const {
  const MlaConfig& mla = *config_.mla;
  const int64_t heads = config_.heads, nope = mla.nope_dim, rope = mla.rope_dim, v = mla.v_dim;
  const int64_t latent = mla.kv_lora_rank, tokens = p.q.rows;
  if (absorbed_) {
    round_kv(p.k);
    Matrix q(tokens, heads * (latent + rope));
    workers.for_each(tokens, [&](int64_t t) {
      for (int64_t h = 0; h < heads; ++h) {
        const double* from = p.q.row(t) + h * (nope + rope);
        double* to = q.row(t) + h * (latent + rope);
        for (int64_t c = 0; c < latent; ++c)
          for (int64_t d = 0; d < nope; ++d) to[c] += kv_b_.at(h * (nope + v) + d, c) * from[d];
        std::copy_n(from + nope, rope, to + latent);
      }
    });
    p.q = std::move(q);
    p.key_dim = latent + rope;
    p.v = Matrix(tokens, latent);
    for (int64_t t = 0; t < tokens; ++t) std::copy_n(p.k.row(t), latent, p.v.row(t));
    return;
  }
  Matrix k(tokens, heads * (nope + rope));
  p.v = Matrix(tokens, heads * v);
  workers.for_each(tokens, [&](int64_t t) {
    std::vector<double> both(static_cast<size_t>(kv_b_.rows()));
    kv_b_.apply(p.k.row(t), both.data());
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t k_row = formula_.kv_b_per_head ? h * (nope + v) : h * nope;
      const int64_t v_row = formula_.kv_b_per_head ? k_row + nope : heads * nope + h * v;
      double* to = k.row(t) + h * (nope + rope);
      std::copy_n(both.data() + k_row, nope, to);
      std::copy_n(p.k.row(t) + latent, rope, to + nope);
      std::copy_n(both.data() + v_row, v, p.v.row(t) + h * v);
    }
  });
  p.k = std::move(k);
  p.kv_heads = heads;
  p.value_dim = v;
  round_kv(p.k);
  round_kv(p.v);
}

Matrix Attention::attend(const Projected& p, const Workers& workers) const {
  const int64_t heads = config_.heads, group = heads / p.kv_heads;
  const bool rounds = bf16_attention_ && keeps_bf16();
  Matrix out(p.q.rows, heads * p.value_dim);
  workers.for_each(p.q.rows, [&](int64_t t) {
    std::vector<double> score(static_cast<size_t>(t + 1)), q(static_cast<size_t>(p.key_dim));
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t g = formula_.kv_heads_grouped ? h / group : h % p.kv_heads;
      std::copy_n(p.q.row(t) + h * p.key_dim, p.key_dim, q.begin());
      if (rounds) std::transform(q.begin(), q.end(), q.begin(), to_bf16);
      for (int64_t j = 0; j <= t; ++j) {
        const double* k = p.k.row(j) + g * p.key_dim;
        score[static_cast<size_t>(j)] =
            std::inner_product(q.begin(), q.end(), k, 0.0) * softmax_scale_;
      }
      const double largest = *std::max_element(score.begin(), score.end());
      double sum = 0;
      for (double& s : score) {
        s = std::exp(s - largest);
        sum += s;
        if (rounds) s = to_bf16(s);
      }
      double* to = out.row(t) + h * p.value_dim;
      for (int64_t j = 0; j <= t; ++j)
        for (int64_t d = 0; d < p.value_dim; ++d)
          to[d] += score[static_cast<size_t>(j)] / sum * p.v.row(j)[g * p.value_dim + d];
    }
  });
  return out;
}

Matrix Attention::apply(const Matrix& x, const Workers& workers) const {
  Projected p;
  if (config_.mla) {
    p = project_latent(x, workers);
    absorb(p, workers);
  } else {
    p = project_grouped(x, workers);
    round_kv(p.k);
    round_kv(p.v);
  }
  Matrix mixed = attend(p, workers);
  if (absorbed_) {  // W_UV of each head on its latent sum
    const MlaConfig& mla = *config_.mla;
    Matrix values(x.rows, config_.heads * mla.v_dim);
    workers.for_each(x.rows, [&](int64_t t) {
      for (int64_t h = 0; h < config_.heads; ++h)
        for (int64_t d = 0; d < mla.v_dim; ++d) {
          const int64_t row = h * (mla.nope_dim + mla.v_dim) + mla.nope_dim + d;
          for (int64_t c = 0; c < mla.kv_lora_rank; ++c)
            values.row(t)[h * mla.v_dim + d] +=
                kv_b_.at(row, c) * mixed.row(t)[h * mla.kv_lora_rank + c];
        }
    });
    mixed = std::move(values);
  }
  Matrix out(x.rows, config_.hidden);
  workers.for_each(x.rows, [&](int64_t t) { o_.apply(mixed.row(t), out.row(t)); });
  return out;
}

}  // namespace assay::engine::reference
