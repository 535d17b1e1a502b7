// Attention over bf16 keys and values on AMX tiles (AttentionTile).
//
//   out = sum_j softmax_j(scale * q . k_j) v_j, online over blocks of 256 positions at absolute
//   multiples of 256, ascending (attention_kernel.h has the recurrence).
//
// Queries and probabilities are rounded to bf16, as keys and values are; everything else is fp32. So
// a score is off by at most 2^-8 sum |q k| and a probability by a factor within 1 +- 2^-8.
//
// Everything is transposed, so that a lane is a query and nothing is summed across lanes:
//   scores  S' [positions][queries] = K [positions][dims] * Q' [dim pairs][queries][2]
//   output  O' [dims][queries]     += V' [dims][positions] * P' [position pairs][queries][2]
// in groups of 32 queries, 2 x 2 tile registers. Keys are copied as they are, values transposed, once
// per block for up to 256 query rows. Positions beyond what a query sees have probability +0, which
// leaves its sums as they are (see finish()), and steps of 32 positions that no query of a group
// sees are left out: the bits of a query do not depend on its neighbours.
#include "engine/ops/cpu/amx_tiles.h"
#include "engine/ops/cpu/avx512_vector.h"

namespace assay::engine::ops {

namespace {

constexpr int kBlockPositions = 256;
constexpr int kGroup = 32;  // queries of two tile registers
static_assert(kBlockPositions % kAttentionBlock == 0);

int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

// Where the parts of the scratch memory begin, in bytes; every part is whole cache lines.
struct Scratch {
  int dim, value_dim;  // padded: whole steps, whole tiles
  int64_t query_bytes;  // of a group
  uint8_t *query, *key, *value, *probability;
  float *score, *out, *maximum, *sum;

