#include "engine/execute/drafter.h"

#include <cstring>

namespace assay::engine {

namespace {

bool same_bytes(const TensorView& a, const TensorView& b) {
  return a.dtype == b.dtype && a.shape == b.shape && a.dtype != DType::f8_e4m3 &&
         std::memcmp(a.data, b.data, a.bytes()) == 0;
}

}  // namespace

Drafter::Drafter(Runner& runner)
    : runner_(runner),
      weights_(*runner.checkpoint().weights().mtp),
      pair_(runner.backend()),
      x_(runner.backend()),
      selected_(runner.backend()) {
  const Checkpoint& checkpoint = runner.checkpoint();
  const ops::Backend& backend = runner.backend();
  enorm_ = model::load_vector(checkpoint, weights_.enorm, backend);
  hnorm_ = model::load_vector(checkpoint, weights_.hnorm, backend);
  norm_ = model::load_vector(checkpoint, weights_.norm, backend);
  embedding_ = weights_.embedding ? weights_.embedding : checkpoint.weights().embedding;
  checkpoint.check_table(embedding_, backend.workers());
  checkpoint.check_values(weights_.eh_proj, &backend.workers());
  projection_ = backend.prepare({&weights_.eh_proj, 1}, ops::Stacking::rows, ops::Role::linear);
  checkpoint.release_pages(weights_.eh_proj);
  layer_ = model::prepare_layer(checkpoint, weights_.layer, backend, true);
  layer_->routed = model::prepare_experts(checkpoint, weights_.layer, backend);
  // Released checkpoints repeat the main head here.
  if (weights_.head && !same_bytes(weights_.head, checkpoint.weights().head)) {
    checkpoint.check_values(weights_.head, &backend.workers());
    own_head_ = backend.prepare({&weights_.head, 1}, ops::Stacking::rows, ops::Role::head);
    checkpoint.release_pages(weights_.head);
  }
}

ops::Rows Drafter::run(std::span<const TokenId> ids, ops::ConstRows hidden,
                       const model::PassInput& pass, model::KvPool& pool) {
  const ops::Backend& backend = runner_.backend();
  const int64_t n = hidden.rows, width = hidden.cols;
  const double eps = runner_.config().norm_eps;
  const ops::Rows pair = model::matrix(pair_, n, 2 * width);
  const ops::Rows embedded = model::columns(pair, 0, width), state = model::columns(pair, width, width);
  backend.embed(embedding_, ids, embedded);
  backend.rms_norm(embedded, enorm_.data(), eps, embedded);
  backend.rms_norm(hidden, hnorm_.data(), eps, state);
  const ops::Rows x = model::matrix(x_, n, width);
  backend.linear(*projection_, pair, nullptr, x);
  runner_.decoder().layer(*layer_, pass, pool, pool.layers() - 1, x);
  return x;
}

void Drafter::run_idle() { runner_.decoder().idle(*layer_); }

std::span<const int32_t> Drafter::guess(ops::ConstRows output, std::span<const int32_t> rows) {
  const auto n = static_cast<int64_t>(rows.size());
  const ops::Rows selected = model::matrix(selected_, n, output.cols);
  model::gather(runner_.backend(), output, rows, selected);
  runner_.backend().rms_norm(selected, norm_.data(), runner_.config().norm_eps, selected);
  no_targets_.assign(rows.size() + 1, 0);
  argmax_.resize(rows.size());
  argmax_logprobs_.resize(rows.size());
  runner_.backend().head_score(own_head_ ? *own_head_ : runner_.head(n), selected, {no_targets_, {}},
                               nullptr, argmax_.data(), argmax_logprobs_.data());
  return argmax_;
}

}  // namespace assay::engine
