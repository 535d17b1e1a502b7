// Runs passes through the whole model: embedding, layers in order, final norm, head.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/execute/layer_store.h"
#include "engine/model/decoder.h"
#include "engine/ops/ops.h"

namespace assay::engine {

class Runner {
 public:
  // `preparer` and `resident_bytes`: see LayerStore.
  Runner(const Checkpoint& checkpoint, const ops::Backend& backend, const ops::Backend* preparer,
         size_t resident_bytes);

  const ModelConfig& config() const { return checkpoint_.config(); }
  const ops::Backend& backend() const { return backend_; }
  const Checkpoint& checkpoint() const { return checkpoint_; }
  model::Decoder& decoder() { return decoder_; }

  // Called after each layer; routing is null for dense layers.
  using LayerHook = std::function<void(int layer, const ops::Routing* routing)>;
  // Hidden states after the last layer, before the final norm [rows, hidden]; valid until the next
  // run. Throws bad_input where a layer's hidden states overflow.
  ops::Rows run(std::span<const TokenId> ids, const model::PassInput& pass, model::KvPool& pool,
                const LayerHook& hook);

  // Throws bad_input: `what` names what turned out not to be finite.
  [[noreturn]] void throw_overflow(const std::string& what) const;

  // Rows `rows` of `hidden`, normed by the final norm, [count, hidden]; valid until the next call.
  ops::Rows final_norm(ops::ConstRows hidden, std::span<const int32_t> rows);
  const ops::Matrix& head();

  // A pool of this model's KV rows (`extra_layers` for MTP).
  model::KvPool make_pool(int64_t slots, int extra_layers = 0) const;

 private:
  void check_by_rows(const TensorView& table) const;
  void require_finite(ops::ConstRows x, int layer) const;

  const Checkpoint& checkpoint_;
  const ops::Backend& backend_;
  LayerStore layers_;
  model::Decoder decoder_;
  bool embedding_checked_ = false;
  std::vector<float> norm_;
  std::unique_ptr<ops::Matrix> head_;
  model::Buffer<float> hidden_, normed_;
};

}  // namespace assay::engine
