#include "engine/model/layer.h"

#include <array>
#include <vector>

namespace assay::engine::model {

namespace {

using MatrixPtr = std::unique_ptr<ops::Matrix>;

std::vector<float> values(const Checkpoint& checkpoint, const TensorView& tensor) {
  if (!tensor) return {};
  checkpoint.check_values(tensor);
  std::vector<float> out(static_cast<size_t>(tensor.elements()));
  dequantize(tensor, out.data());
  return out;
}

class Preparer {
 public:
  Preparer(const Checkpoint& checkpoint, const ops::Backend& backend, size_t& bytes)
      : checkpoint_(checkpoint), backend_(backend), bytes_(bytes) {}

  MatrixPtr linear(const TensorView& tensor, ops::Role role = ops::Role::linear) {
    return stack(std::array{tensor}, ops::Stacking::rows, role);
  }
  template <size_t N>
  MatrixPtr stack(const std::array<TensorView, N>& tensors, ops::Stacking stacking,
                  ops::Role role = ops::Role::linear) {
    for (const TensorView& tensor : tensors) checkpoint_.check_values(tensor, &backend_.workers());
    MatrixPtr matrix = counted(backend_.prepare(tensors, stacking, role));
    for (const TensorView& tensor : tensors) checkpoint_.release_pages(tensor);
    return matrix;
  }
  MatrixPtr slice(const TensorView& tensor, int64_t first, int64_t n, bool transpose) {
    return counted(backend_.prepare_slice(tensor, first, n, transpose, ops::Role::linear));
  }
  Vector vector(const TensorView& tensor) {
    return tensor ? vector(values(checkpoint_, tensor)) : Vector();
  }
  Vector vector(std::span<const float> host) {
    bytes_ += host.size_bytes();
    return {backend_, host};
  }
  PreparedMlp mlp(const MlpWeights& weights) {
    if (!weights.gate) return {};
    return {stack(std::array{weights.gate, weights.up}, ops::Stacking::gate_up),
            linear(weights.down)};
  }

 private:
  MatrixPtr counted(MatrixPtr matrix) {
    bytes_ += matrix->bytes;
    return matrix;
  }
  const Checkpoint& checkpoint_;
  const ops::Backend& backend_;
  size_t& bytes_;
};

}  // namespace

Vector load_vector(const Checkpoint& checkpoint, const TensorView& tensor,
                   const ops::Backend& backend) {
  return {backend, values(checkpoint, tensor)};
}

std::unique_ptr<PreparedLayer> prepare_layer(const Checkpoint& checkpoint, const LayerWeights& weights,
                                             const ops::Backend& backend, bool absorbed) {
  auto out = std::make_unique<PreparedLayer>();
  Preparer prepare(checkpoint, backend, out->bytes);
  out->input_norm = prepare.vector(weights.input_norm);
  out->post_attention_norm = prepare.vector(weights.post_attention_norm);

  const AttentionWeights& a = weights.attention;
  if (checkpoint.config().mla) {
    if (a.q_a) {
      out->q_a = prepare.linear(a.q_a);
      out->q_a_bias = prepare.vector(a.q_a_bias);
      out->q_a_norm = prepare.vector(a.q_a_norm);
    }
    out->q = prepare.linear(a.q_a ? a.q_b : a.q);
    out->kv = prepare.linear(a.kv_a);
    out->kv_bias = prepare.vector(a.kv_a_bias);
    out->kv_a_norm = prepare.vector(a.kv_a_norm);
    out->kv_b = prepare.linear(a.kv_b);
    if (absorbed) prepare_absorbed(checkpoint, weights, backend, *out);
  } else {
    out->q = prepare.linear(a.q);
    out->kv = prepare.stack(std::array{a.k, a.v}, ops::Stacking::rows);
    out->q_bias = prepare.vector(a.q_bias);
    std::vector<float> kv_bias = values(checkpoint, a.k_bias);
    const std::vector<float> v_bias = values(checkpoint, a.v_bias);
    kv_bias.insert(kv_bias.end(), v_bias.begin(), v_bias.end());
    out->kv_bias = prepare.vector(kv_bias);
    out->q_norm = prepare.vector(a.q_norm);
    out->k_norm = prepare.vector(a.k_norm);
  }
  out->o = prepare.linear(a.o);
  out->o_bias = prepare.vector(a.o_bias);

  if (weights.router) {
    out->router = prepare.linear(weights.router, ops::Role::fp32);
    out->router_bias = prepare.vector(weights.router_bias);
    out->mlp = prepare.mlp(weights.shared);
  } else {
    out->mlp = prepare.mlp(weights.mlp);
  }
  return out;
}

PreparedExperts prepare_experts(const Checkpoint& checkpoint, const LayerWeights& weights,
                                const ops::Backend& backend) {
  PreparedExperts out;
  Preparer prepare(checkpoint, backend, out.bytes);
  const auto count = static_cast<int64_t>(weights.experts.size());
  for (int64_t e = 0; e < count; ++e) {
    const bool kept = backend.keeps_expert(e, count);
    out.experts.push_back(kept ? prepare.mlp(weights.experts[static_cast<size_t>(e)]) : PreparedMlp());
    out.views.push_back({out.experts.back().gate_up.get(), out.experts.back().down.get()});
  }
  return out;
}

void prepare_absorbed(const Checkpoint& checkpoint, const LayerWeights& weights,
                      const ops::Backend& backend, PreparedLayer& layer) {
  if (!checkpoint.config().mla || !layer.absorb_key.empty()) return;
  const MlaConfig& mla = *checkpoint.config().mla;
  Preparer prepare(checkpoint, backend, layer.bytes);
  const TensorView& kv_b = weights.attention.kv_b;
  const int64_t per_head = mla.nope_dim + mla.v_dim;
  for (int64_t h = 0; h < checkpoint.config().heads; ++h) {
    layer.absorb_key.push_back(prepare.slice(kv_b, h * per_head, mla.nope_dim, true));
    layer.absorb_value.push_back(
        prepare.slice(kv_b, h * per_head + mla.nope_dim, mla.v_dim, false));
  }
  checkpoint.release_pages(kv_b);
}

}  // namespace assay::engine::model
