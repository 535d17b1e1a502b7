#include "engine/execute/runner.h"

#include <algorithm>

#include "base/error.h"

namespace assay::engine {

Runner::Runner(const Checkpoint& checkpoint, const ops::Backend& backend,
               const ops::Backend* preparer, const Residency& residency, Ranks* ranks)
    : checkpoint_(checkpoint),
      backend_(backend),
      ranks_(ranks ? *ranks : alone_),
      layers_(checkpoint, backend, preparer, residency,
              ranks_.layers(static_cast<int>(checkpoint.config().layers))),
      decoder_(checkpoint.config(), backend),
      expanded_rates_(work_rates(checkpoint.config(), model::Form::expanded)),
      absorbed_rates_(work_rates(checkpoint.config(), model::Form::absorbed)) {}

Runner::~Runner() {
  stop_ahead_ = true;
  if (ahead_.valid()) ahead_.wait();
}

void Runner::prepare_ahead() {
  ahead_ = std::async(std::launch::async, [this] {
    layers_.prepare_ahead(stop_ahead_);
    if (stop_ahead_ || !ranks_.last()) return;
    try {
      prepare_head();
    } catch (...) {  // head() will say it
    }
  });
}

ops::Rows Runner::run(std::span<const TokenId> ids, const model::PassInput& pass,
                      model::KvPool& pool, const LayerHook& hook) {
  const LayerRange range = layers_.range();
  const ops::Rows x = model::matrix(hidden_, static_cast<int64_t>(ids.size()), config().hidden);
  if (range.begin == 0) {
    embed(ids, x);
  } else {
    ranks_.receive_rows(x);
  }
  const bool absorbed = pass.form == model::Form::absorbed;
  const WorkRates& rates = absorbed ? absorbed_rates_ : expanded_rates_;
  work_.flops += rates.of(static_cast<double>(x.rows), causal_pairs(pass.segments), 0);
  for (const ops::Segment& s : pass.segments) {
    work_.bytes += static_cast<double>((s.position + s.count) * pool.row_bytes() *
                                       (range.end - range.begin));
  }
  for (int layer = range.begin; layer < range.end; ++layer) {
    const model::PreparedLayer& weights = layers_.acquire(layer, absorbed);
    const ops::Routing* routing = decoder_.layer(weights, pass, pool, layer - range.begin, x);
    if (in_step_) {
      backend_.note_layer(x, routing != nullptr);
      put_off_.push_back({layer, &weights, routing != nullptr});
      continue;
    }
    // Finite weights can still overflow. Whatever is not finite inside a layer arrives here: every op
    // passes NaN on, and what infinities cancel to is NaN.
    if (!backend_.all_finite(x)) throw_layer_overflow(layer);
    if (routing) backend_.read_routing(decoder_.routing());
    count(weights, routing, absorbed);
    if (hook) hook(layer, routing);
  }
  if (in_step_) put_off_hook_ = hook;
  if (range.end < static_cast<int>(config().layers)) ranks_.send_rows(x);
  return x;
}

Runner::Step::Step(Runner& runner, bool decoding, int layers)
    : runner_(runner),
      open_(decoding && runner.ranks_.alone() && !runner.layers_.streams() &&
            runner.backend_.begin_step(layers)) {
  runner_.in_step_ = open_;
  runner_.put_off_.clear();
}

Runner::Step::~Step() {
  if (open_) runner_.backend_.drop_step();
  runner_.in_step_ = false;
}

void Runner::Step::finish() {
  if (!open_) return;
  ops::StepNotes notes;
  runner_.backend_.end_step(notes);
  open_ = false;
  runner_.settle(notes);
}

// What run() does behind each layer, in the same order.
void Runner::settle(const ops::StepNotes& notes) {
  size_t routed = 0;
  for (size_t i = 0; i < put_off_.size(); ++i) {
    const PutOff& put_off = put_off_[i];
    if (static_cast<int>(i) == notes.first_overflow) throw_layer_overflow(put_off.layer);
    const ops::Routing* routing = put_off.routed ? &notes.routing[routed++] : nullptr;
    count(*put_off.weights, routing, true);
    if (put_off_hook_) put_off_hook_(put_off.layer, routing);
  }
}

void Runner::embed(std::span<const TokenId> ids, ops::Rows x) {
  const TensorView& table = checkpoint_.weights().embedding;
  checkpoint_.check_table(table, backend_.workers());
  backend_.embed(table, ids, x);
  if (layers_.streams()) checkpoint_.release_pages(table);
}

void Runner::run_idle() {
  const LayerRange range = layers_.range();
  for (int layer = range.begin; layer < range.end; ++layer) decoder_.idle(layers_.acquire(layer, false));
}

void Runner::trim() {
  decoder_.trim();
  hidden_.drop();
  normed_.drop();
  backend_.trim();
}

void Runner::throw_layer_overflow(int layer) const {
  throw_overflow("layer " + std::to_string(layer) + " computes values");
}

void Runner::throw_overflow(const std::string& what) const {
  throw_bad_input(what + " that are not finite (" + std::string(backend_.profile()) + ")",
                  checkpoint_.directory().string(),
                  "the weights are finite, but too large for fp32: the checkpoint has diverged");
}

void Runner::count(const model::PreparedLayer& layer, const ops::Routing* routing, bool absorbed) {
  size_t used = layer.bytes;  // by this pass
  if (absorbed) {
    if (layer.kv_b) used -= layer.kv_b->bytes;
  } else {
    for (const auto& matrix : layer.absorb_key) used -= matrix->bytes;
    for (const auto& matrix : layer.absorb_value) used -= matrix->bytes;
  }
  if (routing) {
    chosen_.assign(layer.routed.experts.size(), 0);
    for (const int32_t expert : routing->expert) chosen_[static_cast<size_t>(expert)] = 1;
    for (size_t e = 0; e < chosen_.size(); ++e) {
      const model::PreparedMlp& expert = layer.routed.experts[e];
      if (chosen_[e] && expert.gate_up) used += expert.gate_up->bytes + expert.down->bytes;
    }
  }
  work_.bytes += static_cast<double>(used);
}

ops::Rows Runner::final_norm(ops::ConstRows hidden, std::span<const int32_t> rows) {
  if (norm_.empty()) norm_ = model::load_vector(checkpoint_, checkpoint_.weights().norm, backend_);
  const ops::Rows out = model::matrix(normed_, static_cast<int64_t>(rows.size()), hidden.cols);
  model::gather(backend_, hidden, rows, out);
  backend_.rms_norm(out, norm_.data(), config().norm_eps, out);
  return out;
}

void Runner::prepare_head() {
  const std::lock_guard lock(head_mutex_);
  if (head_) return;
  const TensorView& tensor = checkpoint_.weights().head;
  checkpoint_.check_values(tensor, &backend_.workers());
  head_ = backend_.prepare({&tensor, 1}, ops::Stacking::rows, ops::head_role(backend_.numerics()));
  if (!config().tied_head) checkpoint_.release_pages(tensor);
}

const ops::Matrix& Runner::head(int64_t rows) {
  prepare_head();
  work_.flops += expanded_rates_.of(0, 0, static_cast<double>(rows));
  work_.bytes += static_cast<double>(head_->bytes);
  return *head_;
}

model::KvPool Runner::make_pool(int64_t slots, int extra_layers) const {
  const LayerRange range = layers_.range();
  return {backend_, model::kv_width(config()), range.end - range.begin + extra_layers, slots};
}

}  // namespace assay::engine
