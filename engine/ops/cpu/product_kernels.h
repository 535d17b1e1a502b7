// Matrix products over the vector abstraction V: packing, blocked and thin products, epilogues.
//
//   y[i][n] = sum over k of x[i][k] * w[n][k]
//
// Tile: V::kTileRows rows by one panel (two vectors) in registers. AVX2: 6 x 16 is 12 accumulators,
// two weight vectors and a broadcast in 16 registers, and 12 >= latency 4 x 2 FMA a cycle.
// AVX-512: 12 x 32 is 24 accumulators of 32 registers. A tile reads 2 weight vectors and broadcasts
// kTileRows activations for 2 * kTileRows multiply-adds, within two loads a cycle.
// The weight panel is converted (bf16, e4m3) once per K block into L1 and used by every tile.
#pragma once

#include "engine/ops/cpu/kernel_table.h"
#include "engine/ops/cpu/vector_math.h"

namespace assay::engine::ops {

template <class V>
inline constexpr int kPanel = 2 * V::kLanes;

// fp32 activations times fp32 weights, one k a step.
template <class V>
struct Fp32Step {
  using Activation = float;
  using Weight = float;
  using X = typename V::F;
  static constexpr int kColumns = 1;
  static X weight(const float* p) { return V::load(p); }
  static X activation(const float* p) { return V::set1(*p); }
  static typename V::F multiply_add(X a, X b, typename V::F c) { return V::fma(a, b, c); }
};

// Weights that are wanted next, fetched a few lines at a time between products: one core's share of a
// panel's block arrives while the tiles of the one before are multiplied.
struct NextWeights {
  const char* at = nullptr;
  const char* end = nullptr;
  int lines = 0;  // a step
  void step() {
    if (at >= end) return;
    for (int i = 0; i < lines; ++i) __builtin_prefetch(at + i * 64, 0, 2);
    at += lines * 64;
  }
};

// Products of one tile: R rows; activation of row r and column k at r * RowStride + k * ColumnStride;
// weights [k][panel]. With kScaled: sums = fma(dot * row scale, weight scale, sums), else the chain goes on in sums.
template <class V, class Step, int R, int RowStride, int ColumnStride, bool kScaled>
inline void tile_product(const typename Step::Activation* a, const typename Step::Weight* b,
                         int columns, float* sums, int64_t sum_stride, bool first,
                         const float* weight_scale, const float* row_scale,
                         int64_t row_scale_stride, NextWeights& next) {
  using F = typename V::F;
  F acc[R][2];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    if (kScaled || first) {
      acc[r][0] = acc[r][1] = V::zero();
    } else {
      acc[r][0] = V::load(sums + r * sum_stride);
      acc[r][1] = V::load(sums + r * sum_stride + V::kLanes);
    }
  }
  constexpr int kLine = 64 / sizeof(typename Step::Activation);
  for (int line = 0; line < columns; line += kLine) {
    // NOTES: the next tile's rows are too short for the hardware prefetcher (4 % at 192 rows).
    if constexpr (ColumnStride == 1) {
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) __builtin_prefetch(a + (R + r) * RowStride + line);
    }
    next.step();
    const int end = columns < line + kLine ? columns : line + kLine;
#pragma GCC unroll 4
    for (int k = line; k < end; k += Step::kColumns) {
      const auto b0 = Step::weight(b + k * kPanel<V>);
      const auto b1 = Step::weight(b + k * kPanel<V> + V::kLanes * Step::kColumns);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const auto x = Step::activation(a + r * RowStride + k * ColumnStride);
        acc[r][0] = Step::multiply_add(x, b0, acc[r][0]);
        acc[r][1] = Step::multiply_add(x, b1, acc[r][1]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    float* to = sums + r * sum_stride;
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half, to += V::kLanes) {
      F value = acc[r][half];
      if (kScaled) {
        if (row_scale != nullptr) {
          value = V::mul(value, V::set1(row_scale[r * row_scale_stride]));
        }
        const F sum = first ? V::zero() : V::load(to);
        value = V::fma(value, V::load(weight_scale + half * V::kLanes), sum);
      }
      V::store(to, value);
    }
  }
}

// tile_product for `rows` <= R.
template <class V, class Step, int R, int RowStride, int ColumnStride, bool kScaled, class... Rest>
inline void tile_product_rows(int rows, Rest&&... rest) {
  if (rows >= R) {
    tile_product<V, Step, R, RowStride, ColumnStride, kScaled>(rest...);
  } else if constexpr (R > 1) {
    tile_product_rows<V, Step, R - 1, RowStride, ColumnStride, kScaled>(rows, rest...);
  }
}

