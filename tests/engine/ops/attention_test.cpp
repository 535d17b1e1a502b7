// Attention of every backend against exact softmax in double, and its bits over all ways to cut it.
#include <algorithm>

#include "tests/engine/ops/fixture.h"

namespace assay::engine::ops {
namespace {

struct Layout {
  int heads, kv_heads, key_dim, shared_dim, value_dim;
  KvType type = KvType::f32;
  bool latent = false;  // the value is the key
};
const Layout kLayouts[] = {
    {1, 1, 1, 0, 1},
    {4, 2, 20, 0, 20, KvType::bf16},   // grouped queries, dimensions of no vector
    {7, 1, 64, 0, 64},                 // one KV head
    {3, 3, 24, 8, 17, KvType::f32},    // expanded MLA
    {16, 1, 40, 8, 40, KvType::bf16, true},  // absorbed MLA
    {2, 2, 128, 64, 128, KvType::bf16},       // both as DeepSeek-V3 has them
    {3, 1, 512, 64, 512, KvType::bf16, true},
    {2, 1, 24, 8, 136, KvType::bf16},  // values wider than keys
};

// A cache with shuffled slots, and queries for every position.
struct Cache {
  Layout layout;
  int64_t positions;
  Dense key, shared, value, query;
  std::vector<uint16_t> key16, shared16, value16;
  std::vector<int32_t> slots;

  Cache(const Layout& s, int64_t n, uint64_t seed)
      : layout(s),
        positions(n),
        key(random_dense(2 * n, s.kv_heads * s.key_dim, seed)),
        shared(random_dense(2 * n, std::max(1, s.shared_dim), seed + 1)),
        value(s.latent ? key : random_dense(2 * n, s.kv_heads * s.value_dim, seed + 2)),
        query(random_dense(n, s.heads * (s.key_dim + s.shared_dim), seed + 3)) {
    Random random(seed, 9);
    for (int64_t i = 0; i < n; ++i) slots.push_back(static_cast<int32_t>(2 * i + random.below(2)));
    for (int64_t i = n - 1; i > 0; --i) std::swap(slots[i], slots[random.below(i + 1)]);
    if (s.type == KvType::bf16) {
      for (auto [from, to] : {std::pair{&key, &key16}, {&shared, &shared16}, {&value, &value16}}) {
        for (float& v : from->value) {
          v = round_to_bf16(v);
          to->push_back(float_to_bf16(v));
        }
      }
    }
  }

  Attention args(std::span<const Segment> segments, ConstRows queries, Rows out) const {
    Attention a;
    a.query = queries;
    a.heads = layout.heads;
    a.kv_heads = layout.kv_heads;
    a.key_dim = layout.key_dim;
    a.shared_dim = layout.shared_dim;
    a.value_dim = layout.value_dim;
    a.kv_type = layout.type;
    const bool half = layout.type == KvType::bf16;
    a.key = half ? static_cast<const void*>(key16.data()) : key.value.data();
    a.key_shared = half ? static_cast<const void*>(shared16.data()) : shared.value.data();
    a.value = half ? static_cast<const void*>(value16.data()) : value.value.data();
    if (layout.latent) a.value = a.key;
    a.key_stride = key.cols;
    a.key_head_stride = layout.key_dim;
    a.shared_stride = shared.cols;
    a.value_stride = value.cols;
    a.value_head_stride = layout.value_dim;
    a.scale = 0.3f;
    a.segments = segments;
    a.out = out;
    return a;
  }

