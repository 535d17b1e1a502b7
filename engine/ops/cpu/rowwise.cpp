#include "engine/ops/cpu/rowwise.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "engine/checkpoint/tensor.h"
#include "engine/ops/cpu/scalar.h"

namespace assay::engine::ops {

namespace {

// Rows a worker takes at once in row-wise ops: enough work to be worth a task.
constexpr int64_t kRowGrain = 8;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

void require(bool condition, const char* what) {
  if (!condition) throw_internal(what, "engine/ops");
}

CpuBackend::CpuBackend(Kernels kernels, Numerics numerics, const Workers& workers,
                       bool ue8m0_activations)
    : numerics_(numerics), workers_(workers), ue8m0_(ue8m0_activations) {
  require(numerics != Numerics::automatic, "a backend needs a concrete numerics mode");
  profile_ = "cpu-" + std::string(kernels_name(kernels)) + "/" + std::string(numerics_name(numerics));
  if (numerics == Numerics::fp8 && ue8m0_) profile_ += "-ue8m0";
}

void CpuBackend::embed(const TensorView& table, std::span<const TokenId> ids, Rows out) const {
  require(table.cols() == out.cols && static_cast<int64_t>(ids.size()) == out.rows, "embed: shapes");
  workers_.for_shares(out.rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t id = ids[static_cast<size_t>(i)];
      require(id >= 0 && id < table.rows(), "embed: token id out of range");
      dequantize_row(table, id, out.row(i));
    }
  });
}

void CpuBackend::copy_rows(const std::byte* from, int64_t from_stride,
                           std::span<const int32_t> from_rows, std::byte* to, int64_t to_stride,
                           std::span<const int32_t> to_rows, int64_t count, int64_t bytes) const {
  workers_.for_ranges(count, 256, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t source = from_rows.empty() ? i : from_rows[static_cast<size_t>(i)];
      const int64_t target = to_rows.empty() ? i : to_rows[static_cast<size_t>(i)];
      if (source < 0 || target < 0) continue;
      std::memcpy(to + target * to_stride, from + source * from_stride, static_cast<size_t>(bytes));
    }
  });
}

bool CpuBackend::all_finite(ConstRows x) const {
  constexpr float kLargest = std::numeric_limits<float>::max();
  std::atomic<bool> overflow{false};
  workers_.for_ranges(x.rows, 64, [&](int64_t begin, int64_t end) {
    bool any = false;
    for (int64_t i = begin; i < end; ++i) {
      const float* row = x.row(i);
      for (int64_t c = 0; c < x.cols; ++c) any |= !(std::fabs(row[c]) <= kLargest);
    }
    if (any) overflow = true;
  });
  return !overflow;
}

void CpuBackend::from_bf16(const uint16_t* x, int64_t stride, Rows out) const {
  workers_.for_ranges(out.rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint16_t* from = x + i * stride;
      for (int64_t c = 0; c < out.cols; ++c) out.row(i)[c] = bf16_to_float(from[c]);
    }
  });
}

namespace {

// Turns the pairs (a[i], b[i]) by angles of known cosine and sine.
void rotate(float* __restrict a, float* __restrict b, const float* __restrict cosine,
            const float* __restrict sine, int pairs) {
  for (int p = 0; p < pairs; ++p) {
    const float a0 = a[p], b0 = b[p];
    a[p] = a0 * cosine[p] - b0 * sine[p];
    b[p] = a0 * sine[p] + b0 * cosine[p];
  }
}
void rotate_interleaved(float* __restrict v, const float* __restrict cosine,
                        const float* __restrict sine, int pairs) {
  for (int p = 0; p < pairs; ++p) {
    const float a0 = v[2 * p], b0 = v[2 * p + 1];
    v[2 * p] = a0 * cosine[p] - b0 * sine[p];
    v[2 * p + 1] = a0 * sine[p] + b0 * cosine[p];
  }
}

}  // namespace

// Cosines, then sines, of every position below `positions`. A pass turns thousands of rows a layer, and
// two functions in double cost more than everything else about a pair.
const float* CpuBackend::angles(const RopeTable& table, int64_t positions) const {
  const auto pairs = static_cast<int64_t>(table.inverse_frequency.size());
  if (angles_of_ != table.inverse_frequency || angles_multiplier_ != table.multiplier) {
    angles_of_ = table.inverse_frequency;
    angles_multiplier_ = table.multiplier;
    angles_.clear();
  }
  const int64_t known = pairs == 0 ? positions : static_cast<int64_t>(angles_.size()) / (2 * pairs);
  if (known < positions) {
    const int64_t wanted = std::max(positions, known + known / 2);
    angles_.resize(static_cast<size_t>(wanted * 2 * pairs));
    workers_.for_ranges(wanted - known, 64, [&](int64_t begin, int64_t end) {
      for (int64_t i = known + begin; i < known + end; ++i) {
        float* cosine = angles_.data() + i * 2 * pairs;
        for (int64_t p = 0; p < pairs; ++p) {
          const double angle = static_cast<double>(i) * table.inverse_frequency[static_cast<size_t>(p)];
          cosine[p] = static_cast<float>(std::cos(angle) * table.multiplier);
          cosine[pairs + p] = static_cast<float>(std::sin(angle) * table.multiplier);
        }
      }
    });
  }
  return angles_.data();
}

