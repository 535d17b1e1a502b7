#include "engine/execute/layer_store.h"

#include <utility>

namespace assay::engine {

LayerStore::LayerStore(const Checkpoint& checkpoint, const ops::Backend& backend,
                       const ops::Backend* preparer, size_t resident_bytes)
    : checkpoint_(checkpoint),
      backend_(backend),
      preparer_(preparer),
      resident_left_(resident_bytes),
      resident_(checkpoint.weights().layers.size()) {}

LayerStore::~LayerStore() {
  if (next_.valid()) next_.wait();
}

const model::PreparedLayer& LayerStore::acquire(int index, bool absorbed) {
  const LayerWeights& weights = checkpoint_.weights().layers[static_cast<size_t>(index)];
  auto& resident = resident_[static_cast<size_t>(index)];
  if (!resident) {
    std::unique_ptr<model::PreparedLayer> layer;
    current_.reset();  // before another one is waited for: never three at a time
    if (next_index_ == index) {
      next_index_ = -1;
      layer = next_.get();
    } else {
      // Nothing else reads the checkpoint at the same time, so that memory stays within bounds.
      if (next_.valid()) next_.get();
      next_index_ = -1;
      layer = model::prepare_layer(checkpoint_, weights, backend_, absorbed);
    }
    if (!preparer_) {
      resident = std::move(layer);
    } else if (layer->bytes <= resident_left_) {
      resident_left_ -= layer->bytes;
      resident = std::move(layer);
    } else {
      resident_left_ = 0;  // leading layers only
      current_ = std::move(layer);
    }
  }
  model::PreparedLayer& layer = resident ? *resident : *current_;
  if (absorbed) model::prepare_absorbed(checkpoint_, weights, backend_, layer);
  if (preparer_) start_next(index, absorbed);
  return layer;
}

// Starts preparing the next layer that is not resident.
void LayerStore::start_next(int after, bool absorbed) {
  if (next_index_ >= 0) return;
  const int count = layers();
  int index = (after + 1) % count;
  while (index != after && resident_[static_cast<size_t>(index)]) index = (index + 1) % count;
  if (index == after) return;
  next_index_ = index;
  next_ = std::async(std::launch::async, [this, index, absorbed] {
    return model::prepare_layer(checkpoint_, checkpoint_.weights().layers[static_cast<size_t>(index)],
                                *preparer_, absorbed);
  });
}

}  // namespace assay::engine
