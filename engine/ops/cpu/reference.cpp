// Every op in its most obvious form: scalar loops in the order the contract states.
//
// Kernels::reference. Slow on purpose; the fast backends are tested against it. Weights are kept as
// fp32 values (bf16 and e4m3 are exact in fp32) with their block scales beside them.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "engine/checkpoint/tensor.h"
#include "engine/ops/cpu/backends.h"
#include "engine/ops/cpu/rowwise.h"
#include "engine/ops/cpu/scalar.h"

namespace assay::engine::ops {

namespace {

constexpr int64_t kScaleBlock = 128;  // columns one activation scale covers

// How one row of a matrix is multiplied.
enum class Arithmetic { fp32, bf16, fp8_weights, fp8 };

struct NaiveMatrix final : Matrix {
  std::vector<float> value;            // [n, k]; unscaled where the row has scales
  std::vector<Arithmetic> arithmetic;  // [n]
  std::vector<float> scale;            // [n, blocks]; 1 where the row has none
  int64_t blocks = 0;                  // ceil(k / 128)
  bool gate_up = false;                // rows 0..n/2 are the gate

  const float* row(int64_t i) const { return value.data() + i * k; }
};

const NaiveMatrix& naive(const Matrix& matrix) { return static_cast<const NaiveMatrix&>(matrix); }

// One activation row in the forms the arithmetics want.
struct Operand {
  std::vector<float> bf16, q, q_scale;  // rounded; quantised values and their scales per block
};

Operand make_operand(const float* x, int64_t k, bool ue8m0) {
  Operand operand;
  operand.bf16.resize(k);
  operand.q.resize(k);
  for (int64_t i = 0; i < k; ++i) operand.bf16[i] = round_to_bf16(x[i]);
  for (int64_t begin = 0; begin < k; begin += kScaleBlock) {
    const int64_t end = std::min(k, begin + kScaleBlock);
    float amax = 0;
    for (int64_t i = begin; i < end; ++i) amax = std::max(amax, std::fabs(x[i]));
    const float scale = activation_scale(amax, ue8m0);
    for (int64_t i = begin; i < end; ++i) operand.q[i] = e4m3_to_float(float_to_e4m3(x[i] / scale));
    operand.q_scale.push_back(scale);
  }
  return operand;
}

float dot(const float* a, const float* b, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

float output(const NaiveMatrix& w, int64_t n, const float* x, const Operand& operand) {
  const float* row = w.row(n);
  switch (w.arithmetic[n]) {
    case Arithmetic::fp32: return dot(x, row, w.k);
    case Arithmetic::bf16: return dot(operand.bf16.data(), row, w.k);
    case Arithmetic::fp8_weights:
    case Arithmetic::fp8: break;
  }
  const bool quantised = w.arithmetic[n] == Arithmetic::fp8;
  const std::vector<float>& a = quantised ? operand.q : operand.bf16;
  float sum = 0;
  for (int64_t b = 0; b < w.blocks; ++b) {
    const int64_t begin = b * kScaleBlock;
    float part = dot(a.data() + begin, row + begin, std::min(kScaleBlock, w.k - begin));
    if (quantised) part *= operand.q_scale[b];
    sum += part * w.scale[n * w.blocks + b];
  }
  return sum;
}

class ReferenceBackend final : public CpuBackend {
 public:
  using CpuBackend::CpuBackend;

  std::unique_ptr<Matrix> prepare(std::span<const TensorView> tensors, Stacking stacking,
                                  Role role) const override {
    require(!tensors.empty() && (stacking == Stacking::rows || tensors.size() == 2), "prepare: tensors");
    auto matrix = std::make_unique<NaiveMatrix>();
    matrix->k = tensors[0].cols();
    matrix->gate_up = stacking == Stacking::gate_up;
    for (const TensorView& tensor : tensors) {
      require(tensor.cols() == matrix->k, "prepare: tensors of different width");
      for (int64_t r = 0; r < tensor.rows(); ++r) append(*matrix, tensor, r, role);
    }
    finish(*matrix);
    return matrix;
  }

  std::unique_ptr<Matrix> prepare_slice(const TensorView& tensor, int64_t first_row, int64_t n,
                                        bool transpose, Role role) const override {
    auto matrix = std::make_unique<NaiveMatrix>();
    DequantizedSlice slice = dequantize_slice(tensor, first_row, n, transpose);
    const bool fp32 = numerics_ == Numerics::fp32 || role == Role::fp32;
    if (!fp32) {
      for (float& v : slice.values) v = round_to_bf16(v);
    }
    matrix->k = slice.view.cols();
    matrix->n = slice.view.rows();
    matrix->value.assign(slice.values.begin(), slice.values.end());
    matrix->arithmetic.assign(static_cast<size_t>(matrix->n),
                              fp32 ? Arithmetic::fp32 : Arithmetic::bf16);
    finish(*matrix);
    return matrix;
  }

  void rms_norm(ConstRows x, const float* weight, double eps, Rows out) const override {
    for_rows(x.rows, [&](int64_t i) { norm(x.row(i), weight, eps, out.row(i), x.cols); });
  }

  void head_norm(Rows x, int heads, int64_t head_stride, int dim, const float* weight,
                 double eps) const override {
    for_rows(x.rows, [&](int64_t i) {
      for (int h = 0; h < heads; ++h) {
        float* v = x.row(i) + h * head_stride;
        norm(v, weight, eps, v, dim);
      }
    });
  }

  void add(Rows accumulator, ConstRows x) const override {
    for_rows(x.rows, [&](int64_t i) {
      for (int64_t c = 0; c < x.cols; ++c) accumulator.row(i)[c] += x.row(i)[c];
    });
  }

  void to_bf16(ConstRows x, uint16_t* out, int64_t out_stride) const override {
    for_rows(x.rows, [&](int64_t i) {
      for (int64_t c = 0; c < x.cols; ++c) out[i * out_stride + c] = float_to_bf16(x.row(i)[c]);
    });
  }

  void linear(const Matrix& weight, ConstRows x, const float* bias, Rows out) const override {
    const NaiveMatrix& w = naive(weight);
    require(x.cols == w.k && out.cols == w.n && out.rows == x.rows, "linear: shapes");
    for_rows(x.rows, [&](int64_t i) {
      product(w, x.row(i), out.row(i));
      for (int64_t c = 0; bias != nullptr && c < w.n; ++c) out.row(i)[c] += bias[c];
    });
  }

  void linear_swiglu(const Matrix& gate_up, ConstRows x, Rows out) const override {
    const NaiveMatrix& w = naive(gate_up);
    require(w.gate_up && x.cols == w.k && out.cols == w.n / 2, "linear_swiglu: shapes");
    for_rows(x.rows, [&](int64_t i) { swiglu(w, x.row(i), out.row(i)); });
  }

  void linear_heads(std::span<const std::unique_ptr<Matrix>> per_head, ConstRows x,
                    int64_t x_head_stride, Rows out, int64_t out_head_stride) const override {
    for_rows(x.rows, [&](int64_t i) {
      for (size_t h = 0; h < per_head.size(); ++h) {
        product(naive(*per_head[h]), x.row(i) + h * x_head_stride, out.row(i) + h * out_head_stride);
      }
    });
  }

  void attention(const Attention& args) const override {
    for (const Segment& segment : args.segments) {
      for_rows(segment.count, [&](int64_t r) { attend(args, segment, r); });
    }
  }

  void experts(std::span<const ExpertWeights> experts, int top_k, const Routing& routing,
               ConstRows x, Rows out) const override {
    for_rows(x.rows, [&](int64_t i) {
      std::fill(out.row(i), out.row(i) + out.cols, 0.0f);
      for (int64_t j = i * top_k; j < (i + 1) * top_k; ++j) {
        const ExpertWeights& expert = experts[static_cast<size_t>(routing.expert[j])];
        std::vector<float> hidden(static_cast<size_t>(expert.down->k)), y(expert.down->n);
        swiglu(naive(*expert.gate_up), x.row(i), hidden.data());
        product(naive(*expert.down), hidden.data(), y.data());
        for (int64_t c = 0; c < out.cols; ++c) out.row(i)[c] += routing.weight[j] * y[c];
      }
    });
  }

  void combine(const Routing& routing, int top_k, ConstRows y, std::span<const int32_t> place,
               Rows out) const override {
    for_rows(out.rows, [&](int64_t i) {
      std::fill(out.row(i), out.row(i) + out.cols, 0.0f);
      for (int64_t j = i * top_k; j < (i + 1) * top_k; ++j) {
        const float* from = y.row(place[static_cast<size_t>(j)]);
        for (int64_t c = 0; c < out.cols; ++c) out.row(i)[c] += routing.weight[j] * from[c];
      }
    });
  }

  void head_score(const Matrix& head, ConstRows hidden, const HeadTargets& targets, float* logprob,
                  int32_t* argmax, float* argmax_logprob) const override {
    const NaiveMatrix& w = naive(head);
    for_rows(hidden.rows, [&](int64_t r) {
      std::vector<float> logits(static_cast<size_t>(w.n));
      product(w, hidden.row(r), logits.data());
      const auto best = std::max_element(logits.begin(), logits.end());  // the first of equals
      double sum = 0;
      for (const float logit : logits) sum += exp_f32(logit - *best);
      const double log_sum = *best + log_f64(sum);
      for (int32_t t = targets.first[r]; t < targets.first[r + 1]; ++t) {
        logprob[t] = static_cast<float>(logits[targets.target[t]] - log_sum);
      }
      if (argmax != nullptr) argmax[r] = static_cast<int32_t>(best - logits.begin());
      if (argmax_logprob != nullptr) argmax_logprob[r] = static_cast<float>(*best - log_sum);
    });
  }

  void head_logits(const Matrix& head, ConstRows hidden, Rows out) const override {
    linear(head, hidden, nullptr, out);
  }

 private:
  void for_rows(int64_t rows, const std::function<void(int64_t)>& body) const {
    workers_.for_each(rows, body);
  }

  static void norm(const float* x, const float* weight, double eps, float* out, int64_t cols) {
    double square = 0;
    for (int64_t c = 0; c < cols; ++c) square += static_cast<double>(x[c]) * x[c];
    const auto factor = static_cast<float>(1 / std::sqrt(square / static_cast<double>(cols) + eps));
    for (int64_t c = 0; c < cols; ++c) out[c] = x[c] * factor * weight[c];
  }

  void append(NaiveMatrix& matrix, const TensorView& tensor, int64_t r, Role role) const {
    const int64_t k = matrix.k;
    const bool scaled = tensor.dtype == DType::f8_e4m3 && role == Role::linear &&
                        (numerics_ == Numerics::fp8 || numerics_ == Numerics::fp8_weights);
    const size_t at = matrix.value.size();
    matrix.value.resize(at + static_cast<size_t>(k));
    float* row = matrix.value.data() + at;
    if (scaled) {
      require(tensor.block == kScaleBlock, "prepare: scale blocks of other than 128");
      const auto* bytes = reinterpret_cast<const uint8_t*>(tensor.data) + r * k;
      for (int64_t c = 0; c < k; ++c) row[c] = e4m3_to_float(bytes[c]);
      for (int64_t b = 0; b < tensor.scale_cols; ++b) {
        matrix.scale.push_back(tensor.scale[r / tensor.block * tensor.scale_cols + b]);
      }
      matrix.arithmetic.push_back(numerics_ == Numerics::fp8 ? Arithmetic::fp8
                                                             : Arithmetic::fp8_weights);
      return;
    }
    dequantize_row(tensor, r, row);
    matrix.scale.resize(matrix.scale.size() + (k + kScaleBlock - 1) / kScaleBlock, 1.0f);
    const bool exact = numerics_ == Numerics::fp8 && tensor.dtype != DType::f8_e4m3;
    if (numerics_ == Numerics::fp32 || role == Role::fp32 || exact) {
      matrix.arithmetic.push_back(Arithmetic::fp32);
    } else {
      for (int64_t c = 0; c < k; ++c) row[c] = round_to_bf16(row[c]);
      matrix.arithmetic.push_back(Arithmetic::bf16);
    }
  }

  static void finish(NaiveMatrix& matrix) {
    matrix.n = static_cast<int64_t>(matrix.arithmetic.size());
    matrix.blocks = (matrix.k + kScaleBlock - 1) / kScaleBlock;
    matrix.bytes = (matrix.value.size() + matrix.scale.size()) * sizeof(float);
  }

  void product(const NaiveMatrix& w, const float* x, float* out) const {
    const Operand operand = make_operand(x, w.k, ue8m0_);
    for (int64_t n = 0; n < w.n; ++n) out[n] = output(w, n, x, operand);
  }

  void swiglu(const NaiveMatrix& w, const float* x, float* out) const {
    std::vector<float> both(static_cast<size_t>(w.n));
    product(w, x, both.data());
    const int64_t half = w.n / 2;
    for (int64_t c = 0; c < half; ++c) out[c] = silu_f32(both[c]) * both[half + c];
  }

  static float load(const Attention& args, const void* base, int64_t index) {
    return args.kv_type == KvType::bf16 ? bf16_to_float(static_cast<const uint16_t*>(base)[index])
                                        : static_cast<const float*>(base)[index];
  }

  // One query row, every head: online softmax over blocks of 64 positions.
  static void attend(const Attention& args, const Segment& segment, int64_t r) {
    const int64_t positions = segment.position + r + 1;
    const int64_t row = segment.row + r;
    std::vector<float> out(static_cast<size_t>(args.value_dim)), score(kAttentionBlock);
    for (int h = 0; h < args.heads; ++h) {
      const float* q = args.query.row(row) + h * (args.key_dim + args.shared_dim);
      const int64_t g = static_cast<int64_t>(h) * args.kv_heads / args.heads;
      float maximum = -std::numeric_limits<float>::infinity(), sum = 0;
      std::fill(out.begin(), out.end(), 0.0f);
      for (int64_t begin = 0; begin < positions; begin += kAttentionBlock) {
        const int64_t end = std::min<int64_t>(positions, begin + kAttentionBlock);
        float block_maximum = maximum;
        for (int64_t j = begin; j < end; ++j) {
          const int64_t slot = segment.slots[j];
          float dot = 0;
          for (int d = 0; d < args.key_dim; ++d) {
            dot += q[d] * load(args, args.key, slot * args.key_stride + g * args.key_head_stride + d);
          }
          for (int d = 0; d < args.shared_dim; ++d) {
            dot += q[args.key_dim + d] * load(args, args.key_shared, slot * args.shared_stride + d);
          }
          score[j - begin] = dot * args.scale;
          block_maximum = std::max(block_maximum, score[j - begin]);
        }
        const float rescale = exp_f32(maximum - block_maximum);
        maximum = block_maximum;
        sum *= rescale;
        for (float& o : out) o *= rescale;
        for (int64_t j = begin; j < end; ++j) {
          const float p = exp_f32(score[j - begin] - maximum);
          sum += p;
          const int64_t at = segment.slots[j] * args.value_stride + g * args.value_head_stride;
          for (int d = 0; d < args.value_dim; ++d) out[d] += p * load(args, args.value, at + d);
        }
      }
      float* to = args.out.row(row) + static_cast<int64_t>(h) * args.value_dim;
      for (int d = 0; d < args.value_dim; ++d) to[d] = out[d] / sum;
    }
  }
};

}  // namespace

std::unique_ptr<Backend> make_reference_backend(Numerics numerics, const Workers& workers,
                                                bool ue8m0_activations) {
  return std::make_unique<ReferenceBackend>(Kernels::reference, numerics, workers,
                                            ue8m0_activations);
}

}  // namespace assay::engine::ops