// All tiles of a block of rows.
template <class V, class Step, int RowStride, bool kScaled>
inline void rows_product(const BlockProduct& p, const typename Step::Weight* b) {
  constexpr int kRows = V::kTileRows;
  const auto* a = static_cast<const typename Step::Activation*>(p.activations);
  const int columns = p.columns + (p.columns & 1);
  constexpr int kLine = 64 / sizeof(typename Step::Activation);
  // Tiles of about equal height: a last one of a row or two would have too few sums to hide the latency of
  // multiply-add (AVX2, 8 rows: 4 + 4, not 6 + 2).
  const int tiles = (p.rows + kRows - 1) / kRows;
  const int64_t steps = static_cast<int64_t>(tiles) * ((columns + kLine - 1) / kLine);
  NextWeights next;
  if (p.next != nullptr) {
    next.at = static_cast<const char*>(p.next);
    next.end = next.at + p.next_bytes;
    next.lines = static_cast<int>((p.next_bytes / 64 + steps - 1) / steps);
  }
  for (int tile = 0; tile < tiles; ++tile) {
    const int row = p.rows * tile / tiles, height = p.rows * (tile + 1) / tiles - row;
    const float* row_scale =
        p.row_scale == nullptr ? nullptr : p.row_scale + row * p.row_scale_stride;
    tile_product_rows<V, Step, kRows, RowStride, 1, kScaled>(
        height, a + row * RowStride, b, columns, p.sums + static_cast<int64_t>(row) * kPanel<V>,
        static_cast<int64_t>(kPanel<V>), p.first, p.weight_scale, row_scale, p.row_scale_stride, next);
  }
}

// bf16 pairs [k/2][panel][2] to fp32 [k][panel].
template <class V>
inline void widen_panel(const uint16_t* in, int columns, float* out) {
  for (int k = 0; k < columns; k += 2, in += 2 * kPanel<V>, out += 2 * kPanel<V>) {
    for (int half = 0; half < 2; ++half) {
      typename V::F even, odd;
      V::load_pairs(in + half * 2 * V::kLanes, even, odd);
      V::store(out + half * V::kLanes, even);
      V::store(out + kPanel<V> + half * V::kLanes, odd);
    }
  }
}

template <class V>
void block_product(const BlockProduct& p) {
  using Bf16Step = typename V::Bf16Step;
  const int columns = p.columns + (p.columns & 1);
  auto* wide = static_cast<float*>(p.scratch);
  if (p.storage == Storage::e4m3) {
    auto* converted = static_cast<typename Bf16Step::Weight*>(p.scratch);
    const auto* in = static_cast<const uint8_t*>(p.weights);
    for (int k = 0; k < columns; k += 2) {
      V::convert_e4m3(in + k * kPanel<V>, converted + k * kPanel<V>);
    }
    rows_product<V, Bf16Step, kScaledBlock, true>(p, converted);
  } else if (p.storage == Storage::f32) {
    rows_product<V, Fp32Step<V>, kBlock, false>(p, static_cast<const float*>(p.weights));
  } else if (p.operand == Operand::f32 || sizeof(typename Bf16Step::Weight) == sizeof(float)) {
    widen_panel<V>(static_cast<const uint16_t*>(p.weights), columns, wide);
    rows_product<V, Fp32Step<V>, kBlock, false>(p, wide);
  } else if constexpr (sizeof(typename Bf16Step::Weight) == sizeof(uint16_t)) {
    rows_product<V, Bf16Step, kBlock, false>(p, static_cast<const uint16_t*>(p.weights));
  }
}

// --- few rows -----------------------------------------------------------------------------------

// Weight sources of the thin product: two k's of one panel as steps of multiply_add.
template <class V>
struct ThinF32 {
  using Step = Fp32Step<V>;
  static constexpr int64_t kBytes = 4;
  static constexpr int kSteps = 2;  // multiply-add steps in two k's
  static void load(const uint8_t* p, typename V::F (&w)[2][2]) {
    const auto* f = reinterpret_cast<const float*>(p);
    for (int k = 0; k < 2; ++k) {
      for (int half = 0; half < 2; ++half) w[k][half] = V::load(f + k * kPanel<V> + half * V::kLanes);
    }
  }
};
template <class V>
struct ThinBf16 {
  using Step = Fp32Step<V>;
  static constexpr int64_t kBytes = 2;
  static constexpr int kSteps = 2;
  static void load(const uint8_t* p, typename V::F (&w)[2][2]) {
    const auto* h = reinterpret_cast<const uint16_t*>(p);
    V::load_pairs(h, w[0][0], w[1][0]);
    V::load_pairs(h + 2 * V::kLanes, w[0][1], w[1][1]);
  }
};

