// The fast CPU backend: packed weights, blocked products, one KernelTable per instruction set.
//
// Everything here is plain C++ and the same for every instruction set; arithmetic is in the table.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/ops/cpu/aligned_buffer.h"
#include "engine/ops/cpu/backends.h"
#include "engine/ops/cpu/packed_matrix.h"
#include "engine/ops/cpu/products.h"
#include "engine/ops/cpu/rowwise.h"
#include "engine/ops/cpu/scalar.h"

namespace assay::engine::ops {

namespace {

constexpr int64_t kRowGrain = 8;
// Scored rows at a time: bounds the log-sum-exp tiles kept per row.
constexpr int64_t kHeadRows = 384;
// Memory for the intermediate rows of a group of experts.
constexpr int64_t kExpertBytes = int64_t{64} << 20;

const PackedMatrix& packed(const Matrix& matrix) { return static_cast<const PackedMatrix&>(matrix); }

class PackedBackend final : public CpuBackend {
 public:
  PackedBackend(const KernelTable& table, Kernels kernels, Numerics numerics, const Workers& workers,
                bool ue8m0_activations)
      : CpuBackend(kernels, numerics, workers, ue8m0_activations),
        table_(table),
        products_(table, workers, ue8m0_activations) {}

  std::unique_ptr<Matrix> prepare(std::span<const TensorView> tensors, Stacking stacking,
                                  Role role) const override {
    return pack_matrix(table_, workers_, numerics_, tensors, stacking, role);
  }
  std::unique_ptr<Matrix> prepare_slice(const TensorView& tensor, int64_t first_row, int64_t n,
                                        bool transpose, Role role) const override {
    return pack_slice(table_, workers_, numerics_, tensor, first_row, n, transpose, role);
  }

  void rms_norm(ConstRows x, const float* weight, double eps, Rows out) const override {
    for_rows(x.rows, [&](int64_t i) { table_.rms_norm(x.row(i), weight, eps, out.row(i), x.cols); });
  }
  void head_norm(Rows x, int heads, int64_t head_stride, int dim, const float* weight,
                 double eps) const override {
    for_rows(x.rows, [&](int64_t i) {
      for (int h = 0; h < heads; ++h) {
        float* v = x.row(i) + h * head_stride;
        table_.rms_norm(v, weight, eps, v, dim);
      }
    });
  }
  void add(Rows accumulator, ConstRows x) const override {
    for_rows(x.rows, [&](int64_t i) { table_.add(accumulator.row(i), x.row(i), x.cols); });
  }
  void to_bf16(ConstRows x, uint16_t* out, int64_t out_stride) const override {
    for_rows(x.rows, [&](int64_t i) { table_.to_bf16(x.row(i), out + i * out_stride, x.cols); });
  }

  void linear(const Matrix& weight, ConstRows x, const float* bias, Rows out) const override {
    require(x.cols == weight.k && out.cols == weight.n && out.rows == x.rows, "linear: shapes");
    std::vector<Product> products;
    for (const PackedPart& part : packed(weight).parts) products.push_back({&part, x, nullptr, x.rows});
    products_.run(products, [&](const Tile& tile) {
      const PackedPart& part = *products[tile.product].part;
      store(part, tile, bias == nullptr ? nullptr : bias + part.first_output,
            out.data + part.first_output, out.stride);
    });
  }

  void linear_swiglu(const Matrix& gate_up, ConstRows x, Rows out) const override {
    const PackedMatrix& w = packed(gate_up);
    require(w.parts[0].gate_up && x.cols == w.k && out.cols == w.n / 2, "linear_swiglu: shapes");
    const Product product{&w.parts[0], x, nullptr, x.rows};
    products_.run({&product, 1}, [&](const Tile& tile) { store_swiglu(w.parts[0], tile, out); });
  }

  // As one expert that every row chose with weight 1: the gated rows stay packed.
  void mlp(const ExpertWeights& weights, ConstRows x, Rows, Rows out) const override {
    everyone_.expert.assign(static_cast<size_t>(x.rows), 0);
    everyone_.weight.assign(static_cast<size_t>(x.rows), 1.0f);
    experts({&weights, 1}, 1, everyone_, x, out);
  }

  void linear_heads(std::span<const std::unique_ptr<Matrix>> per_head, ConstRows x,
                    int64_t x_head_stride, Rows out, int64_t out_head_stride) const override {
    std::vector<Product> products;
    for (size_t h = 0; h < per_head.size(); ++h) {
      const PackedMatrix& w = packed(*per_head[h]);
      require(w.parts.size() == 1, "linear_heads: stacked matrix");
      const ConstRows from{x.data + static_cast<int64_t>(h) * x_head_stride, x.rows, w.k, x.stride};
      products.push_back({&w.parts[0], from, nullptr, x.rows});
    }
    products_.run(products, [&](const Tile& tile) {
      store(*products[tile.product].part, tile, nullptr,
            out.data + static_cast<int64_t>(tile.product) * out_head_stride, out.stride);
    });
  }

