#include "engine/model/kept_layer.h"

namespace assay::engine::model {

namespace {

using MatrixPtr = std::unique_ptr<ops::Matrix>;

// `visit` for every matrix of the layer but those of the absorbed form. Layer is PreparedLayer or const.
template <class Layer, class Visit>
void its_matrices(Layer& layer, const Visit& visit) {
  for (auto* matrix : {&layer.q_a, &layer.q, &layer.kv, &layer.kv_b, &layer.o, &layer.mlp.gate_up,
                       &layer.mlp.down, &layer.router}) {
    visit(*matrix);
  }
}
template <class Layer, class Visit>
void its_vectors(Layer& layer, const Visit& visit) {
  for (auto* vector : {&layer.input_norm, &layer.post_attention_norm, &layer.q_a_norm, &layer.kv_a_norm,
                       &layer.q_norm, &layer.k_norm, &layer.q_bias, &layer.kv_bias, &layer.q_a_bias,
                       &layer.o_bias, &layer.router_bias}) {
    visit(*vector);
  }
}

// False where there is no memory left. Absent matrices are kept as null.
bool keep_matrix(const ops::Backend& backend, const MatrixPtr& matrix,
                 std::unique_ptr<ops::KeptMatrix>& out) {
  if (!matrix) return true;
  out = backend.keep(*matrix);
  return out != nullptr;
}
MatrixPtr load_matrix(const ops::Backend& backend, const std::unique_ptr<ops::KeptMatrix>& kept,
                      size_t& bytes) {
  if (!kept) return nullptr;
  MatrixPtr matrix = backend.load(*kept);
  bytes += matrix->bytes;
  return matrix;
}

}  // namespace

std::unique_ptr<KeptLayer> KeptLayer::keep(const ops::Backend& backend, const PreparedLayer* layer,
                                           const PreparedExperts& experts) {
  auto kept = std::make_unique<KeptLayer>();
  bool all = true;
  for (const PreparedMlp& expert : experts.experts) {
    auto& [gate_up, down] = kept->experts_.emplace_back();
    all = all && keep_matrix(backend, expert.gate_up, gate_up) && keep_matrix(backend, expert.down, down);
  }
  if (layer != nullptr) {
    kept->whole_ = true;
    its_matrices(*layer, [&](const MatrixPtr& matrix) {
      all = all && keep_matrix(backend, matrix, kept->matrices_.emplace_back());
    });
    its_vectors(*layer, [&](const Vector& vector) {
      std::vector<float>& host = kept->vectors_.emplace_back(vector.size());
      if (vector.empty()) return;
      backend.download(host.data(), reinterpret_cast<const std::byte*>(vector.data()),
                       host.size() * sizeof(float));
    });
    if (all) kept->keep_absorbed(backend, *layer);
  }
  return all ? std::move(kept) : nullptr;
}

void KeptLayer::keep_absorbed(const ops::Backend& backend, const PreparedLayer& layer) {
  if (!whole_ || has_absorbed()) return;
  const auto all = [&](const std::vector<MatrixPtr>& from, std::vector<Kept>& to) {
    for (const MatrixPtr& matrix : from) {
      if (!keep_matrix(backend, matrix, to.emplace_back())) return false;
    }
    return true;
  };
  if (all(layer.absorb_key, absorb_key_) && all(layer.absorb_value, absorb_value_)) return;
  absorb_key_.clear();
  absorb_value_.clear();
}

KeptLayer::Loaded KeptLayer::load(const ops::Backend& backend, bool absorbed) const {
  Loaded out;
  for (const auto& [gate_up, down] : experts_) {
    PreparedMlp& expert = out.experts.experts.emplace_back();
    expert.gate_up = load_matrix(backend, gate_up, out.experts.bytes);
    expert.down = load_matrix(backend, down, out.experts.bytes);
    out.experts.views.push_back({expert.gate_up.get(), expert.down.get()});
  }
  if (whole_) {
    out.layer = std::make_unique<PreparedLayer>();
    PreparedLayer& layer = *out.layer;
    size_t next = 0;
    its_matrices(layer, [&](MatrixPtr& matrix) {
      matrix = load_matrix(backend, matrices_[next++], layer.bytes);
    });
    next = 0;
    its_vectors(layer, [&](Vector& vector) {
      const std::vector<float>& host = vectors_[next++];
      layer.bytes += host.size() * sizeof(float);
      vector = {backend, host};
    });
    if (absorbed) {
      for (const Kept& kept : absorb_key_) layer.absorb_key.push_back(load_matrix(backend, kept, layer.bytes));
      for (const Kept& kept : absorb_value_) {
        layer.absorb_value.push_back(load_matrix(backend, kept, layer.bytes));
      }
    }
  }
  backend.finish();  // those that compute with it have another queue
  return out;
}

}  // namespace assay::engine::model
