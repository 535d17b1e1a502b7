// AMX kernels: matrix products of bf16 operands by TDPBF16PS, everything else as in AVX-512.
//
//   y[i][n] = sum over k of x[i][k] * w[n][k]
//
// Tile: 32 rows x 32 outputs in four tile registers of 16 x 16 sums; a step of 32 k loads two tiles
// of activations and two of weights (4 KiB, 64 cache lines) for four products (64 cycles). The
// second-level cache feeds 28 to 42 bytes a cycle of that, so ten steps of weights are kept in the first
// and the sums put down between. The panel layout of the weights ([k/2][32 outputs][2]) holds both
// weight tiles of a step, 128 bytes between rows. Activations are packed tile by tile, 1 KiB each.
//
// Accumulation order, the only one of this profile, whatever the number of rows: k in steps of 32,
// ascending. Within a step TDPBF16PS sums the 16 even and the 16 odd products from zero, k ascending,
// adds the two sums, then adds that to the output; every addition to nearest even, subnormal operands
// and results taken as zero. K blocks (Products) store and reload the fp32 sums, which changes no
// bits. With block scales a block of 128 is summed from zero, and
// sums = fma(dot * row scale, weight scale, sums) in AVX-512, interleaved with the next block's tiles.
// One row uses the same instruction: reading weights binds long before the 16 cycles a KiB do.
//
// e4m3 weights are converted once per task, a step ahead of the first row tile's products.
#include "engine/ops/cpu/amx_tiles.h"
#include "engine/ops/cpu/avx512_vector.h"

namespace assay::engine::ops {

namespace {

constexpr int kPanelWidth = 32;
// Steps after which sums are put down: 20 KiB of weights then stay in the first-level cache for all row
// tiles (two streams from the second level would feed less than half of the multiplier's rate).
constexpr int kChunk = 10;
// Rows up to which reading weights binds.
constexpr int kFewRows = 64;
constexpr int kScaledSteps = kScaledBlock / kStep;

// Where the next panel's weights are, so that they are on their way while this one is multiplied.
struct Prefetch {
  const uint8_t *next, *end;
  int lines;  // a product; a few at a time, or they take all of the core's outstanding reads
  void step() {
    if (next >= end) return;
    for (int i = 0; i < lines; ++i) _mm_prefetch(next + i * 64, _MM_HINT_T1);
    next += lines * 64;
  }
};

// Sums of one row tile in tile registers 0..3: rows 0-15 and 16-31 by outputs 0-15 and 16-31.
template <bool kBothHalves>
struct SumTiles {
  static constexpr int kRowBytes = kPanelWidth * sizeof(float);
  static void zero() {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (kBothHalves) {
      _tile_zero(2);
      _tile_zero(3);
    }
  }
  static void load(const float* sums) {
    _tile_loadd(0, sums, kRowBytes);
    _tile_loadd(1, sums + 16, kRowBytes);
    if constexpr (kBothHalves) {
      _tile_loadd(2, sums + 16 * kPanelWidth, kRowBytes);
      _tile_loadd(3, sums + 16 * kPanelWidth + 16, kRowBytes);
    }
  }
  static void store(float* sums) {
    _tile_stored(0, sums, kRowBytes);
    _tile_stored(1, sums + 16, kRowBytes);
    if constexpr (kBothHalves) {
      _tile_stored(2, sums + 16 * kPanelWidth, kRowBytes);
      _tile_stored(3, sums + 16 * kPanelWidth + 16, kRowBytes);
    }
  }
  // a: a step of activations; b: of weights.
  static void multiply(const uint8_t* a, const uint8_t* b, Prefetch& prefetch) {
    _tile_loadd(4, a, 64);
    _tile_loadd(6, b, 128);
    _tile_dpbf16ps(0, 4, 6);
    prefetch.step();
    _tile_loadd(7, b + 64, 128);
    _tile_dpbf16ps(1, 4, 7);
    prefetch.step();
    if constexpr (kBothHalves) {
      _tile_loadd(5, a + kTile, 64);
      _tile_dpbf16ps(2, 5, 6);
      prefetch.step();
      _tile_dpbf16ps(3, 5, 7);
      prefetch.step();
    }
  }
};

template <bool kBothHalves>
inline void plain_tile(const uint8_t* a, const uint8_t* b, int steps, bool first, float* sums,
                       Prefetch& prefetch) {
  using Sums = SumTiles<kBothHalves>;
  if (first) {
    Sums::zero();
  } else {
    Sums::load(sums);
  }
  for (int s = 0; s < steps; ++s, a += kStepBytes, b += kStepBytes) {
    Sums::multiply(a, b, prefetch);
  }
  Sums::store(sums);
}

// A step of e4m3 weights ([k/2][64], e4m3_pair_index) to bf16 pairs.
inline void convert_step(const uint8_t* in, uint8_t* out) {
  auto* to = reinterpret_cast<uint16_t*>(out);
#pragma GCC unroll 4
  for (int i = 0; i < kStep / 2; ++i) Avx512::convert_e4m3(in + i * 64, to + i * 64);
}

// Rows [begin, end) of a row tile: sums = fma(dot * row scale, weight scale, sums).
struct Scaling {
  const float* dot = nullptr;  // [32][32]
  float* sums;
  int rows;
  bool first;
  const float* weight_scale;
  const float* row_scale;
  int64_t row_scale_stride;