  void attention(const Attention& args) const override;
  void experts(std::span<const ExpertWeights> experts, int top_k, const Routing& routing,
               ConstRows x, Rows out) const override;
  void combine(const Routing& routing, int top_k, ConstRows y, std::span<const int32_t> place,
               Rows out) const override {
    for_rows(out.rows, [&](int64_t i) {
      std::fill(out.row(i), out.row(i) + out.cols, 0.0f);
      for (int64_t j = i * top_k; j < (i + 1) * top_k; ++j) {
        const int32_t to = 0;  // a row by itself is a panel after the other
        table_.accumulate_rows(y.row(place[static_cast<size_t>(j)]), 1, 1, out.cols, &to,
                               &routing.weight[static_cast<size_t>(j)], out.row(i), 0);
      }
    });
  }
  void head_score(const Matrix& head, ConstRows hidden, const HeadTargets& targets, float* logprob,
                  int32_t* argmax, float* argmax_logprob) const override;
  void head_logits(const Matrix& head, ConstRows hidden, Rows out) const override {
    linear(head, hidden, nullptr, out);
  }

 private:
  template <class Body>
  void for_rows(int64_t rows, const Body& body) const {
    workers_.for_shares(rows, kRowGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) body(i);
    });
  }

  // Sums to rows of `out`, whose first column is the part's first output.
  void store(const PackedPart& part, const Tile& tile, const float* bias, float* out,
             int64_t stride) const {
    const int64_t column = tile.first_panel * table_.panel;
    table_.store(tile.sums, tile.sum_rows, tile.rows, columns(part, tile, table_.panel),
                 bias == nullptr ? nullptr : bias + column, out + tile.first_row * stride + column,
                 stride);
  }
  void store_swiglu(const PackedPart& part, const Tile& tile, Rows out) const {
    table_.store_swiglu(tile.sums, tile.sum_rows, tile.rows, columns(part, tile, table_.lanes),
                        out.row(tile.first_row) + tile.first_panel * table_.lanes, out.stride);
  }
  // The part's outputs that a tile holds, `each` to a panel.
  static int64_t columns(const PackedPart& part, const Tile& tile, int64_t each) {
    return std::min(tile.panels * each, part.outputs - tile.first_panel * each);
  }

  const KernelTable& table_;
  mutable Products products_;
  mutable AlignedBuffer expert_hidden_;
  mutable Routing everyone_;
};

void PackedBackend::attention(const Attention& args) const {
  struct Task {
    const Segment* segment;
    int kv_head;
    int64_t first, last;  // of the segment's rows times the heads of the KV head, row by row
  };
  std::vector<Task> tasks;
  const auto first_head = [&](int64_t g) {  // lowest h with h * kv_heads / heads == g
    return static_cast<int>((g * args.heads + args.kv_heads - 1) / args.kv_heads);
  };
  const int64_t most = table_.attention_rows[args.kv_type == KvType::bf16 ? 1 : 0];
  for (const Segment& segment : args.segments) {
    for (int g = 0; g < args.kv_heads; ++g) {
      const int64_t all = segment.count * (first_head(g + 1) - first_head(g));
      for (int64_t first = 0; first < all; first += most) {
        tasks.push_back({&segment, g, first, std::min(all, first + most)});
      }
    }
  }
  const int64_t scratch = table_.attention_scratch(args.key_dim, args.shared_dim, args.value_dim);
  const int64_t element = args.kv_type == KvType::bf16 ? 2 : 4;
  const auto at = [&](const void* base, int64_t index) {
    return base == nullptr ? nullptr : static_cast<const char*>(base) + index * element;
  };
  workers_.for_each(static_cast<int64_t>(tasks.size()), [&](int64_t i) {
    thread_local AlignedBuffer buffer;
    buffer.reserve(static_cast<size_t>(scratch) * sizeof(float));
    const Task& task = tasks[static_cast<size_t>(i)];
    const Segment& segment = *task.segment;
    const int first = first_head(task.kv_head);
    const int group = first_head(task.kv_head + 1) - first;
    const float* query[kMostAttentionRows];
    float* out[kMostAttentionRows];
    int64_t length[kMostAttentionRows];
    AttentionTile t;
    t.rows = static_cast<int>(task.last - task.first);
    for (int r = 0; r < t.rows; ++r) {
      const int64_t row = (task.first + r) / group, head = first + (task.first + r) % group;
      query[r] = args.query.row(segment.row + row) + head * (args.key_dim + args.shared_dim);
      out[r] = args.out.row(segment.row + row) + head * args.value_dim;
      length[r] = segment.position + row + 1;
    }
    t.query = query;
    t.out = out;
    t.length = length;
    t.positions = length[t.rows - 1];
    t.slots = segment.slots;
    t.key_dim = args.key_dim;
    t.shared_dim = args.shared_dim;
    t.value_dim = args.value_dim;
    t.bf16 = args.kv_type == KvType::bf16;
    t.key = at(args.key, task.kv_head * args.key_head_stride);
    t.shared = args.key_shared;
    t.value = at(args.value, task.kv_head * args.value_head_stride);
    t.key_stride = args.key_stride;
    t.shared_stride = args.shared_stride;
    t.value_stride = args.value_stride;
    t.scale = args.scale;
    t.scratch = buffer.as<float>();
    table_.attention(t);
  });
}

