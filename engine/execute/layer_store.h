// The prepared weights of the layers: resident, or streamed behind the computation.
//
// Resident layers are prepared when first asked for and stay. When the weights exceed the budget,
// as many leading layers as fit stay resident and the others are prepared on a second thread while
// the layer before them computes (two buffers), and dropped after use. Bits are the same.
#pragma once

#include <cstddef>
#include <future>
#include <memory>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/model/layer.h"
#include "engine/ops/ops.h"

namespace assay::engine {

class LayerStore {
 public:
  // `preparer` packs layers like the computing backend, on the second thread; null where all layers
  // stay resident. `resident_bytes`: what resident layers may take beside the two buffers.
  LayerStore(const Checkpoint& checkpoint, const ops::Backend& backend,
             const ops::Backend* preparer, size_t resident_bytes);
  ~LayerStore();

  int layers() const { return static_cast<int>(resident_.size()); }
  bool streams() const { return preparer_ != nullptr; }
  // Layer `index`, valid until the next call. `absorbed`: with the weights of MLA's absorbed form.
  // Layers are expected in ascending order, over and over; any order works.
  const model::PreparedLayer& acquire(int index, bool absorbed);

 private:
  void start_next(int after, bool absorbed);

  const Checkpoint& checkpoint_;
  const ops::Backend& backend_;
  const ops::Backend* preparer_;
  size_t resident_left_;
  std::vector<std::unique_ptr<model::PreparedLayer>> resident_;
  // Streaming: the layer in use and the one being prepared.
  std::unique_ptr<model::PreparedLayer> current_;
  std::future<std::unique_ptr<model::PreparedLayer>> next_;
  int next_index_ = -1;
};

}  // namespace assay::engine
