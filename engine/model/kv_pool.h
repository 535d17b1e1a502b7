// Key/value memory of all layers: rows of one width, addressed by slot.
//
// A row holds what one token's attention needs later, in the KV type of the backend: MLA
// [normed latent | rotated shared key], grouped-query attention [rotated keys | values] of all KV
// heads. Values are rounded to the type when they are produced, so a row that was kept, recomputed
// or made in the same pass has the same bits. Memory is the backend's, touched when rows are written.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/checkpoint/config.h"
#include "engine/model/buffer.h"
#include "engine/ops/ops.h"

namespace assay::engine::model {

inline int64_t kv_type_bytes(ops::KvType type) { return type == ops::KvType::f32 ? 4 : 2; }
// Elements of a row.
int64_t kv_width(const ModelConfig& config);

class KvPool {
 public:
  KvPool() = default;
  KvPool(const ops::Backend& backend, int64_t width, int layers, int64_t slots);

  ops::KvType type() const { return type_; }
  int64_t width() const { return width_; }
  int64_t slots() const { return slots_; }
  int layers() const { return layers_; }
  int64_t row_bytes() const { return width_ * kv_type_bytes(type_); }
  size_t bytes() const { return static_cast<size_t>(row_bytes() * slots_ * layers_); }
  std::byte* row(int layer, int64_t slot) {
    return data_.data() + (layer * slots_ + slot) * row_bytes();
  }

 private:
  ops::KvType type_ = ops::KvType::f32;
  int64_t width_ = 0, slots_ = 0;
  int layers_ = 0;
  Buffer<std::byte> data_;
};

}  // namespace assay::engine::model