void PackedBackend::experts(std::span<const ExpertWeights> experts, int top_k,
                            const Routing& routing, ConstRows x, Rows out) const {
  // Entries (row, j) sorted by expert; rows ascending within an expert.
  const auto count = static_cast<int64_t>(routing.expert.size());
  std::vector<int64_t> begin(experts.size() + 1, 0);
  for (const int32_t e : routing.expert) ++begin[static_cast<size_t>(e) + 1];
  for (size_t e = 0; e < experts.size(); ++e) begin[e + 1] += begin[e];
  std::vector<int32_t> row_of(static_cast<size_t>(count));
  std::vector<float> weight_of(static_cast<size_t>(count));
  std::vector<int64_t> next(begin.begin(), begin.end() - 1);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t p = next[static_cast<size_t>(routing.expert[i])]++;
    row_of[p] = static_cast<int32_t>(i / top_k);
    weight_of[p] = routing.weight[i];
  }
  for_rows(out.rows, [&](int64_t i) { std::fill(out.row(i), out.row(i) + out.cols, 0.0f); });

  // Groups of experts, ascending, as far as memory for their gated rows goes.
  for (size_t first = 0, last = 0; first < experts.size(); first = last) {
    std::vector<Product> up, down;
    std::vector<int64_t> offset;  // bytes to the gated rows of each product
    int64_t bytes = 0;
    for (last = first; last < experts.size(); ++last) {
      const int64_t rows = begin[last + 1] - begin[last];
      if (rows == 0) continue;
      const PackedMatrix& gate_up = packed(*experts[last].gate_up);
      const PackedMatrix& w = packed(*experts[last].down);
      require(gate_up.parts[0].gate_up && gate_up.k == x.cols && w.parts.size() == 1 &&
                  w.k == gate_up.n / 2 && w.n == out.cols,
              "experts: shapes");
      const bool tiles = products_.takes_packed(w.parts[0]);
      const int64_t more = tiles ? products_.packed_layout(w.parts[0], rows).bytes
                                 : rows * w.k * static_cast<int64_t>(sizeof(float));
      if (!up.empty() && bytes + more > kExpertBytes) break;
      up.push_back({&gate_up.parts[0], x, row_of.data() + begin[last], rows});
      down.push_back({&w.parts[0], {}, nullptr, rows});
      offset.push_back(bytes);
      bytes += (more + 63) / 64 * 64;
    }
    if (up.empty()) continue;
    expert_hidden_.reserve(static_cast<size_t>(bytes));
    for (size_t i = 0; i < down.size(); ++i) {
      uint8_t* hidden = expert_hidden_.as<uint8_t>() + offset[i];
      const int64_t k = down[i].part->k;
      if (products_.takes_packed(*down[i].part)) {
        down[i].packed = hidden;
      } else {
        down[i].x = ConstRows(reinterpret_cast<float*>(hidden), down[i].rows, k, k);
      }
    }
    const auto gate = [&](const Tile& tile) {
      const PackedPart& part = *up[tile.product].part;
      uint8_t* hidden = expert_hidden_.as<uint8_t>() + offset[tile.product];
      if (down[tile.product].packed == nullptr) {
        store_swiglu(part, tile,
                     Rows{reinterpret_cast<float*>(hidden), up[tile.product].rows, part.outputs,
                          part.outputs});
        return;
      }
      const PackedLayout layout =
          products_.packed_layout(*down[tile.product].part, up[tile.product].rows);
      table_.store_swiglu_packed(tile.sums, tile.sum_rows, tile.rows,
                                 columns(part, tile, table_.lanes),
                                 hidden + tile.first_row / 32 * (layout.block * 64),
                                 tile.first_panel * table_.lanes, layout.block, layout.block_bytes);
    };
    products_.run(up, gate, 2);
    // Entries of the group's experts lie one after another from `entries` on.
    std::vector<int64_t> entries;
    for (const Product& product : up) entries.push_back(product.gather - row_of.data());
    const auto combine = [&](const Tile& tile) {
      const int64_t entry = entries[tile.product] + tile.first_row;
      const int64_t column = tile.first_panel * table_.panel;
      table_.accumulate_rows(tile.sums, tile.sum_rows, tile.rows,
                             columns(*down[tile.product].part, tile, table_.panel),
                             row_of.data() + entry, weight_of.data() + entry, out.data + column,
                             out.stride);
    };
    products_.run(down, combine, 1, Order::by_product);
  }
}