  // All positions in one segment.
  Dense whole(const Backend& ops) const {
    Dense out(positions, layout.heads * layout.value_dim, NAN);
    const Segment segment{0, positions, 0, slots.data()};
    ops.attention(args({&segment, 1}, query.view(), out.view()));
    return out;
  }
};

using AttentionTest = OpsTest;

TEST_P(AttentionTest, MatchesExactSoftmax) {
  const auto ops = backend(Numerics::bf16);
  for (const Layout& s : kLayouts) {
    for (const int64_t n : {1, 3, 64, 65, 200, 530}) {
      if (n > 200 && GetParam().kernels != Kernels::amx) continue;  // its blocks are of 256
      if (emulated() && n > 65) continue;
      const Cache cache(s, n, 100 + n);
      const Dense out = cache.whole(*ops);
      for (int64_t p = 0; p < n; ++p) {
        for (int h = 0; h < s.heads; ++h) {
          const int64_t g = static_cast<int64_t>(h) * s.kv_heads / s.heads;
          // Matrix units multiply bf16: queries and, later, probabilities are rounded.
          const bool rounds = (GetParam().kernels == Kernels::amx || GetParam().cuda) &&
                              s.type == KvType::bf16;
          const float* given = cache.query.row(p) + h * (s.key_dim + s.shared_dim);
          std::vector<float> q(given, given + s.key_dim + s.shared_dim);
          for (float& v : q) v = rounds ? round_to_bf16(v) : v;
          std::vector<double> score;
          double top = -1e300, widest = 0;
          for (int64_t j = 0; j <= p; ++j) {
            double dot = 0, size = 0;
            for (int d = 0; d < s.key_dim + s.shared_dim; ++d) {
              const double k = d < s.key_dim
                                   ? cache.key.row(cache.slots[j])[g * s.key_dim + d]
                                   : cache.shared.row(cache.slots[j])[d - s.key_dim];
              dot += q[d] * k;
              size += std::fabs(q[d] * k);
            }
            score.push_back(dot * static_cast<double>(0.3f));
            top = std::max(top, score.back());
            widest = std::max(widest, size);
          }
          double sum = 0;
          for (double& v : score) sum += v = std::exp(v - top);
          // A score is off by at most d; then every probability by a factor within e^(2 d), and the
          // sums add their own rounding and two units in the last place of each exponential.
          // Probabilities that become bf16 are off by a factor within 1 +- 2^-8 besides.
          const double rounded = rounds ? std::exp2(-8) : 0;
          const double d = sum_bound(s.key_dim + s.shared_dim, widest) + 1e-6;
          for (int v = 0; v < s.value_dim; ++v) {
            double want = 0, size = 0;
            for (int64_t j = 0; j <= p; ++j) {
              const double x =
                  score[j] / sum * cache.value.row(cache.slots[j])[g * s.value_dim + v];
              want += x;
              size += std::fabs(x);
            }
            const double bound =
                (std::expm1(2 * d) + 1.1 * rounded + 2 * (n + 20) * std::exp2(-23)) * size + 1e-30;
            ASSERT_NEAR(out.row(p)[h * s.value_dim + v], want, bound)
                << "position " << p << " head " << h << " of " << n;
          }
        }
      }
    }
  }
}

// Cut into segments anywhere, in any order, alone or together, on any number of threads: same bits.
TEST_P(AttentionTest, BitsDoNotDependOnTheCut) {
  // AMX blocks are of 256 positions.
  const int64_t n = emulated() ? 70 : GetParam().kernels == Kernels::amx ? 300 : 150;
  for (const Layout& s : kLayouts) {
    const Cache cache(s, n, 300);
    const auto ops = backend(Numerics::bf16);
    const Dense want = cache.whole(*ops);
    for (const int64_t step : {1, 7, 64, 100}) {
      if (emulated() && step == 1) continue;
      for (const int threads : {1, 3}) {
        const Workers workers(threads);
        const auto other = make_backend(GetParam(), Numerics::bf16, workers);
        // The pieces in descending order; query rows are stored in that order too.
        Dense query(n, cache.query.cols), out(n, want.cols, NAN);
        std::vector<Segment> segments;
        std::vector<int64_t> position;
        for (int64_t begin = (n - 1) / step * step; begin >= 0; begin -= step) {
          const int64_t count = std::min(step, n - begin);
          segments.push_back(
              {static_cast<int64_t>(position.size()), count, begin, cache.slots.data()});
          for (int64_t i = 0; i < count; ++i) position.push_back(begin + i);
        }
        for (int64_t i = 0; i < n; ++i) {
          std::copy_n(cache.query.row(position[i]), query.cols, query.row(i));
        }
        other->attention(cache.args(segments, query.view(), out.view()));
        for (int64_t i = 0; i < n; ++i) {
          ASSERT_EQ(0, std::memcmp(out.row(i), want.row(position[i]), out.cols * sizeof(float)))
              << "position " << position[i] << " cut by " << step;
        }
      }
    }
  }
}

// Two sequences that share ancestors' slots get what each gets with a cache of its own.
TEST_P(AttentionTest, SharedSlotsGiveTheSameBits) {
  for (const Layout& s : kLayouts) {
    const int64_t prefix = 70, tail = 9;
    const Cache cache(s, prefix + 2 * tail, 400);
    const auto ops = backend(Numerics::bf16);
    std::vector<int32_t> second(cache.slots.begin(), cache.slots.begin() + prefix);
    second.insert(second.end(), cache.slots.begin() + prefix + tail, cache.slots.end());
    const Segment together[] = {{0, tail, prefix, cache.slots.data()},
                                {tail, tail, prefix, second.data()}};
    Dense out(2 * tail, s.heads * s.value_dim);
    const ConstRows queries(cache.query.row(prefix), 2 * tail, cache.query.cols, cache.query.cols);
    ops->attention(cache.args(together, queries, out.view()));

    // The second sequence moved to slots of its own.
    Cache moved(s, prefix + 2 * tail, 400);
    for (int64_t i = 0; i < static_cast<int64_t>(second.size()); ++i) {
      const auto free = static_cast<int32_t>(second[i] ^ 1);  // the twin slot is unused
      for (Dense* d : {&moved.key, &moved.shared, &moved.value}) {
        std::copy_n(d->row(second[i]), d->cols, d->row(free));
      }
      for (const auto& [d, half] : {std::pair{&moved.key, &moved.key16},
                                    {&moved.shared, &moved.shared16},
                                    {&moved.value, &moved.value16}}) {
        if (!half->empty()) std::copy_n(&(*half)[second[i] * d->cols], d->cols, &(*half)[free * d->cols]);
      }
      second[i] = free;
    }
    Dense alone(tail, out.cols);
    const Segment segment{0, tail, prefix, second.data()};
    const ConstRows own(cache.query.row(prefix + tail), tail, cache.query.cols, cache.query.cols);
    ops->attention(moved.args({&segment, 1}, own, alone.view()));
    EXPECT_EQ(0, std::memcmp(alone.row(0), out.row(tail), tail * out.cols * sizeof(float)));
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, AttentionTest, testing::ValuesIn(backend_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace assay::engine::ops