// Bytes ahead of what is multiplied: the hardware stops at the end of a page, and several streams at once
// exceed what it follows (one row: 74 - 78 % of read bandwidth without, 88 - 96 % with).
constexpr int64_t kThinPrefetch = 2048;

// R rows, P panels: 2 * R * P accumulators.
template <class V, class Source, int R, int P, int RowStride, bool kScaled>
inline void thin_tile(const ThinProduct& t, int first_panel) {
  using Step = typename Source::Step;
  using F = typename V::F;
  using Activation = typename Step::Activation;
  constexpr int kColumns = RowStride;  // a K block
  constexpr int64_t kStepBytes = Source::kBytes * 2 * kPanel<V>;
  const int64_t blocks = (t.k + kColumns - 1) / kColumns;
  const uint8_t* weights[P];
  for (int p = 0; p < P; ++p) weights[p] = t.weights + (first_panel + p) * t.panel_bytes;
  F acc[P][R][2], total[P][R][2];
#pragma GCC unroll 32
  for (int i = 0; i < P * R * 2; ++i) {
    acc[i / (2 * R)][i / 2 % R][i % 2] = V::zero();
    if constexpr (kScaled) total[i / (2 * R)][i / 2 % R][i % 2] = V::zero();
  }
  for (int64_t block = 0; block < blocks; ++block) {
    const auto* a = reinterpret_cast<const Activation*>(t.activations + block * t.block_bytes);
    const int columns = static_cast<int>(t.k - block * kColumns < kColumns ? t.k - block * kColumns
                                                                           : kColumns);
    // The end of a panel fetches the beginning of the one that this stream reads next.
    constexpr int kTail = static_cast<int>(kThinPrefetch / kStepBytes * 2);
    const int tail = block + 1 < blocks ? columns : columns < kTail ? 0 : columns - kTail;
    for (int begin = 0; begin < columns;) {
      const int end = begin < tail ? tail : columns;
      const int64_t ahead = kThinPrefetch + (begin < tail ? 0 : (P - 1) * t.panel_bytes);
      for (int k = begin; k < end; k += 2) {
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) {
          typename Step::X w[Source::kSteps][2];
          Source::load(weights[p], w);
          for (int64_t line = 0; line < kStepBytes; line += 64) {
            __builtin_prefetch(weights[p] + ahead + line, 0, 3);
          }
          weights[p] += kStepBytes;
#pragma GCC unroll 2
          for (int s = 0; s < Source::kSteps; ++s) {
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r) {
              const auto x = Step::activation(a + r * RowStride + k + s);
              acc[p][r][0] = Step::multiply_add(x, w[s][0], acc[p][r][0]);
              acc[p][r][1] = Step::multiply_add(x, w[s][1], acc[p][r][1]);
            }
          }
        }
      }
      begin = end;
    }
    if constexpr (kScaled) {
      for (int p = 0; p < P; ++p) {
        const float* scale = t.weight_scale + ((first_panel + p) * blocks + block) * kPanel<V>;
        for (int r = 0; r < R; ++r) {
          for (int half = 0; half < 2; ++half) {
            F value = acc[p][r][half];
            if (t.row_scale != nullptr) {
              value = V::mul(value, V::set1(t.row_scale[r * blocks + block]));
            }
            total[p][r][half] =
                V::fma(value, V::load(scale + half * V::kLanes), total[p][r][half]);
            acc[p][r][half] = V::zero();
          }
        }
      }
    }
  }
  for (int p = 0; p < P; ++p) {
    for (int r = 0; r < R; ++r) {
      float* to = t.sums + ((first_panel + p) * t.rows + r) * kPanel<V>;
      for (int half = 0; half < 2; ++half) {
        if constexpr (kScaled) {
          V::store(to + half * V::kLanes, total[p][r][half]);
        } else {
          V::store(to + half * V::kLanes, acc[p][r][half]);
        }
      }
    }
  }
}

// Enough panels at once for eight accumulators: they hide the latency of multiply-add, and several
// streams keep more reads in flight.
template <class V, class Source, int R, int RowStride, bool kScaled>
inline void thin_rows(const ThinProduct& t) {
  constexpr int kPanels = R == 1 ? 4 : R == 2 ? 2 : 1;
  int p = 0;
  for (; p + kPanels <= t.panels; p += kPanels) {
    thin_tile<V, Source, R, kPanels, RowStride, kScaled>(t, p);
  }
  for (; p < t.panels; ++p) thin_tile<V, Source, R, 1, RowStride, kScaled>(t, p);
}

