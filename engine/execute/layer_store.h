// The prepared weights of the layers: resident, or streamed behind the computation.
//
// Resident layers are prepared when first asked for and stay. When the weights exceed the budget,
// as many leading layers as fit stay resident and the others are prepared on a second thread while
// the layer before them computes (two buffers), and dropped after use. Bits are the same.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/model/layer.h"
#include "engine/ops/ops.h"

namespace assay::engine {

class LayerStore {
 public:
  LayerStore(const Checkpoint& checkpoint, const ops::Backend& backend);
  ~LayerStore();

  int layers() const { return static_cast<int>(resident_.size()); }
  // Layer `index`, valid until the next call. `absorbed`: with the weights of MLA's absorbed form.
  const model::PreparedLayer& acquire(int index, bool absorbed);

 private:
  const Checkpoint& checkpoint_;
  const ops::Backend& backend_;
  std::vector<std::unique_ptr<model::PreparedLayer>> resident_;
};

}  // namespace assay::engine
