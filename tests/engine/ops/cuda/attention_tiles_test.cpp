// Which sequences' tiles go together (engine/ops/cuda/attention_tiles.h), that it never shows in the bits,
// and what it spares.
#include "engine/ops/cuda/attention_tiles.h"

#include <algorithm>

#include "tests/engine/ops/cuda/emulated_backend.h"
#include "tests/engine/ops/fixture.h"

namespace assay::engine::ops {
namespace {

// Sequences over one cache: `common` positions in the slots of the sequence before, then `own` more, of
// which the last `rows` are computed.
struct Branch {
  int64_t common, own, rows = 1;
};
struct Sequences {
  std::vector<std::vector<int32_t>> slots;
  std::vector<Segment> segments;
  int64_t rows = 0, slot_count = 0;

  explicit Sequences(const std::vector<Branch>& branches) {
    for (const Branch& branch : branches) {
      std::vector<int32_t> list;
      if (!slots.empty()) list.assign(slots.back().begin(), slots.back().begin() + branch.common);
      for (int64_t i = 0; i < branch.own; ++i) list.push_back(static_cast<int32_t>(slot_count++));
      const auto positions = static_cast<int64_t>(list.size());
      slots.push_back(std::move(list));
      segments.push_back({rows, branch.rows, positions - branch.rows, slots.back().data()});
      rows += branch.rows;
    }
  }
};

std::vector<std::pair<int, int>> groups_of(const PairTiles& tiles) {  // tiles, common blocks
  std::vector<std::pair<int, int>> out;
  for (const TileGroup& g : tiles.groups) out.push_back({g.count, g.shared});
  return out;
}
using Groups = std::vector<std::pair<int, int>>;

TEST(AttentionTiles, NeighboursWithAPrefixGoTogether) {
  // Five samples of one prompt, two of another.
  const Sequences s({{0, 700}, {650, 10}, {650, 90}, {650, 1}, {650, 33}, {0, 400}, {390, 2}});
  const auto plan = [&](TileRule rule) { return groups_of(plan_tiles(s.segments, rule)); };
  EXPECT_EQ(plan({8, 1, 64, true, 1}), (Groups{{5, 10}, {2, 6}}));
  EXPECT_EQ(plan({8, 1, 64, false, 1}), (Groups{{1, 0}, {1, 0}, {1, 0}, {1, 0}, {1, 0}, {1, 0}, {1, 0}}));
  EXPECT_EQ(plan({16, 1, 64, true, 1}), (Groups{{4, 10}, {1, 0}, {2, 6}}));  // four fill a block
  EXPECT_EQ(plan({8, 2, 64, true, 1}), (Groups{{5, 10}, {5, 10}, {2, 6}, {2, 6}}));
  // 128 heads fill two blocks by themselves; 33 leave no room for another's.
  EXPECT_EQ(plan({128, 1, 64, true, 1}).size(), 14u);
  EXPECT_EQ(plan({33, 1, 64, true, 1}).size(), 7u);
  // Enough for the multiprocessors: 7 tiles for 3 go two at a time.
  EXPECT_EQ(plan({8, 1, 64, true, 3}), (Groups{{2, 10}, {2, 10}, {1, 0}, {2, 6}}));
  EXPECT_EQ(plan({8, 1, 64, true, 4}).size(), 7u);
  EXPECT_EQ(plan({8, 1, 64, true, 100}).size(), 7u);
}

TEST(AttentionTiles, NotWhereItDoesNotPay) {
  const TileRule rule{8, 1, 64, true, 1};
  const auto plan = [&](const std::vector<Branch>& branches) {
    return groups_of(plan_tiles(Sequences(branches).segments, rule));
  };
  EXPECT_EQ(plan({{0, 63}, {62, 1}}).size(), 2u);    // less than a block
  EXPECT_EQ(plan({{0, 129}, {128, 1}}), (Groups{{2, 2}}));
  EXPECT_EQ(plan({{0, 128}, {127, 1}}).size(), 2u);  // one block together, two alone
  // A row's own position is never among the common ones.
  EXPECT_EQ(plan({{0, 256}, {255, 1}}), (Groups{{2, 3}}));
  // Much alone, little together: a block of its own.
  EXPECT_EQ(plan({{0, 300}, {256, 300}}).size(), 2u);
  // The third shares too little to be worth what the two would lose.
  EXPECT_EQ(plan({{0, 700}, {690, 1}, {200, 1}}), (Groups{{2, 10}, {1, 0}}));
  // Rows of drafts count twice.
  EXPECT_EQ(plan({{0, 500, 2}, {490, 9, 2}, {490, 9, 2}, {490, 9, 2}, {490, 9, 2}}), (Groups{{4, 7}, {1, 0}}));
}

TEST(AttentionTiles, ReadLess) {
  std::vector<Branch> branches{{0, 2060}};
  for (int i = 1; i < 32; ++i) branches.push_back({2048, 12});
  const Sequences s(branches);
  const auto read = [&](bool group, int heads) {
    return positions_read(plan_tiles(s.segments, {heads, 1, 64, group, 4}));
  };
  EXPECT_EQ(read(false, 8), 32 * 2060);
  EXPECT_EQ(read(true, 8), 4 * 2048 + 32 * 12);  // eight sequences a block
  EXPECT_EQ(read(true, 64), 32 * 2060);
}

#if defined(__x86_64__)

struct Shape {
  int heads, kv_heads, key_dim, shared_dim, value_dim;
  bool latent;
};

class GroupedAttention : public testing::TestWithParam<Shape> {
 protected:
  void TearDown() override { set_emulated_multiprocessors(3); }