template <class V, class Source, int R, int RowStride, bool kScaled>
inline void thin_any(const ThinProduct& t) {
  if (t.rows >= R) {
    thin_rows<V, Source, R, RowStride, kScaled>(t);
  } else if constexpr (R > 1) {
    thin_any<V, Source, R - 1, RowStride, kScaled>(t);
  }
}

template <class V>
void thin_product(const ThinProduct& t) {
  constexpr int kRows = V::kTileRows;
  if (t.storage == Storage::e4m3) {
    thin_any<V, typename V::ThinE4m3, kRows, kScaledBlock, true>(t);
  } else if (t.storage == Storage::f32) {
    thin_any<V, ThinF32<V>, kRows, kBlock, false>(t);
  } else if (t.operand == Operand::f32) {
    thin_any<V, ThinBf16<V>, kRows, kBlock, false>(t);
  } else {
    thin_any<V, typename V::ThinBf16Operand, kRows, kBlock, false>(t);
  }
}

// --- packing ------------------------------------------------------------------------------------

template <class V>
void pack_f32(const float* const* rows, int64_t k, void* out) {
  auto* to = static_cast<float*>(out);
  for (int j = 0; j < kPanel<V>; ++j) {
    for (int64_t i = 0; i < k + (k & 1); ++i) {
      to[i * kPanel<V> + j] = rows[j] != nullptr && i < k ? rows[j][i] : 0.0f;
    }
  }
}

// Columns [begin, begin + 2 * kLanes) of a panel whose rows all exist: pairs of columns are transposed as lanes.
template <class V>
inline void pack_bf16_pairs(const uint16_t* const* rows, int64_t begin, uint16_t* to) {
  for (int first = 0; first < kPanel<V>; first += V::kLanes) {
    typename V::F pairs[V::kLanes];
    for (int j = 0; j < V::kLanes; ++j) pairs[j] = V::load(reinterpret_cast<const float*>(rows[first + j] + begin));
    V::transpose(pairs);
    for (int i = 0; i < V::kLanes; ++i) {
      V::store(reinterpret_cast<float*>(to + (begin + 2 * i) * kPanel<V> + 2 * first), pairs[i]);
    }
  }
}

template <class V>
void pack_bf16(const uint16_t* const* rows, int64_t k, void* out) {
  auto* to = static_cast<uint16_t*>(out);
  const int64_t padded = k + (k & 1);
  bool whole = true;
  for (int j = 0; j < kPanel<V>; ++j) whole = whole && rows[j] != nullptr;
  int64_t begin = 0;
  for (; whole && begin + 2 * V::kLanes <= k; begin += 2 * V::kLanes) pack_bf16_pairs<V>(rows, begin, to);
  for (; begin < padded; begin += 2) {
    for (int j = 0; j < kPanel<V>; ++j) {
      const uint16_t* row = rows[j];
      uint16_t* pair = to + (begin * kPanel<V> + 2 * j);
      pair[0] = row != nullptr ? row[begin] : 0;
      pair[1] = row != nullptr && begin + 1 < k ? row[begin + 1] : 0;
    }
  }
}

template <class V>
void pack_e4m3(const uint8_t* const* rows, int64_t k, void* out) {
  auto* to = static_cast<uint8_t*>(out);
  const int64_t padded = k + (k & 1);
  for (int64_t begin = 0; begin < padded; begin += 64) {
    const int64_t end = padded < begin + 64 ? padded : begin + 64;
    for (int j = 0; j < kPanel<V>; ++j) {
      const uint8_t* row = rows[j];
      for (int64_t i = begin; i < end; i += 2) {
        uint8_t* pair = to + i * kPanel<V>;
        pair[V::e4m3_index(j, 0)] = row != nullptr ? row[i] : 0;
        pair[V::e4m3_index(j, 1)] = row != nullptr && i + 1 < k ? row[i + 1] : 0;
      }
    }
  }
}

// Loads n < kLanes floats, zeros above.
template <class V>
inline typename V::F load_some(const float* x, int n) {
  alignas(64) float buffer[V::kLanes] = {};
  for (int i = 0; i < n; ++i) buffer[i] = x[i];
  return V::load(buffer);
}

