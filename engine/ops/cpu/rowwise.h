// What every CPU backend does alike: identity, embedding rows, rotation, routing. Plain C++.
#pragma once

#include <string>
#include <vector>

#include "engine/ops/ops.h"

namespace assay::engine::ops {

class CpuBackend : public Backend {
 public:
  CpuBackend(Kernels kernels, Numerics numerics, const Workers& workers, bool ue8m0_activations);

  std::string_view profile() const final { return profile_; }
  Numerics numerics() const final { return numerics_; }
  const Workers& workers() const final { return workers_; }

  void embed(const TensorView& table, std::span<const TokenId> ids, Rows out) const override;
  bool all_finite(ConstRows x) const override;
  void from_bf16(const uint16_t* x, int64_t stride, Rows out) const override;
  void rope(Rows x, int heads, int64_t head_stride, int64_t offset, int dim,
            const int32_t* positions, const RopeTable& table) const override;
  void route(const Router& router, ConstRows logits, Routing& out) const override;
  void copy_rows(const std::byte* from, int64_t from_stride, std::span<const int32_t> from_rows,
                 std::byte* to, int64_t to_stride, std::span<const int32_t> to_rows, int64_t count,
                 int64_t bytes) const override;

 protected:
  const Numerics numerics_;
  const Workers& workers_;
  const bool ue8m0_;  // activation scales are powers of two

 private:
  const float* angles(const RopeTable& table, int64_t positions) const;

  std::string profile_;
  // Of the last table used: [position][cosines, sines].
  mutable std::vector<double> angles_of_;
  mutable double angles_multiplier_ = 0;
  mutable std::vector<float> angles_;
};

// Chosen experts (ascending) and their weights for one row of logits; sigmoid, softmax and sums in
// double, selection scores rounded to fp32 as the routers of the released models hold them.
void route_row(const Router& router, const float* logits, int32_t* expert, float* weight);

// DeepSeek's 1x128 activation quantisation (numerics: FP8): amax clamped to 1e-4, scale = amax / 448,
// with ue8m0 the smallest power of two not below that; byte = e4m3(x / scale), nearest even.
// Returns the scale of one block of n <= 128 values.
float activation_scale(float amax, bool ue8m0);

// Throws internal: shapes were checked when the model was loaded, so a misfit is a defect.
void require(bool condition, const char* what);

}  // namespace assay::engine::ops
