#include "engine/execute/layer_store.h"

namespace assay::engine {

LayerStore::LayerStore(const Checkpoint& checkpoint, const ops::Backend& backend)
    : checkpoint_(checkpoint), backend_(backend), resident_(checkpoint.weights().layers.size()) {}
LayerStore::~LayerStore() = default;

const model::PreparedLayer& LayerStore::acquire(int index, bool absorbed) {
  const LayerWeights& weights = checkpoint_.weights().layers[static_cast<size_t>(index)];
  auto& layer = resident_[static_cast<size_t>(index)];
  if (!layer) {
    layer = model::prepare_layer(checkpoint_, weights, backend_, absorbed);
  } else if (absorbed) {
    model::prepare_absorbed(checkpoint_, weights, backend_, *layer);
  }
  return *layer;
}

}  // namespace assay::engine