template <class V>
void pack_row(Operand operand, const float* x, int columns, void* out, bool ue8m0, float* scale) {
  using F = typename V::F;
  using Bf16 = typename V::Bf16Step::Activation;
  F divisor = V::set1(1.0f);
  if (operand == Operand::fp8) {
    F top = V::zero();
    for (int i = 0; i < columns; i += V::kLanes) {
      const int n = columns - i;
      top = V::max(top, V::abs(n >= V::kLanes ? V::load(x + i) : load_some<V>(x + i, n)));
    }
    // amax / 448, amax at least 1e-4; ue8m0: up to the next power of two.
    float amax = V::maximum(top);
    amax = (amax > 1e-4f ? amax : 1e-4f) / 448.0f;
    if (ue8m0) {
      uint32_t bits;
      __builtin_memcpy(&bits, &amax, 4);
      bits = (bits + 0x007fffffu) & 0xff800000u;
      __builtin_memcpy(&amax, &bits, 4);
    }
    *scale = amax;
    divisor = V::set1(amax);
  }
  for (int i = 0; i < columns; i += V::kLanes) {
    const int n = columns - i;
    F v = n >= V::kLanes ? V::load(x + i) : load_some<V>(x + i, n);
    if (operand == Operand::fp8) v = V::round_e4m3(V::div(v, divisor));
    if (operand == Operand::f32) {
      V::store(static_cast<float*>(out) + i, v);
    } else {
      V::store_operand(static_cast<Bf16*>(out) + i, v);  // rounds to bf16
    }
  }
}

// --- epilogues ----------------------------------------------------------------------------------

template <class V>
inline void store_some(float* to, typename V::F v, int n) {
  if (n >= V::kLanes) {
    V::store(to, v);
  } else if (n > 0) {
    alignas(64) float buffer[V::kLanes];
    V::store(buffer, v);
    for (int i = 0; i < n; ++i) to[i] = buffer[i];
  }
}

// Row by row over all panels: a row's outputs are neighbours, rows are pages apart.
template <class V>
void store_rows(const float* sums, int sum_rows, int rows, int64_t columns, const float* bias,
                float* out, int64_t stride) {
  const int64_t panel = static_cast<int64_t>(sum_rows) * kPanel<V>;
  for (int r = 0; r < rows; ++r, out += stride) {
    const float* from = sums + r * kPanel<V>;
    for (int64_t c = 0; c < columns; c += kPanel<V>, from += panel) {
      for (int half = 0; half < 2; ++half) {
        const int64_t at = c + half * V::kLanes;
        const int n = columns - at < V::kLanes ? static_cast<int>(columns - at) : V::kLanes;
        if (n <= 0) break;
        typename V::F v = V::load(from + half * V::kLanes);
        if (bias != nullptr) {
          v = V::add(v, n == V::kLanes ? V::load(bias + at) : load_some<V>(bias + at, n));
        }
        store_some<V>(out + at, v, n);
      }
    }
  }
}

// silu(gate) * up of one row of a panel.
template <class V>
inline typename V::F swiglu_of(const float* sums) {
  return V::mul(vector_silu<V>(V::load(sums)), V::load(sums + V::kLanes));
}

template <class V>
void store_swiglu(const float* sums, int sum_rows, int rows, int64_t columns, float* out,
                  int64_t stride) {
  const int64_t panel = static_cast<int64_t>(sum_rows) * kPanel<V>;
  for (int r = 0; r < rows; ++r, out += stride) {
    const float* from = sums + r * kPanel<V>;
    for (int64_t c = 0; c < columns; c += V::kLanes, from += panel) {
      const int n = columns - c < V::kLanes ? static_cast<int>(columns - c) : V::kLanes;
      store_some<V>(out + c, swiglu_of<V>(from), n);
    }
  }
}

template <class V>
void log_sum(const float* sums, int64_t panel_stride, int panels, float* maximum, float* sum,
             int32_t* index) {
  typename V::F top = V::load(sums);
  for (int p = 0; p < panels; ++p) {
    top = V::max(top, V::max(V::load(sums + p * panel_stride),
                             V::load(sums + p * panel_stride + V::kLanes)));
  }
  const float m = V::maximum(top);
  const auto shift = V::set1(m);
  typename V::F total = V::zero();
  for (int p = 0; p < panels; ++p) {
    for (int half = 0; half < 2; ++half) {
      const auto x = V::load(sums + p * panel_stride + half * V::kLanes);
      total = V::add(total, vector_exp<V>(V::sub(x, shift)));
    }
  }
  *maximum = m;
  *sum = V::sum(total);
  *index = 0;
  for (int p = 0; p < panels; ++p) {
    for (int j = 0; j < kPanel<V>; ++j) {
      if (sums[p * panel_stride + j] == m) {
        *index = p * kPanel<V> + j;
        return;
      }
    }
  }
}

}  // namespace assay::engine::ops