  Scratch(int key_dim, int shared_dim, int values, uint8_t* base)
      : dim(round_up(key_dim + shared_dim, kStep)),
        value_dim(round_up(values, 32)),
        query_bytes(int64_t{dim} * kGroup * 2),
        query(base),
        key(query + query_bytes * (kAmxAttentionRows / kGroup)),
        value(key + int64_t{kBlockPositions} * dim * 2),
        probability(value + int64_t{kBlockPositions} * value_dim * 2),
        score(reinterpret_cast<float*>(probability + kBlockPositions * kGroup * 2)),
        out(score + kBlockPositions * kGroup),
        maximum(out + int64_t{kAmxAttentionRows} * value_dim),
        sum(maximum + kAmxAttentionRows) {}
  int64_t bytes() const { return reinterpret_cast<uint8_t*>(sum + kAmxAttentionRows) - query; }
  float* out_of(int group) const { return out + int64_t{group} * kGroup * value_dim; }
};

// n <= 32 bf16, zeros above.
inline __m512i load_bf16_some(const uint16_t* p, int n) {
  return n >= 32 ? _mm512_loadu_si512(p)
                 : _mm512_maskz_loadu_epi16(n <= 0 ? 0 : static_cast<__mmask32>((1ull << n) - 1), p);
}

inline void transpose_words(__m512i (&v)[16]) {
  __m512 f[16];
  for (int i = 0; i < 16; ++i) f[i] = _mm512_castsi512_ps(v[i]);
  Avx512::transpose(f);
  for (int i = 0; i < 16; ++i) v[i] = _mm512_castps_si512(f[i]);
}

// Queries of a group to [dim pairs][32][2]; zeros for missing queries and dimensions.
void pack_queries(const AttentionTile& t, int first, const Scratch& w, uint8_t* out) {
  const int dim = t.key_dim + t.shared_dim;
  for (int half = 0; half < 2; ++half) {
    for (int d = 0; d < w.dim; d += kStep) {
      __m512i v[16];
      for (int i = 0; i < 16; ++i) {
        const int r = first + half * 16 + i;
        if (r >= t.rows) {
          v[i] = _mm512_setzero_si512();
          continue;
        }
        const auto part = [&](int at) {
          const int n = dim - at;
          const auto mask = static_cast<__mmask16>(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1);
          return _mm512_maskz_loadu_ps(mask, t.query[r] + at);
        };
        v[i] = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(part(d + 16), part(d)));
      }
      transpose_words(v);
      for (int i = 0; i < 16; ++i) _mm512_store_si512(out + (d / 2 + i) * 128 + half * 64, v[i]);
    }
  }
}

// Keys of positions [begin, begin + padded) to rows of `dim`; zeros from `count` on.
void gather_keys(const AttentionTile& t, const int32_t* slots, int count, int padded,
                 const Scratch& w) {
  const auto* keys = static_cast<const uint16_t*>(t.key);
  const auto* shared = static_cast<const uint16_t*>(t.shared);
  for (int j = 0; j < padded; ++j) {
    auto* to = reinterpret_cast<uint16_t*>(w.key) + int64_t{j} * w.dim;
    if (j >= count) {
      for (int d = 0; d < w.dim; d += 32) _mm512_store_si512(to + d, _mm512_setzero_si512());
      continue;
    }
    const uint16_t* from = keys + slots[j] * t.key_stride;
    if (t.shared_dim == 0 || t.key_dim % 32 == 0) {
      for (int d = 0; d < t.key_dim; d += 32) {
        _mm512_store_si512(to + d, load_bf16_some(from + d, t.key_dim - d));
      }
      from = shared + (t.shared_dim == 0 ? 0 : slots[j] * t.shared_stride);
      for (int d = 0; d < t.shared_dim; d += 32) {
        _mm512_store_si512(to + t.key_dim + d, load_bf16_some(from + d, t.shared_dim - d));
      }
    } else {
      for (int d = 0; d < t.key_dim; ++d) to[d] = from[d];
      from = shared + slots[j] * t.shared_stride;
      for (int d = 0; d < t.shared_dim; ++d) to[t.key_dim + d] = from[d];
      for (int d = t.key_dim + t.shared_dim; d < w.dim; ++d) to[d] = 0;
    }
  }
}

// Values to tiles [16 dims][32 positions], [dims / 16][steps of the block]; zeros from `count` on.
void gather_values(const AttentionTile& t, const int32_t* slots, int count, int padded,
                   const Scratch& w) {
  const auto* values = static_cast<const uint16_t*>(t.value);
  for (int j = 0; j < padded; j += kStep) {
    for (int d = 0; d < w.value_dim; d += 16) {
      const int n = t.value_dim - d;
      const auto mask = static_cast<__mmask16>(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1);
      const auto row = [&](int position) {  // 16 values in 32-bit words
        if (position >= count) return _mm512_setzero_si512();
        return _mm512_cvtepu16_epi32(
            _mm256_maskz_loadu_epi16(mask, values + slots[position] * t.value_stride + d));
      };
      __m512i v[16];
      for (int i = 0; i < 16; ++i) {
        v[i] = _mm512_or_si512(row(j + 2 * i), _mm512_slli_epi32(row(j + 2 * i + 1), 16));
      }
      transpose_words(v);
      uint8_t* to = w.value + (d / 16 * (kBlockPositions / kStep) + j / kStep) * kTile;
      for (int i = 0; i < 16; ++i) _mm512_store_si512(to + i * 64, v[i]);
    }
  }
}

// S' of `padded` positions; kBoth: queries 16-31 too.
template <bool kBoth>
void scores(const Scratch& w, const uint8_t* query, int padded) {
  constexpr int kRow = kGroup * sizeof(float);
  const int64_t key_row = int64_t{w.dim} * 2;
  for (int j = 0; j < padded; j += 32) {
    const uint8_t* k = w.key + j * key_row;
    _tile_zero(0);
    _tile_zero(2);
    if constexpr (kBoth) {
      _tile_zero(1);
      _tile_zero(3);
    }
    for (int d = 0; d < w.dim; d += kStep) {
      const uint8_t* q = query + d / 2 * 128;
      _tile_loadd(4, k + d * 2, key_row);
      _tile_loadd(6, q, 128);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(5, k + 16 * key_row + d * 2, key_row);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kBoth) {
        _tile_loadd(7, q + 64, 128);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(3, 5, 7);
      }
    }
    float* to = w.score + j * kGroup;
    _tile_stored(0, to, kRow);
    _tile_stored(2, to + 16 * kGroup, kRow);
    if constexpr (kBoth) {
      _tile_stored(1, to + 16, kRow);
      _tile_stored(3, to + 16 * kGroup + 16, kRow);
    }
  }
}