void PackedBackend::head_score(const Matrix& head, ConstRows hidden, const HeadTargets& targets,
                               float* logprob, int32_t* argmax, float* argmax_logprob) const {
  const PackedMatrix& w = packed(head);
  require(w.parts.size() == 1 && hidden.cols == w.k, "head_score: shapes");
  const PackedPart& part = w.parts[0];
  const int unit = products_.summary_panels();
  const int64_t units = (part.panels + unit - 1) / unit;
  struct Summary {  // of one row and 128 tokens of the vocabulary
    float maximum, sum;
    int32_t index;
  };
  std::vector<Summary> summaries;
  for (int64_t begin = 0; begin < hidden.rows; begin += kHeadRows) {
    const int64_t rows = std::min(kHeadRows, hidden.rows - begin);
    summaries.resize(static_cast<size_t>(rows * units));
    const Product product{&part, ConstRows(hidden.row(begin), rows, hidden.cols, hidden.stride),
                          nullptr, rows};
    const auto summarise = [&](const Tile& tile) {
      const int64_t panel_stride = static_cast<int64_t>(tile.sum_rows) * table_.panel;
      const int64_t first = tile.first_panel * table_.panel;
      const int64_t columns = std::min<int64_t>(tile.panels * table_.panel, part.outputs - first);
      for (int r = 0; r < tile.rows; ++r) {
        float* sums = tile.sums + r * table_.panel;
        const auto logit = [&](int64_t column) -> float& {
          return sums[column / table_.panel * panel_stride + column % table_.panel];
        };
        for (int64_t c = columns; c < tile.panels * table_.panel; ++c) {
          logit(c) = -std::numeric_limits<float>::infinity();
        }
        const int64_t row = tile.first_row + r;
        Summary* s = &summaries[static_cast<size_t>(row * units + tile.first_panel / unit)];
        for (int p = 0; p < tile.panels; p += unit, ++s) {
          table_.log_sum(sums + p * panel_stride, panel_stride, std::min(unit, tile.panels - p),
                         &s->maximum, &s->sum, &s->index);
          s->index += static_cast<int32_t>(first) + p * table_.panel;
        }
        for (int32_t t = targets.first[begin + row]; t < targets.first[begin + row + 1]; ++t) {
          const int64_t column = targets.target[t] - first;
          if (column >= 0 && column < columns) logprob[t] = logit(column);
        }
      }
    };
    products_.run({&product, 1}, summarise, unit);
    for_rows(rows, [&](int64_t row) {
      const Summary* s = &summaries[static_cast<size_t>(row * units)];
      const Summary* best = s;
      for (int64_t t = 1; t < units; ++t) {
        if (s[t].maximum > best->maximum) best = s + t;  // ties: the lower index stays
      }
      double sum = 0;
      for (int64_t t = 0; t < units; ++t) {
        sum += static_cast<double>(s[t].sum) * exp_f32(s[t].maximum - best->maximum);
      }
      const double log_sum = best->maximum + log_f64(sum);
      const int64_t r = begin + row;
      for (int32_t t = targets.first[r]; t < targets.first[r + 1]; ++t) {
        logprob[t] = static_cast<float>(logprob[t] - log_sum);
      }
      if (argmax != nullptr) argmax[r] = best->index;
      if (argmax_logprob != nullptr) argmax_logprob[r] = static_cast<float>(best->maximum - log_sum);
    });
  }
}

}  // namespace

std::unique_ptr<Backend> make_packed_backend(const KernelTable& table, Kernels kernels,
                                             Numerics numerics, const Workers& workers,
                                             bool ue8m0_activations) {
  return std::make_unique<PackedBackend>(table, kernels, numerics, workers, ue8m0_activations);
}

}  // namespace assay::engine::ops
