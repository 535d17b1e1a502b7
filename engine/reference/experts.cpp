#include "engine/reference/experts.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/reference/attention.h"

namespace assay::engine::reference {

namespace {

double bf16(double x) { return round_to_bf16(static_cast<float>(x)); }

}  // namespace

void FeedForward::Mlp::add_to(const double* x, double weight, double* y) const {
  std::vector<double> g(static_cast<size_t>(gate.rows())), u(g.size());
  std::vector<double> out(static_cast<size_t>(down.rows()));
  gate.apply(x, g.data());
  up.apply(x, u.data());
  for (size_t i = 0; i < g.size(); ++i) g[i] = g[i] / (1 + std::exp(-g[i])) * u[i];
  down.apply(g.data(), out.data());
  for (size_t i = 0; i < out.size(); ++i) y[i] += weight * out[i];
}

FeedForward::Mlp FeedForward::load(const MlpWeights& w) const {
  return {Linear(w.gate, arithmetic_), Linear(w.up, arithmetic_), Linear(w.down, arithmetic_)};
}

FeedForward::FeedForward(const ModelConfig& config, const LayerWeights& w,
                         const Arithmetic& arithmetic)
    : moe_(config.moe),
      arithmetic_(arithmetic),
      router_(load_vector(w.router)),
      router_bias_(load_vector(w.router_bias)),
      hidden_(config.hidden) {
  if (w.mlp.gate) dense_ = load(w.mlp);
  if (w.shared.gate) shared_ = load(w.shared);
  for (const MlpWeights& expert : w.experts) experts_.push_back(load(expert));
}

Routing FeedForward::choose(const double* x) const {
  const bool exact = arithmetic_.formula.router_fp32;
  std::vector<double> logits(static_cast<size_t>(moe_.routed_experts));
  for (size_t e = 0; e < logits.size(); ++e) {
    const float* row = router_.data() + e * static_cast<size_t>(hidden_);
    for (int64_t c = 0; c < hidden_; ++c)
      logits[e] += exact ? row[c] * x[c] : bf16(row[c]) * bf16(x[c]);
    if (!exact) logits[e] = bf16(logits[e]);
  }
  return route(logits, std::vector<double>(router_bias_.begin(), router_bias_.end()), moe_,
               arithmetic_.formula);
}

Matrix FeedForward::apply(const Matrix& x, const Workers& workers,
                          std::vector<Routing>& routing) const {
  Matrix y(x.rows, x.cols);
  if (!experts_.empty()) routing.resize(static_cast<size_t>(x.rows));
  workers.for_each(x.rows, [&](int64_t t) {
    if (experts_.empty()) {
      dense_.add_to(x.row(t), 1, y.row(t));
      return;
    }
    Routing& chosen = routing[static_cast<size_t>(t)];
    chosen = choose(x.row(t));
    std::vector<size_t> order(chosen.experts.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return chosen.experts[a] < chosen.experts[b]; });
    for (const size_t i : order)
      experts_[static_cast<size_t>(chosen.experts[i])].add_to(x.row(t), chosen.weights[i],
                                                              y.row(t));
    if (shared_.gate && arithmetic_.formula.shared_experts) shared_.add_to(x.row(t), 1, y.row(t));
  });
  return y;
}

}  // namespace assay::engine::reference