// 2^x for x <= 0 and a little above. |x - n| <= 1/2; minimax polynomial of degree 5 (Remez, exact at 0),
// relative error below 6e-7 with its roundings; exact scaling, +0 far below the normal range.
inline __m512 exp2_of(__m512 x) {
  const __m512 n = _mm512_roundscale_ps(x, 0);  // nearest even
  const __m512 f = _mm512_sub_ps(x, n);
  __m512 p = _mm512_set1_ps(1.112550730e-3f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.666282684e-3f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.557400361e-2f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.402235121e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.931428313e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

// Scores of 16 queries to probabilities P', and their running maximum and sum. Returns the factor of
// what was summed before. Positions [0, full) are seen by all, from `full` on those below `visible`.
// The maximum is kept times scale * log2(e).
__m512 soften(const Scratch& w, int half, int full, int padded, __m512i visible, float scale,
              float* maximum, float* sum) {
  const float* score = w.score + half * 16;
  const __m512 masked = _mm512_set1_ps(-1e30f), factor = _mm512_set1_ps(scale);
  const auto seen = [&](int j) { return _mm512_cmpgt_epi32_mask(visible, _mm512_set1_epi32(j)); };
  __m512 top[2] = {masked, masked};
  int j = 0;
  for (; j + 2 <= full; j += 2) {
    top[0] = _mm512_max_ps(top[0], _mm512_load_ps(score + j * kGroup));
    top[1] = _mm512_max_ps(top[1], _mm512_load_ps(score + (j + 1) * kGroup));
  }
  for (; j < padded; ++j) {
    top[0] = _mm512_mask_max_ps(top[0], seen(j), top[0], _mm512_load_ps(score + j * kGroup));
  }
  const __m512 before = _mm512_load_ps(maximum);
  // A query that sees nothing here keeps its maximum: masked * factor may not reach it.
  const __m512 here = _mm512_mul_ps(_mm512_max_ps(top[0], top[1]), factor);
  const __m512 m = _mm512_mask_max_ps(before, seen(0), before, here);
  _mm512_store_ps(maximum, m);
  const __m512 rescale = exp2_of(_mm512_sub_ps(before, m));

  const __m512i interleave = _mm512_set_epi16(
      31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19,
      3, 18, 2, 17, 1, 16, 0);
  uint8_t* to = w.probability + half * 64;
  __m512 total[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                     _mm512_setzero_ps()};
  const auto pair = [&](int at, __m512 x, __m512 y, int slot) {
    const __m512 p = exp2_of(x), q = exp2_of(y);
    total[slot] = _mm512_add_ps(total[slot], p);
    total[slot + 1] = _mm512_add_ps(total[slot + 1], q);
    const auto packed = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(q, p));
    _mm512_store_si512(to + at / 2 * 128, _mm512_permutexvar_epi16(interleave, packed));
  };
  const auto scaled = [&](int at) {
    return _mm512_fmsub_ps(_mm512_load_ps(score + at * kGroup), factor, m);
  };
  for (j = 0; j + 4 <= full; j += 4) {
    pair(j, scaled(j), scaled(j + 1), 0);
    pair(j + 2, scaled(j + 2), scaled(j + 3), 2);
  }
  for (; j < padded; j += 2) {
    pair(j, _mm512_mask_mov_ps(masked, seen(j), scaled(j)),
         _mm512_mask_mov_ps(masked, seen(j + 1), scaled(j + 1)), j & 2);
  }
  const __m512 all = _mm512_add_ps(_mm512_add_ps(total[0], total[1]),
                                   _mm512_add_ps(total[2], total[3]));
  _mm512_store_ps(sum, _mm512_fmadd_ps(_mm512_load_ps(sum), rescale, all));
  return rescale;
}

// O' *= rescale.
inline void rescale_out(const Scratch& w, float* out, int half, __m512 rescale) {
  if (_mm512_cmpneq_ps_mask(rescale, _mm512_set1_ps(1.0f)) == 0) return;
  for (int d = 0; d < w.value_dim; ++d) {
    float* p = out + d * kGroup + half * 16;
    _mm512_store_ps(p, _mm512_mul_ps(_mm512_load_ps(p), rescale));
  }
}

template <bool kBoth>
void accumulate(const Scratch& w, float* out, int padded) {
  constexpr int kRow = kGroup * sizeof(float);
  constexpr int kValueRow = kBlockPositions / kStep * kTile;  // of 16 dims
  for (int d = 0; d < w.value_dim; d += 32) {
    float* o = out + d * kGroup;
    _tile_loadd(0, o, kRow);
    _tile_loadd(2, o + 16 * kGroup, kRow);
    if constexpr (kBoth) {
      _tile_loadd(1, o + 16, kRow);
      _tile_loadd(3, o + 16 * kGroup + 16, kRow);
    }
    const uint8_t* v = w.value + d / 16 * kValueRow;
    for (int j = 0; j < padded; j += kStep, v += kTile) {
      const uint8_t* p = w.probability + j / 2 * 128;
      _tile_loadd(4, v, 64);
      _tile_loadd(6, p, 128);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(5, v + kValueRow, 64);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kBoth) {
        _tile_loadd(7, p + 64, 128);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(3, 5, 7);
      }
    }
    _tile_stored(0, o, kRow);
    _tile_stored(2, o + 16 * kGroup, kRow);
    if constexpr (kBoth) {
      _tile_stored(1, o + 16, kRow);
      _tile_stored(3, o + 16 * kGroup + 16, kRow);
    }
  }
}

