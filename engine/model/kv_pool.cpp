#include "engine/model/kv_pool.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace assay::engine::model {

int64_t kv_width(const ModelConfig& config) {
  return config.mla ? config.mla->kv_lora_rank + config.mla->rope_dim
                    : 2 * config.kv_heads * config.head_dim;
}

KvPool::KvPool(const ops::Backend& backend, int64_t width, int layers, int64_t slots)
    : type_(backend.kv_type()),
      width_(width),
      slots_(slots),
      layers_(layers),
      data_(backend) {
  const size_t size = std::max<size_t>(bytes(), 1);
  if (!data_.try_ensure(static_cast<int64_t>(size))) {
    throw_resource("no memory for " + std::to_string(size) + " bytes of keys and values", {},
                   "give a smaller --memory, or run fewer programs beside this one");
  }
}

}  // namespace assay::engine::model
