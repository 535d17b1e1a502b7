#include "engine/model/kv_pool.h"

#include <algorithm>
#include <new>

#include "base/error.h"

namespace assay::engine::model {

int64_t kv_width(const ModelConfig& config) {
  return config.mla ? config.mla->kv_lora_rank + config.mla->rope_dim
                    : 2 * config.kv_heads * config.head_dim;
}

ops::KvType kv_type_of(Numerics numerics) {
  return numerics == Numerics::fp32 || numerics == Numerics::fp8 ? ops::KvType::f32
                                                                 : ops::KvType::bf16;
}

KvPool::KvPool(ops::KvType type, int64_t width, int layers, int64_t slots)
    : type_(type), width_(width), slots_(slots), layers_(layers) {
  const size_t size = std::max<size_t>(bytes(), 1);
  // Large blocks come from fresh pages, which take memory when first written.
  data_.reset(static_cast<std::byte*>(::operator new(size, std::align_val_t{64}, std::nothrow)));
  if (!data_) {
    throw_resource("no memory for " + std::to_string(size) + " bytes of keys and values", {},
                   "give a smaller --memory, or run fewer programs beside this one");
  }
}

void KvPool::Free::operator()(std::byte* p) const { ::operator delete(p, std::align_val_t{64}); }

}  // namespace assay::engine::model
