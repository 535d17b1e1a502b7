#include "engine/reference/model.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "engine/reference/attention.h"
#include "engine/reference/experts.h"
#include "engine/reference/linear.h"

namespace assay::engine::reference {

struct Model::Layer {
  int64_t index;
  std::vector<float> input_norm, post_attention_norm;
  Attention attention;
  FeedForward feed_forward;

  Layer(int64_t i, const ModelConfig& config, const LayerWeights& w, const Arithmetic& arithmetic,
        bool absorbed)
      : index(i),
        input_norm(load_vector(w.input_norm)),
        post_attention_norm(load_vector(w.post_attention_norm)),
        attention(config, w.attention, arithmetic, absorbed),
        feed_forward(config, w, arithmetic) {}
};

struct Model::Head {
  std::vector<float> norm;
  Linear linear;
};

struct Model::Mtp {
  std::vector<float> enorm, hnorm;
  Linear eh_proj;
  Layer layer;
  Head head;
};

namespace {

Arithmetic arithmetic_of(const ModelConfig& config, const Options& options) {
  if (options.numerics == Numerics::automatic) throw_internal("reference: numerics not resolved");
  return {options.numerics, config.ue8m0_scales, options.bf16_attention, options.formula};
}

void norm_rows(Matrix& x, const std::vector<float>& weight, double eps, const Formula& formula) {
  for (int64_t t = 0; t < x.rows; ++t) rms_norm(x.row(t), x.cols, weight, eps, formula);
}

void add(Matrix& x, const Matrix& y) {
  for (size_t i = 0; i < x.data.size(); ++i) x.data[i] += y.data[i];
}

}  // namespace

Model::Model(const Checkpoint& checkpoint, const Workers& workers, Options options)
    : config_(checkpoint.config()),
      weights_(checkpoint.weights()),
      workers_(workers),
      options_(options) {
  const Arithmetic arithmetic = arithmetic_of(config_, options_);
  const auto layer = [&](int64_t i, const LayerWeights& w) {
    return Layer(i, config_, w, arithmetic, options_.absorbed);
  };
  for (int64_t i = 0; i < config_.layers; ++i)
    layers_.push_back(std::make_unique<Layer>(layer(i, weights_.layers[static_cast<size_t>(i)])));
  head_.reset(new Head{load_vector(weights_.norm), Linear(weights_.head, arithmetic)});
  if (!weights_.mtp) return;
  const MtpWeights& m = *weights_.mtp;
  mtp_.reset(new Mtp{load_vector(m.enorm), load_vector(m.hnorm), Linear(m.eh_proj, arithmetic),
                     layer(config_.layers, m.layer),
                     Head{load_vector(m.norm), Linear(m.head, arithmetic)}});
}

Model::~Model() = default;

Matrix Model::embed(std::span<const TokenId> tokens, const TensorView& table) const {
  if (tokens.empty()) throw_bad_input("an empty token sequence has no log-probabilities", "tokens");
  Matrix x(static_cast<int64_t>(tokens.size()), config_.hidden);
  std::vector<float> row(static_cast<size_t>(config_.hidden));
  for (size_t t = 0; t < tokens.size(); ++t) {
    if (tokens[t] < 0 || tokens[t] >= config_.vocabulary)
      throw_bad_input("token id " + std::to_string(tokens[t]) + " is outside the vocabulary of " +
                          std::to_string(config_.vocabulary),
                      "token " + std::to_string(t));
    dequantize_row(table, tokens[t], row.data());
    std::copy(row.begin(), row.end(), x.row(static_cast<int64_t>(t)));
  }
  return x;
}

void Model::run_layer(const Layer& layer, Matrix& x, const std::string& name, Output& out) const {
  Matrix normed = x;
  norm_rows(normed, layer.input_norm, config_.norm_eps, options_.formula);
  add(x, layer.attention.apply(normed, workers_));
  out.taps.push_back({name + ".after_attention", x});

  normed = x;
  norm_rows(normed, layer.post_attention_norm, config_.norm_eps, options_.formula);
  std::vector<Routing> routing;
  add(x, layer.feed_forward.apply(normed, workers_, routing));
  out.taps.push_back({name + ".output", x});
  if (!routing.empty()) out.routing.push_back({layer.index, std::move(routing)});
}

void Model::finish(const Head& head, Matrix& x, Output& out) const {
  norm_rows(x, head.norm, config_.norm_eps, options_.formula);
  out.taps.push_back({"final_norm", x});
  out.logits = Matrix(x.rows, config_.vocabulary);
  out.logprobs = out.logits;
  workers_.for_each(x.rows, [&](int64_t t) {
    double* logits = out.logits.row(t);
    head.linear.apply(x.row(t), logits);
    const double largest = *std::max_element(logits, logits + config_.vocabulary);
    double sum = 0;
    for (int64_t v = 0; v < config_.vocabulary; ++v) sum += std::exp(logits[v] - largest);
    for (int64_t v = 0; v < config_.vocabulary; ++v)
      out.logprobs.row(t)[v] = logits[v] - largest - std::log(sum);
  });
}

Matrix Model::backbone(std::span<const TokenId> tokens, Output& out) const {
  Matrix x = embed(tokens, weights_.embedding);
  out.taps.push_back({"embedding", x});
  for (const auto& layer : layers_)
    run_layer(*layer, x, "layer" + std::to_string(layer->index), out);
  return x;
}

Output Model::forward(std::span<const TokenId> tokens) const {
  Output out;
  Matrix x = backbone(tokens, out);
  finish(*head_, x, out);
  return out;
}

Output Model::forward_mtp(std::span<const TokenId> tokens, MtpHidden hidden) const {
  if (!mtp_) throw_bad_input("no multi-token prediction layer", config_.source);
  if (tokens.size() < 2) throw_bad_input("multi-token prediction needs two tokens", "tokens");
  const Formula& formula = options_.formula;
  Output main;
  Matrix h = backbone(tokens, main);
  if (hidden == MtpHidden::after_norm) norm_rows(h, head_->norm, config_.norm_eps, formula);
  h.rows -= 1;
  h.data.resize(static_cast<size_t>(h.rows * h.cols));
  Matrix e = embed(tokens.subspan(1), weights_.mtp->embedding);
  norm_rows(h, mtp_->hnorm, config_.norm_eps, formula);
  norm_rows(e, mtp_->enorm, config_.norm_eps, formula);

  Matrix x(h.rows, config_.hidden);
  workers_.for_each(h.rows, [&](int64_t t) {
    std::vector<double> both(static_cast<size_t>(2 * config_.hidden));
    std::copy_n(e.row(t), config_.hidden,
                both.begin() + (formula.mtp_embedding_first ? 0 : config_.hidden));
    std::copy_n(h.row(t), config_.hidden,
                both.begin() + (formula.mtp_embedding_first ? config_.hidden : 0));
    mtp_->eh_proj.apply(both.data(), x.row(t));
  });
  Output out;
  run_layer(mtp_->layer, x, "mtp", out);
  finish(mtp_->head, x, out);
  return out;
}

TokenId Output::argmax(int64_t position) const {
  const double* row = logits.row(position);
  return static_cast<TokenId>(std::max_element(row, row + logits.cols) - row);
}

}  // namespace assay::engine::reference