void CpuBackend::rope(Rows x, int heads, int64_t head_stride, int64_t offset, int dim,
                      const int32_t* positions, const RopeTable& table) const {
  const int pairs = dim / 2;
  require(dim % 2 == 0 && static_cast<int>(table.inverse_frequency.size()) == pairs, "rope: shapes");
  if (x.rows == 0) return;
  const float* all = angles(table, *std::max_element(positions, positions + x.rows) + int64_t{1});
  workers_.for_shares(x.rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* cosine = all + int64_t{positions[i]} * dim;
      for (int h = 0; h < heads; ++h) {
        float* v = x.row(i) + h * head_stride + offset;
        if (table.interleaved) {
          rotate_interleaved(v, cosine, cosine + pairs, pairs);
        } else {
          rotate(v, v + pairs, cosine, cosine + pairs, pairs);
        }
      }
    }
  });
}

void route_row(const Router& router, const float* logits, int32_t* expert, float* weight) {
  const int n = router.experts;
  std::vector<double> score(static_cast<size_t>(n));
  if (router.scoring == Scoring::sigmoid) {
    for (int e = 0; e < n; ++e) score[e] = sigmoid(logits[e]);
  } else {
    const double top = *std::max_element(logits, logits + n);
    double sum = 0;
    for (int e = 0; e < n; ++e) sum += score[e] = std::exp(logits[e] - top);
    for (int e = 0; e < n; ++e) score[e] /= sum;
  }
  std::vector<float> choice(static_cast<size_t>(n));
  for (int e = 0; e < n; ++e) {
    choice[e] = static_cast<float>(score[e]) + (router.bias != nullptr ? router.bias[e] : 0.0f);
  }

  // `count` indices of the largest values, ties to the lowest index.
  const auto top = [](const std::vector<float>& values, int count) {
    std::vector<int> order(values.size());
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](int a, int b) {
      return values[a] != values[b] ? values[a] > values[b] : a < b;
    });
    order.resize(static_cast<size_t>(count));
    return order;
  };

  if (router.group_rule != GroupRule::none && router.kept_groups < router.groups) {
    const int size = n / router.groups;
    std::vector<float> rating(static_cast<size_t>(router.groups));
    for (int g = 0; g < router.groups; ++g) {
      float first = -std::numeric_limits<float>::infinity(), second = first;
      for (int e = g * size; e < (g + 1) * size; ++e) {
        if (choice[e] > first) {
          second = first;
          first = choice[e];
        } else {
          second = std::max(second, choice[e]);
        }
      }
      const bool pair = router.group_rule == GroupRule::top2_sum && size > 1;
      rating[g] = pair ? first + second : first;
    }
    std::vector<char> kept(static_cast<size_t>(router.groups), 0);
    for (const int g : top(rating, router.kept_groups)) kept[g] = 1;
    for (int e = 0; e < n; ++e) {
      if (kept[e / size] == 0) choice[e] = -std::numeric_limits<float>::infinity();
    }
  }

  std::vector<int> chosen = top(choice, router.top_k);
  double sum = 0;
  for (const int e : chosen) sum += score[e];  // in order of decreasing choice, as released code
  std::sort(chosen.begin(), chosen.end());
  const double factor =
      router.normalise ? router.scaling / (sum + router.normalise_epsilon) : router.scaling;
  for (int j = 0; j < router.top_k; ++j) {
    expert[j] = chosen[j];
    weight[j] = static_cast<float>(score[chosen[j]] * factor);
  }
}

void CpuBackend::route(const Router& router, ConstRows logits, Routing& out) const {
  require(logits.cols == router.experts && router.top_k <= router.experts &&
              router.experts % router.groups == 0,
          "route: shapes");
  const size_t entries = static_cast<size_t>(logits.rows) * router.top_k;
  out.expert.resize(entries);
  out.weight.resize(entries);
  workers_.for_shares(logits.rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      route_row(router, logits.row(i), &out.expert[i * router.top_k], &out.weight[i * router.top_k]);
    }
  });
}

float activation_scale(float amax, bool ue8m0) {
  const float scale = std::max(amax, 1e-4f) / 448.0f;
  if (!ue8m0) return scale;
  int exponent = 0;
  const float mantissa = std::frexp(scale, &exponent);  // [0.5, 1)
  return std::ldexp(1.0f, mantissa == 0.5f ? exponent - 1 : exponent);
}

}  // namespace assay::engine::ops
