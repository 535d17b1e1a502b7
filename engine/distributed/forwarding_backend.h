// A backend that does what another one does: the base of those that change an op or two.
#pragma once

#include "engine/ops/ops.h"

namespace assay::engine {

class ForwardingBackend : public ops::Backend {
 public:
  explicit ForwardingBackend(const ops::Backend& inner) : inner_(inner) {}

  std::string_view profile() const override { return inner_.profile(); }
  Numerics numerics() const override { return inner_.numerics(); }
  ops::KvType kv_type() const override { return inner_.kv_type(); }
  const Workers& workers() const override { return inner_.workers(); }

  std::byte* allocate(size_t bytes) const override { return inner_.allocate(bytes); }
  void trim() const override { inner_.trim(); }
  void release(std::byte* memory, size_t bytes) const override { inner_.release(memory, bytes); }
  void upload(std::byte* to, const void* from, size_t bytes) const override {
    inner_.upload(to, from, bytes);
  }
  void download(void* to, const std::byte* from, size_t bytes) const override {
    inner_.download(to, from, bytes);
  }
  void copy_rows(const std::byte* from, int64_t from_stride, std::span<const int32_t> from_rows,
                 std::byte* to, int64_t to_stride, std::span<const int32_t> to_rows, int64_t count,
                 int64_t bytes) const override {
    inner_.copy_rows(from, from_stride, from_rows, to, to_stride, to_rows, count, bytes);
  }
  void finish() const override { inner_.finish(); }
  int64_t rows_at_once(int64_t modest) const override { return inner_.rows_at_once(modest); }
  bool keeps_expert(int64_t expert, int64_t experts) const override {
    return inner_.keeps_expert(expert, experts);
  }

  std::unique_ptr<ops::Matrix> prepare(std::span<const TensorView> tensors, ops::Stacking stacking,
                                       ops::Role role) const override {
    return inner_.prepare(tensors, stacking, role);
  }
  std::unique_ptr<ops::Matrix> prepare_slice(const TensorView& tensor, int64_t first_row, int64_t n,
                                             bool transpose, ops::Role role) const override {
    return inner_.prepare_slice(tensor, first_row, n, transpose, role);
  }
  std::unique_ptr<ops::KeptMatrix> keep(const ops::Matrix& matrix) const override {
    return inner_.keep(matrix);
  }
  std::unique_ptr<ops::Matrix> load(const ops::KeptMatrix& kept) const override { return inner_.load(kept); }

  void embed(const TensorView& table, std::span<const TokenId> ids, ops::Rows out) const override {
    inner_.embed(table, ids, out);
  }
  void rms_norm(ops::ConstRows x, const float* weight, double eps, ops::Rows out) const override {
    inner_.rms_norm(x, weight, eps, out);
  }
  void add(ops::Rows accumulator, ops::ConstRows x) const override { inner_.add(accumulator, x); }
  bool all_finite(ops::ConstRows x) const override { return inner_.all_finite(x); }
  void rope(ops::Rows x, int heads, int64_t head_stride, int64_t offset, int dim,
            const int32_t* positions, const ops::RopeTable& table) const override {
    inner_.rope(x, heads, head_stride, offset, dim, positions, table);
  }
  void head_norm(ops::Rows x, int heads, int64_t head_stride, int dim, const float* weight,
                 double eps) const override {
    inner_.head_norm(x, heads, head_stride, dim, weight, eps);
  }
  void to_bf16(ops::ConstRows x, uint16_t* out, int64_t out_stride) const override {
    inner_.to_bf16(x, out, out_stride);
  }
  void from_bf16(const uint16_t* x, int64_t stride, ops::Rows out) const override {
    inner_.from_bf16(x, stride, out);
  }

  void linear(const ops::Matrix& weight, ops::ConstRows x, const float* bias,
              ops::Rows out) const override {
    inner_.linear(weight, x, bias, out);
  }
  void linear_swiglu(const ops::Matrix& gate_up, ops::ConstRows x, ops::Rows out) const override {
    inner_.linear_swiglu(gate_up, x, out);
  }
  void mlp(const ops::ExpertWeights& weights, ops::ConstRows x, ops::Rows gated,
           ops::Rows out) const override {
    inner_.mlp(weights, x, gated, out);
  }
  void linear_heads(std::span<const std::unique_ptr<ops::Matrix>> per_head, ops::ConstRows x,
                    int64_t x_head_stride, ops::Rows out, int64_t out_head_stride) const override {
    inner_.linear_heads(per_head, x, x_head_stride, out, out_head_stride);
  }

  void attention(const ops::Attention& args) const override { inner_.attention(args); }
  void route(const ops::Router& router, ops::ConstRows logits, ops::Routing& out) const override {
    inner_.route(router, logits, out);
  }
  void read_routing(ops::Routing& routing) const override { inner_.read_routing(routing); }
  void experts(std::span<const ops::ExpertWeights> experts, int top_k, const ops::Routing& routing,
               ops::ConstRows x, ops::Rows out) const override {
    inner_.experts(experts, top_k, routing, x, out);
  }
  void combine(const ops::Routing& routing, int top_k, ops::ConstRows y, std::span<const int32_t> place,
               ops::Rows out) const override {
    inner_.combine(routing, top_k, y, place, out);
  }
  void head_score(const ops::Matrix& head, ops::ConstRows hidden, const ops::HeadTargets& targets,
                  float* logprob, int32_t* argmax, float* argmax_logprob) const override {
    inner_.head_score(head, hidden, targets, logprob, argmax, argmax_logprob);
  }
  void head_sample(const ops::Matrix& head, ops::ConstRows hidden, std::span<const ops::Draw> draws,
                   ops::Choice* out) const override {
    inner_.head_sample(head, hidden, draws, out);
  }
  void head_logits(const ops::Matrix& head, ops::ConstRows hidden, ops::Rows out) const override {
    inner_.head_logits(head, hidden, out);
  }

 protected:
  const ops::Backend& inner_;
};

}  // namespace assay::engine