  void apply(int begin, int end) const {
    if (dot == nullptr) return;
    const __m512 w0 = _mm512_loadu_ps(weight_scale), w1 = _mm512_loadu_ps(weight_scale + 16);
    for (int r = begin; r < (end < rows ? end : rows); ++r) {
      __m512 a = _mm512_load_ps(dot + r * kPanelWidth), b = _mm512_load_ps(dot + r * kPanelWidth + 16);
      if (row_scale != nullptr) {
        const __m512 s = _mm512_set1_ps(row_scale[r * row_scale_stride]);
        a = _mm512_mul_ps(a, s);
        b = _mm512_mul_ps(b, s);
      }
      float* to = sums + r * kPanelWidth;
      const __m512 from0 = first ? _mm512_setzero_ps() : _mm512_load_ps(to);
      const __m512 from1 = first ? _mm512_setzero_ps() : _mm512_load_ps(to + 16);
      _mm512_store_ps(to, _mm512_fmadd_ps(a, w0, from0));
      _mm512_store_ps(to + 16, _mm512_fmadd_ps(b, w1, from1));
    }
  }
};

// One panel and K block of block-scaled weights, in chunks that stay in the first-level cache once they
// are converted. The scaling of a block of 128 is done between the products of the one after it.
class ScaledPanel {
 public:
  explicit ScaledPanel(const MatrixProduct& p) : p_(p) {}

  void run(int panel, int64_t first_column, int steps, const uint8_t* activations,
           Prefetch& prefetch) {
    const uint8_t* in = p_.weights + panel * p_.panel_bytes + first_column * kPanelWidth;
    const int64_t scale_blocks = (p_.k + kScaledBlock - 1) / kScaledBlock;
    for (int begin = 0; begin < steps; begin += kScaledChunk) {
      const int count = steps - begin < kScaledChunk ? steps - begin : kScaledChunk;
      const int64_t block = (first_column / kStep + begin) / kScaledSteps;
      const uint8_t* convert = in + begin * kTile;
      convert_step(convert, weights_);
      const uint8_t* a = activations + begin * kStepBytes;
      for (int row = 0; row < p_.rows; row += 32, a += p_.block / kStep * kStepBytes) {
        Scaling next;
        next.rows = p_.rows - row;
        next.sums = p_.sums + (static_cast<int64_t>(panel) * p_.sum_rows + row) * kPanelWidth;
        next.first = block == 0;
        next.weight_scale = p_.weight_scale + (panel * scale_blocks + block) * kPanelWidth;
        next.row_scale =
            p_.row_scale == nullptr ? nullptr : p_.row_scale + row * scale_blocks + block;
        next.row_scale_stride = scale_blocks;
        const uint8_t* from = row == 0 ? convert : nullptr;
        if (next.rows > 16) {
          tile<true>(a, count, next, from, prefetch);
        } else {
          tile<false>(a, count, next, from, prefetch);
        }
      }
    }
  }
  void finish() {
    pending_.apply(0, 32);
    pending_.dot = nullptr;
  }

 private:
  static constexpr int kScaledChunk = 2 * kScaledSteps;