// Output rows of a group: O' / sum. Zeros are +0 and there are no subnormals: a block whose positions
// a query does not see, multiplied for the sake of its neighbours, could turn -0 and subnormals into +0.
void finish(const AttentionTile& t, const Scratch& w, int group) {
  for (int half = 0; half < 2; ++half) {
    const int first = group * kGroup + half * 16;
    if (first >= t.rows) return;
    const __m512 sum = _mm512_load_ps(w.sum + first);
    for (int d = 0; d < t.value_dim; d += 16) {
      __m512 v[16];
      for (int i = 0; i < 16; ++i) {
        const __m512 o = _mm512_load_ps(w.out_of(group) + (d + i) * kGroup + half * 16);
        const auto normal =
            _mm512_cmp_ps_mask(_mm512_abs_ps(o), _mm512_set1_ps(0x1p-126f), _CMP_NLT_UQ);
        v[i] = _mm512_div_ps(_mm512_maskz_mov_ps(normal, o), sum);
      }
      Avx512::transpose(v);
      const int n = t.value_dim - d;
      const auto mask = static_cast<__mmask16>(n >= 16 ? 0xffff : (1 << n) - 1);
      for (int i = 0; i < 16 && first + i < t.rows; ++i) {
        _mm512_mask_storeu_ps(t.out[first + i] + d, mask, v[i]);
      }
    }
  }
}

template <bool kBoth>
void block_of_group(const AttentionTile& t, const Scratch& w, int group, int64_t begin) {
  const int first = group * kGroup;
  const int last = first + kGroup < t.rows ? first + kGroup : t.rows;
  const int64_t sees = t.length[last - 1] - begin;  // of the block; lengths ascend
  const int padded =
      round_up(sees < kBlockPositions ? static_cast<int>(sees) : kBlockPositions, kStep);
  scores<kBoth>(w, w.query + group * w.query_bytes, padded);
  float* out = w.out_of(group);
  for (int half = 0; half < (kBoth ? 2 : 1); ++half) {
    alignas(64) int32_t visible[16] = {};
    int full = kBlockPositions;
    for (int i = 0; i < 16; ++i) {
      const int r = first + half * 16 + i;
      if (r >= t.rows) continue;  // sees nothing, and nobody looks
      const int64_t n = t.length[r] - begin;
      visible[i] = n <= 0 ? 0 : n > kBlockPositions ? kBlockPositions : static_cast<int>(n);
      full = visible[i] < full ? visible[i] : full;
    }
    const __m512 rescale = soften(w, half, full / 4 * 4, padded, _mm512_load_si512(visible),
                                  t.scale * 1.44269504088896341f, w.maximum + first + half * 16,
                                  w.sum + first + half * 16);
    rescale_out(w, out, half, rescale);
  }
  accumulate<kBoth>(w, out, padded);
}

}  // namespace

int64_t amx_attention_scratch(int key_dim, int shared_dim, int value_dim) {
  alignas(64) static uint8_t base;
  return Scratch(key_dim, shared_dim, value_dim, &base).bytes() /
         static_cast<int64_t>(sizeof(float));
}

void amx_attention(const AttentionTile& t) {
  const Tiles tiles;
  const Scratch w(t.key_dim, t.shared_dim, t.value_dim, reinterpret_cast<uint8_t*>(t.scratch));
  const int groups = (t.rows + kGroup - 1) / kGroup;
  for (int g = 0; g < groups; ++g) {
    pack_queries(t, g * kGroup, w, w.query + g * w.query_bytes);
    float* out = w.out_of(g);
    for (int i = 0; i < kGroup * w.value_dim; i += 16) _mm512_store_ps(out + i, _mm512_setzero_ps());
    for (int i = 0; i < kGroup; ++i) {
      w.maximum[g * kGroup + i] = -1e30f;
      w.sum[g * kGroup + i] = 0;
    }
  }
  for (int64_t begin = 0; begin < t.positions; begin += kBlockPositions) {
    const int64_t left = t.positions - begin;
    const int count = left < kBlockPositions ? static_cast<int>(left) : kBlockPositions;
    const int padded = round_up(count, kStep);
    gather_keys(t, t.slots + begin, count, padded, w);
    gather_values(t, t.slots + begin, count, padded, w);
    for (int g = 0; g < groups; ++g) {
      const int last = (g + 1) * kGroup < t.rows ? (g + 1) * kGroup : t.rows;
      if (t.length[last - 1] <= begin) continue;  // sees nothing of this block
      if (last - g * kGroup > 16) {
        block_of_group<true>(t, w, g, begin);
      } else {
        block_of_group<false>(t, w, g, begin);
      }
    }
  }
  for (int g = 0; g < groups; ++g) finish(t, w, g);
}

}  // namespace assay::engine::ops
