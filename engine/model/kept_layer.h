// The prepared weights of a layer that wait in host memory while a device computes other layers.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "engine/model/layer.h"
#include "engine/ops/ops.h"

namespace assay::engine::model {

// The streamed part of a layer: its routed experts, or all of it. Loading gives the bits that were kept.
class KeptLayer {
 public:
  // `layer` null: the experts alone. Null where the backend keeps nothing, or no more (Backend::keep).
  static std::unique_ptr<KeptLayer> keep(const ops::Backend& backend, const PreparedLayer* layer,
                                         const PreparedExperts& experts);

  // In the memory of `backend`, complete on return. `layer` is null where the layer was not kept.
  // `absorbed`: with what was kept of MLA's absorbed form.
  struct Loaded {
    std::unique_ptr<PreparedLayer> layer;
    PreparedExperts experts;
  };
  Loaded load(const ops::Backend& backend, bool absorbed) const;
  // Of a layer that was kept without: keeps its absorbed form, too, if there is memory left.
  void keep_absorbed(const ops::Backend& backend, const PreparedLayer& layer);
  bool has_absorbed() const { return !absorb_key_.empty(); }

 private:
  using Kept = std::unique_ptr<ops::KeptMatrix>;
  std::vector<std::pair<Kept, Kept>> experts_;  // null: of another rank
  bool whole_ = false;
  std::vector<Kept> matrices_;                 // of the layer, as its_matrices() lists them
  std::vector<std::vector<float>> vectors_;    // as its_vectors() lists them
  std::vector<Kept> absorb_key_, absorb_value_;
};

}  // namespace assay::engine::model