  // `steps` of a row tile; from: e4m3 weights to convert on the way, or null.
  template <bool kBothHalves>
  void tile(const uint8_t* a, int steps, Scaling next, const uint8_t* from, Prefetch& prefetch) {
    using Sums = SumTiles<kBothHalves>;
    for (int s = 0; s < steps; s += kScaledSteps) {
      const int count = steps - s < kScaledSteps ? steps - s : kScaledSteps;
      Sums::zero();
      for (int i = 0; i < count; ++i, a += kStepBytes) {
        if (from != nullptr && s + i + 1 < steps) {
          convert_step(from + (s + i + 1) * kTile, weights_ + (s + i + 1) * kStepBytes);
        }
        Sums::multiply(a, weights_ + (s + i) * kStepBytes, prefetch);
        pending_.apply(8 * i, i + 1 == count ? 32 : 8 * i + 8);
      }
      float* dot = dots_[which_];
      which_ ^= 1;
      Sums::store(dot);
      pending_ = next;
      pending_.dot = dot;
      next.first = false;
      next.weight_scale += kPanelWidth;
      if (next.row_scale != nullptr) ++next.row_scale;
    }
  }

  const MatrixProduct& p_;
  Scaling pending_{};
  int which_ = 0;
  alignas(64) float dots_[2][32 * kPanelWidth];
  alignas(64) uint8_t weights_[kScaledChunk * kStepBytes];
};

// One panel and K block of bf16 weights.
void plain_panel(const MatrixProduct& p, int panel, int64_t first_column, int steps,
                 const uint8_t* activations, Prefetch& prefetch) {
  const uint8_t* weights = p.weights + panel * p.panel_bytes + first_column * kPanelWidth * 2;
  for (int first = 0; first < steps; first += kChunk, weights += kChunk * kStepBytes) {
    const uint8_t* a = activations + first * kStepBytes;
    const int count = steps - first < kChunk ? steps - first : kChunk;
    const bool zero = first_column == 0 && first == 0;
    for (int row = 0; row < p.rows; row += 32, a += p.block / kStep * kStepBytes) {
      float* sums = p.sums + (static_cast<int64_t>(panel) * p.sum_rows + row) * kPanelWidth;
      if (p.rows - row > 16) {
        plain_tile<true>(a, weights, count, zero, sums, prefetch);
      } else {
        plain_tile<false>(a, weights, count, zero, sums, prefetch);
      }
    }
  }
}

// Few rows: a panel's K blocks one after another, as they lie in memory. Many: a K block's panels one
// after another, so that its activations stay in the second-level cache.
void matrix_product(const MatrixProduct& p) {
  const Tiles tiles;
  ScaledPanel scaled(p);
  const bool e4m3 = p.storage == Storage::e4m3;
  const int column_bytes = kPanelWidth * (e4m3 ? 1 : 2);
  // What is read next is spread over the products of a step: 2 for each half of a row tile.
  const int halves = (p.rows + 15) / 16, step_lines = kStep * column_bytes / 64;
  const int lines = (step_lines / 2 + halves - 1) / halves;
  const bool few = p.rows <= kFewRows;
  const auto block = [&](int panel, int64_t begin) {
    const int64_t columns = p.k - begin < p.block ? p.k - begin : p.block;
    const bool last_block = begin + p.block >= p.k, last_panel = panel + 1 == p.panels;
    const uint8_t* next = p.weights + panel * p.panel_bytes + begin * column_bytes +
                          (few ? columns * column_bytes : p.panel_bytes);
    const bool wanted = !last_panel || p.goes_on || (few && !last_block);
    Prefetch prefetch{next, wanted ? next + columns * column_bytes : next, lines};
    const uint8_t* activations = p.activations + begin / p.block * p.block_bytes;
    const auto steps = static_cast<int>(columns / kStep);
    if (e4m3) {
      scaled.run(panel, begin, steps, activations, prefetch);
    } else {
      plain_panel(p, panel, begin, steps, activations, prefetch);
    }
  };
  if (few) {
    for (int panel = 0; panel < p.panels; ++panel) {
      for (int64_t begin = 0; begin < p.k; begin += p.block) block(panel, begin);
    }
  } else {
    for (int64_t begin = 0; begin < p.k; begin += p.block) {
      for (int panel = 0; panel < p.panels; ++panel) block(panel, begin);
    }
  }
  if (e4m3) scaled.finish();
}

// 32 floats to bf16. VCVTNE2PS2BF16 takes subnormals as zero, which the product would do anyway.
inline __m512i round_pair(__m512 low, __m512 high) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}

// Row of a K block to its lines of the tiles; see MatrixProduct.
void pack_tile_row(Operand operand, const float* x, int columns, void* out, bool ue8m0,
                   float* scale) {
  auto* to = static_cast<uint8_t*>(out);
  for (int begin = 0; begin < columns; begin += kScaledBlock) {
    const int end = columns < begin + kScaledBlock ? columns : begin + kScaledBlock;
    if (operand == Operand::fp8) {
      alignas(64) uint16_t row[kScaledBlock] = {};
      pack_row<Avx512>(operand, x + begin, end - begin, row, ue8m0, scale++);
      for (int i = 0; i < end - begin; i += kStep, to += kStepBytes) {
        _mm512_store_si512(to, _mm512_load_si512(row + i));
      }
      continue;
    }
    int i = begin;
    for (; i + kStep <= end; i += kStep, to += kStepBytes) {
      _mm512_store_si512(to, round_pair(_mm512_loadu_ps(x + i), _mm512_loadu_ps(x + i + 16)));
    }
    if (i < end) {
      alignas(64) float rest[kStep] = {};
      for (int j = i; j < end; ++j) rest[j - i] = x[j];
      _mm512_store_si512(to, round_pair(_mm512_load_ps(rest), _mm512_load_ps(rest + 16)));
      to += kStepBytes;
    }
  }
}

// Two panels of 16 outputs make a line of a row; see KernelTable.
void store_swiglu_packed(const float* sums, int sum_rows, int rows, int64_t columns, uint8_t* out,
                         int64_t first_column, int64_t block, int64_t block_bytes) {
  constexpr int kLanes = Avx512::kLanes;
  const int64_t row_tile = block / kStep * kStepBytes;
  const int64_t end = first_column + columns;
  for (int64_t c = first_column; c < (end + kStep - 1) / kStep * kStep; c += kLanes) {
    const float* from = sums + (c - first_column) / kLanes * sum_rows * kPanelWidth;
    uint8_t* to = out + c / block * block_bytes + c % block / kStep * kStepBytes + c % kStep * 2;
    const int64_t left = end - c;
    const auto mask = static_cast<__mmask16>(left >= kLanes ? 0xffff : left <= 0 ? 0 : (1 << left) - 1);
    for (int r = 0; r < rows; ++r) {
      __m512 v = _mm512_setzero_ps();
      if (left > 0) v = _mm512_maskz_mov_ps(mask, swiglu_of<Avx512>(from + r * kPanelWidth));
      _mm256_store_si256(
          reinterpret_cast<__m256i*>(to + r / 32 * row_tile + r % 32 / 16 * kTile + r % 16 * 64),
          reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)));
    }
  }
}

