#include "engine/execute/layer_store.h"

#include <utility>

namespace assay::engine {

LayerStore::LayerStore(const Checkpoint& checkpoint, const ops::Backend& backend,
                       const ops::Backend* preparer, const Residency& residency, LayerRange range)
    : checkpoint_(checkpoint),
      backend_(backend),
      preparer_(preparer),
      keeps_layers_(residency.all_but_experts),
      range_(range),
      resident_left_(residency.bytes),
      host_left_(residency.host_bytes),
      slots_(checkpoint.weights().layers.size()) {}

LayerStore::~LayerStore() {
  if (next_.valid()) next_.wait();
}

LayerStore::Missing LayerStore::prepare(int index, bool absorbed, const ops::Backend& backend) {
  const LayerWeights& weights = checkpoint_.weights().layers[static_cast<size_t>(index)];
  Slot& slot = slots_[static_cast<size_t>(index)];
  if (slot.kept) return load_kept(index, absorbed, backend);
  const bool has_layer = slot.layer != nullptr;
  if (!has_layer) checkpoint_.will_need(tensors_of(weights));
  checkpoint_.will_need(tensors_of(weights.experts));
  Missing out;
  if (!has_layer) out.layer = model::prepare_layer(checkpoint_, weights, backend, absorbed);
  out.experts = model::prepare_experts(checkpoint_, weights, backend);
  // Whatever is prepared from here on will be streamed.
  if (preparer_ && resident_left_ == 0) keep(slot, out, backend);
  return out;
}

LayerStore::Missing LayerStore::load_kept(int index, bool absorbed, const ops::Backend& backend) {
  const LayerWeights& weights = checkpoint_.weights().layers[static_cast<size_t>(index)];
  Slot& slot = slots_[static_cast<size_t>(index)];
  model::KeptLayer& kept = *slot.kept;
  model::KeptLayer::Loaded loaded = kept.load(backend, absorbed);
  if (keeps_layers_) {  // unless it was prepared in vain, for a call that went another way
    if (!slot.layer) loaded.layer = model::prepare_layer(checkpoint_, weights, backend, absorbed);
  } else if (absorbed && checkpoint_.config().mla && !kept.has_absorbed()) {
    const size_t before = loaded.layer->bytes;
    prepare_absorbed(checkpoint_, weights, backend, *loaded.layer);
    const size_t added = loaded.layer->bytes - before;
    if (added <= host_left_) {
      kept.keep_absorbed(backend, *loaded.layer);
      host_left_ = kept.has_absorbed() ? host_left_ - added : 0;
    }
  }
  return {std::move(loaded.layer), std::move(loaded.experts)};
}

void LayerStore::keep(Slot& slot, const Missing& missing, const ops::Backend& backend) {
  const size_t bytes = missing.experts.bytes + (missing.layer && !keeps_layers_ ? missing.layer->bytes : 0);
  if (bytes == 0 || bytes > host_left_) return;
  slot.kept = model::KeptLayer::keep(backend, keeps_layers_ ? nullptr : missing.layer.get(), missing.experts);
  host_left_ = slot.kept ? host_left_ - bytes : 0;  // no more can be pinned, whatever the budget says
}

void LayerStore::drop_current() {
  if (current_ < 0) return;
  Slot& slot = slots_[static_cast<size_t>(current_)];
  current_ = -1;
  if (keeps_layers_) {
    slot.layer->routed = {};
  } else {
    slot.layer.reset();
  }
}

void LayerStore::complete(int index, bool absorbed, bool wait) {
  Slot& slot = slots_[static_cast<size_t>(index)];
  {
    std::unique_lock lock(mutex_);
    if (wait) changed_.wait(lock, [&] { return !slot.claimed; });
    if (slot.complete || slot.claimed) return;
    slot.claimed = true;
  }
  const auto leave = [&](bool complete) {
    const std::lock_guard lock(mutex_);
    slot.claimed = false;
    slot.complete = complete;
    changed_.notify_all();
  };
  try {
    Missing missing = prepare(index, absorbed, backend_);
    slot.layer = std::move(missing.layer);
    slot.layer->routed = std::move(missing.experts);
  } catch (...) {
    leave(false);
    throw;
  }
  leave(true);
}

void LayerStore::prepare_ahead(const std::atomic<bool>& stop) {
  try {
    for (int index = range_.begin; index < range_.end && !stop; ++index) complete(index, false, false);
  } catch (...) {  // acquire() will say it
  }
}

const model::PreparedLayer& LayerStore::acquire(int index, bool absorbed) {
  Slot& slot = slots_[static_cast<size_t>(index)];
  if (preparer_ == nullptr) {
    complete(index, absorbed, true);
  } else if (!slot.complete && current_ != index) {
    drop_current();  // before another one is waited for: never three at a time
    Missing missing;
    if (next_index_ == index) {
      next_index_ = -1;
      missing = next_.get();
    } else {
      // Nothing else reads the checkpoint at the same time, so that memory stays within bounds.
      if (next_.valid()) next_.get();
      next_index_ = -1;
      missing = prepare(index, absorbed, backend_);
    }
    if (missing.layer) slot.layer = std::move(missing.layer);
    slot.layer->routed = std::move(missing.experts);
    const size_t streamed = slot.layer->routed.bytes + (keeps_layers_ ? 0 : slot.layer->bytes);
    slot.complete = streamed <= resident_left_;
    if (!slot.complete) {
      resident_left_ = 0;  // leading layers only
      current_ = index;
    } else {
      resident_left_ -= streamed;
    }
  }
  if (absorbed) {
    prepare_absorbed(checkpoint_, checkpoint_.weights().layers[static_cast<size_t>(index)], backend_,
                     *slot.layer);
  }
  if (preparer_) start_next(index, absorbed);
  return *slot.layer;
}

// Starts preparing the next layer that lacks something.
void LayerStore::start_next(int after, bool absorbed) {
  if (next_index_ >= 0) return;
  const auto next = [&](int index) { return index + 1 < range_.end ? index + 1 : range_.begin; };
  int index = next(after);
  while (index != after && slots_[static_cast<size_t>(index)].complete) index = next(index);
  if (index == after) return;
  next_index_ = index;
  next_ = std::async(std::launch::async,
                     [this, index, absorbed] { return prepare(index, absorbed, *preparer_); });
}

}  // namespace assay::engine