  // One call for all of the segments.
  std::vector<float> attend(std::span<const Segment> segments, int64_t first_row, int64_t rows, int multiprocessors) {
    const Shape& s = GetParam();
    set_emulated_multiprocessors(multiprocessors);
    Dense out(rows, s.heads * s.value_dim, NAN);
    std::vector<Segment> moved(segments.begin(), segments.end());
    for (Segment& segment : moved) segment.row -= first_row;
    Attention a;
    a.query = {query_->row(first_row), rows, query_->cols, query_->cols};
    a.heads = s.heads;
    a.kv_heads = s.kv_heads;
    a.key_dim = s.key_dim;
    a.shared_dim = s.shared_dim;
    a.value_dim = s.value_dim;
    a.kv_type = KvType::bf16;
    a.key = memory_.data();
    a.key_stride = a.shared_stride = a.value_stride = width_;
    a.key_head_stride = s.key_dim;
    a.key_shared = memory_.data() + s.kv_heads * s.key_dim;
    a.value = s.latent ? memory_.data() : memory_.data() + s.kv_heads * s.key_dim + s.shared_dim;
    a.value_head_stride = s.latent ? s.key_dim : s.value_dim;
    a.scale = 0.2f;
    a.segments = moved;
    a.out = out.view();
    backend_->attention(a);
    return out.value;
  }
  void fill(const Sequences& sequences) {
    const Shape& s = GetParam();
    width_ = s.kv_heads * s.key_dim + s.shared_dim + (s.latent ? 0 : s.kv_heads * s.value_dim);
    const Dense values = random_dense(sequences.slot_count, width_, 3);
    memory_.resize(values.value.size() + 8);
    for (size_t i = 0; i < values.value.size(); ++i) memory_[i] = float_to_bf16(values.value[i]);
    query_ = std::make_unique<Dense>(random_dense(sequences.rows, s.heads * (s.key_dim + s.shared_dim), 4));
  }

  Workers workers_{1};
  std::unique_ptr<Backend> backend_ = make_emulated_cuda_backend(Numerics::bf16, workers_, false, true);
  int64_t width_ = 0;
  std::vector<uint16_t> memory_;
  std::unique_ptr<Dense> query_;
};

// Sequences of one prompt, of parts of it, of others; drafts; every grouping that the number of
// multiprocessors makes: the bits of every sequence by itself.
TEST_P(GroupedAttention, BitsOfEverySequenceByItself) {
  const Sequences sequences({{0, 211}, {200, 1}, {200, 70}, {200, 2, 2}, {200, 65}, {140, 60}, {140, 3},
                             {0, 75}, {0, 130, 2}, {129, 1}, {128, 5, 2}});
  fill(sequences);
  std::vector<float> expected;
  for (const Segment& s : sequences.segments) {
    const auto own = attend({&s, 1}, s.row, s.count, 1);
    expected.insert(expected.end(), own.begin(), own.end());
  }
  for (const int multiprocessors : {1, 2, 3, 5, 1000}) {
    const auto out = attend(sequences.segments, 0, sequences.rows, multiprocessors);
    ASSERT_EQ(out.size(), expected.size());
    EXPECT_EQ(std::memcmp(out.data(), expected.data(), out.size() * sizeof(float)), 0) << multiprocessors;
  }
}

// What the kernel really copies: the common positions once a block.
using GroupedBytes = GroupedAttention;
TEST_P(GroupedBytes, CommonPositionsOnce) {
  const Shape& s = GetParam();
  const int group = s.heads / s.kv_heads;
  const Sequences sequences({{0, 330}, {320, 7}, {320, 10}, {320, 1}});
  fill(sequences);
  const auto bytes = [&](int multiprocessors) {
    const uint64_t before = emulated_async_bytes();
    attend(sequences.segments, 0, sequences.rows, multiprocessors);
    return static_cast<int64_t>(emulated_async_bytes() - before);
  };
  const int64_t head = (s.key_dim + s.shared_dim + (s.latent ? 0 : s.value_dim)) * 2;  // of a position
  const int64_t alone = bytes(1000), together = bytes(1);
  EXPECT_EQ(alone, s.kv_heads * head * (330 + 327 + 330 + 321));
  const int64_t blocks = group * 4 <= 64 ? 1 : 2;
  EXPECT_EQ(together, s.kv_heads * head * (blocks * 320 + 10 + 7 + 10 + 1));
}

INSTANTIATE_TEST_SUITE_P(Shapes, GroupedAttention,
                         testing::Values(Shape{8, 2, 16, 0, 16, false},      // grouped queries
                                         Shape{7, 2, 20, 0, 20, false},      // groups of four and three
                                         Shape{4, 4, 24, 8, 16, false},      // expanded MLA
                                         Shape{16, 1, 40, 8, 40, true},      // absorbed MLA of few heads
                                         Shape{20, 1, 512, 64, 512, true},   // two warps across
                                         Shape{65, 1, 16, 8, 16, true}));    // more than a block
INSTANTIATE_TEST_SUITE_P(Shapes, GroupedBytes,  // those with wide copies that leave a block room
                         testing::Values(Shape{8, 2, 16, 0, 16, false}, Shape{4, 4, 24, 8, 16, false},
                                         Shape{16, 1, 40, 8, 40, true}, Shape{20, 1, 512, 64, 512, true}));

#endif

}  // namespace
}  // namespace assay::engine::ops