// --- limits ---------------------------------------------------------------------------------------

double busy_tiles_bf16(int64_t rounds) {
  const Tiles tiles;
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  return 4.0 * 16 * 16 * kStep * 2 * static_cast<double>(rounds);
}
// What a product's inner loop does, without a miss of the first-level cache: ten steps of weights, and
// activations that are as near.
double fed_tiles_bf16(int64_t rounds) {
  const Tiles tiles;
  alignas(64) static const uint8_t weights[kChunk * kStepBytes] = {}, activations[kStepBytes] = {};
  Prefetch none{nullptr, nullptr, 0};
  for (int64_t i = 0; i < rounds; ++i) {
    SumTiles<true>::multiply(activations, weights + i % kChunk * kStepBytes, none);
  }
  return 4.0 * 16 * 16 * kStep * 2 * static_cast<double>(rounds);
}
double busy_tiles_int8(int64_t rounds) {
  const Tiles tiles;
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  return 4.0 * 16 * 16 * 2 * kStep * 2 * static_cast<double>(rounds);
}

int64_t attention_scratch_of_both(int key_dim, int shared_dim, int value_dim) {
  const int64_t bf16 = amx_attention_scratch(key_dim, shared_dim, value_dim);
  const int64_t f32 = attention_scratch<Avx512>(key_dim, shared_dim, value_dim);
  return bf16 > f32 ? bf16 : f32;
}
void attention_of_either(const AttentionTile& t) { t.bf16 ? amx_attention(t) : attention<Avx512>(t); }

constexpr KernelTable amx_table() {
  KernelTable table = make_table<Avx512>("amx");
  table.k_multiple = kStep;
  table.pack_tile_row = pack_tile_row;
  table.matrix_product = matrix_product;
  table.store_swiglu_packed = store_swiglu_packed;
  table.attention_rows[1] = kAmxAttentionRows;
  table.attention_scratch = attention_scratch_of_both;
  table.attention = attention_of_either;
  table.busy_bf16 = busy_tiles_bf16;
  table.fed_bf16 = fed_tiles_bf16;
  table.busy_int8 = busy_tiles_int8;
  return table;
}

}  // namespace

const KernelTable& amx_kernels() {
  static constexpr KernelTable kTable = amx_table();
  return kTable;
}

}  // namespace assay::engine::ops
