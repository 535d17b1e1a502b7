// The prefix forest and its passes against brute force over sets of prefixes.
#include "engine/execute/forest.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/random.h"
#include "engine/execute/plan.h"

namespace assay::engine {
namespace {

struct Requests {
  std::vector<std::vector<TokenId>> tokens;
  std::vector<size_t> cut;  // head | tail
  std::vector<int> group;
  std::vector<PathView> paths() const {
    std::vector<PathView> out;
    for (size_t i = 0; i < tokens.size(); ++i) {
      const TokenSpan all(tokens[i]);
      out.push_back({all.first(cut[i]), all.subspan(cut[i])});
    }
    return out;
  }
};

// Random tokens over a small alphabet, many extending an earlier request: deep sharing, identical
// paths and nested prefixes are common.
Requests random_requests(uint64_t seed, size_t count) {
  Random random(seed);
  Requests out;
  for (size_t i = 0; i < count; ++i) {
    std::vector<TokenId> path;
    if (i > 0 && random.below(4) != 0) {
      const auto& base = out.tokens[random.below(i)];
      path.assign(base.begin(), base.begin() + static_cast<ptrdiff_t>(random.below(base.size()) + 1));
    }
    const size_t more = random.below(3) == 0 && !path.empty() ? 0 : 1 + random.below(12);
    for (size_t k = 0; k < more; ++k) path.push_back(static_cast<TokenId>(random.below(3)));
    out.cut.push_back(random.below(path.size() + 1));
    out.tokens.push_back(std::move(path));
    out.group.push_back(static_cast<int>(random.below(3)));
  }
  return out;
}

TEST(Forest, OwnsEveryDistinctPrefixOnce) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const Requests requests = random_requests(seed, 1 + seed * 2);
    const auto paths = requests.paths();
    const auto forest = build_forest(paths);
    std::set<std::vector<TokenId>> prefixes;
    for (const auto& path : requests.tokens) {
      for (size_t n = 1; n <= path.size(); ++n) {
        prefixes.insert({path.begin(), path.begin() + static_cast<ptrdiff_t>(n)});
      }
    }
    EXPECT_EQ(forest_tokens(forest, paths), prefixes.size());
    ASSERT_EQ(forest.size(), paths.size());
    std::set<uint32_t> seen;
    for (size_t i = 0; i < forest.size(); ++i) {
      EXPECT_TRUE(seen.insert(forest[i].path).second);
      if (i == 0) {
        EXPECT_EQ(forest[i].shared, 0u);
        continue;
      }
      const auto& a = requests.tokens[forest[i - 1].path];
      const auto& b = requests.tokens[forest[i].path];
      EXPECT_EQ(forest[i].shared, common_prefix(paths[forest[i - 1].path], paths[forest[i].path]));
      const bool ordered = a < b || (a == b && forest[i - 1].path < forest[i].path);
      EXPECT_TRUE(ordered);  // std::vector's order is the forest's
    }
  }
}

TEST(Forest, GroupsSeeEachPositionOnce) {
  for (uint64_t seed = 100; seed < 140; ++seed) {
    const Requests requests = random_requests(seed, 40);
    const auto paths = requests.paths();
    const auto forest = build_forest(paths);
    const auto shared = shared_within_group(forest, requests.group);
    std::map<int, std::set<std::vector<TokenId>>> seen;
    for (size_t i = 0; i < forest.size(); ++i) {
      const auto& path = requests.tokens[forest[i].path];
      for (size_t n = 1; n <= path.size(); ++n) {
        const bool fresh = seen[requests.group[forest[i].path]]
                               .insert({path.begin(), path.begin() + static_cast<ptrdiff_t>(n)})
                               .second;
        EXPECT_EQ(fresh, n > shared[i]);
      }
    }
  }
}

TEST(Forest, FilteredEqualsBuiltFromTheRest) {
  for (uint64_t seed = 200; seed < 230; ++seed) {
    const Requests requests = random_requests(seed, 30);
    const auto paths = requests.paths();
    const auto keep = [&](uint32_t path) { return (path * 7 + seed) % 3 != 0; };
    std::vector<PathView> rest;
    std::vector<uint32_t> original;
    for (uint32_t i = 0; i < paths.size(); ++i) {
      if (keep(i)) rest.push_back(paths[i]), original.push_back(i);
    }
    const auto filtered = filter_forest(build_forest(paths), keep);
    const auto built = build_forest(rest);
    ASSERT_EQ(filtered.size(), built.size());
    for (size_t i = 0; i < built.size(); ++i) {
      EXPECT_EQ(filtered[i].path, original[built[i].path]);
      EXPECT_EQ(filtered[i].shared, built[i].shared);
    }
  }
}

TEST(Plan, RowsAndSlotsSpellTheRequests) {
  for (uint64_t seed = 300; seed < 380; ++seed) {
    Random random(seed);
    const Requests requests = random_requests(seed, 40);
    const auto paths = requests.paths();
    const auto forest = build_forest(paths);
    PlanLimits limits;
    limits.pass_tokens = 1 + static_cast<int64_t>(random.below(40));
    limits.kept_tokens = static_cast<int64_t>(random.below(20));
    if (random.below(2) == 0) limits.pass_slots = 30;
    if (random.below(2) == 0) {
      limits.free_ancestors = static_cast<int64_t>(random.below(8));
      limits.row_ancestors = 1 + static_cast<int64_t>(random.below(3));
    }
    const auto passes = plan_passes(forest, paths, limits);

    uint64_t fresh = 0;
    std::vector<std::vector<TokenId>> memory;  // kept position -> the prefix it stands for
    std::set<std::vector<TokenId>> computed;
    // What each row of each pass stands for.
    std::vector<std::vector<std::vector<TokenId>>> prefix_of;
    PassRows rows;
    for (const PassPlan& pass : passes) {
      build_pass(forest, paths, pass, rows);
      ASSERT_EQ(rows.ids.size(), pass.rows);
      ASSERT_LE(pass.kept, limits.kept_tokens);
      EXPECT_LE(static_cast<int64_t>(pass.rows),
                std::max<int64_t>(limits.pass_tokens,
                                  pass.recomputed + std::max<int64_t>(1, limits.pass_tokens / 4)));
      // Rows give way to kept positions that have no room beside them.
      if (pass.kept > limits.free_ancestors) {
        const int64_t room = limits.free_ancestors + limits.row_ancestors * limits.pass_tokens;
        const int64_t asked = pass.kept + limits.row_ancestors * static_cast<int64_t>(pass.rows);
        const int64_t least = pass.recomputed + std::max<int64_t>(1, limits.pass_tokens / 4);
        EXPECT_TRUE(asked <= room || static_cast<int64_t>(pass.rows) <= least) << asked << " of " << room;
      }
      fresh += pass.rows - pass.recomputed;
      ASSERT_GE(memory.size(), pass.kept);
      auto& prefixes = prefix_of.emplace_back(pass.rows);
      std::vector<char> covered(pass.rows, 0);
      for (const ops::Segment& segment : rows.segments) {
        for (int64_t i = 0; i < segment.count; ++i) {
          const auto row = static_cast<size_t>(segment.row + i);
          ASSERT_FALSE(covered[row]);
          covered[row] = 1;
          EXPECT_EQ(rows.positions[row], segment.position + i);
          std::vector<TokenId> path;
          for (int64_t p = 0; p <= segment.position + i; ++p) {
            const auto slot = static_cast<size_t>(segment.slots[p]);
            if (slot < pass.kept) {
              ASSERT_EQ(memory[slot].size(), static_cast<size_t>(p) + 1);
              path.push_back(memory[slot].back());
            } else {
              ASSERT_LE(slot - pass.kept, row);
              path.push_back(rows.ids[slot - pass.kept]);
            }
          }
          EXPECT_EQ(segment.slots[segment.position + i], static_cast<int32_t>(pass.kept + row));
          if (row >= pass.recomputed) {
            EXPECT_TRUE(computed.insert(path).second);
          } else {
            EXPECT_TRUE(computed.count(path));
          }
          prefixes[row] = path;
        }
      }
      memory.resize(std::max<size_t>(memory.size(), pass.keep));
      for (size_t row = 0; row < pass.rows; ++row) {
        EXPECT_TRUE(covered[row]);
        if (rows.store[row] >= 0) {
          ASSERT_LT(static_cast<uint32_t>(rows.store[row]), pass.keep);
          memory[static_cast<size_t>(rows.store[row])] = prefixes[row];
        }
      }
    }
    EXPECT_EQ(fresh, forest_tokens(forest, paths));

    RowTracker tracker(forest, paths, passes);
    for (uint32_t e = 0; e < forest.size(); ++e) {
      const auto places = tracker.advance(e);
      const auto& tokens = requests.tokens[forest[e].path];
      ASSERT_EQ(places.size(), tokens.size());
      for (size_t p = 0; p < places.size(); ++p) {
        const std::vector<TokenId> want(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(p) + 1);
        EXPECT_EQ(prefix_of[places[p].pass][places[p].row], want);
      }
    }
  }
}

// A nested chain as deep as the number of requests, and many requests at once: no recursion, and a
// cost that follows the number of tokens.
TEST(Plan, LargeForests) {
  const size_t n = 3000;
  std::vector<TokenId> text(n);
  for (size_t i = 0; i < n; ++i) text[i] = static_cast<TokenId>(i % 17);
  std::vector<PathView> chain;
  for (size_t i = n; i > 0; --i) chain.push_back({TokenSpan(text).first(i), {}});
  EXPECT_EQ(forest_tokens(build_forest(chain), chain), n);

  const size_t requests = 200000, questions = requests / 4;
  std::vector<TokenId> tokens;
  Random random(5);
  const auto begin = [&](size_t length, uint64_t range) {
    const size_t at = tokens.size();
    for (size_t i = 0; i < length; ++i) tokens.push_back(static_cast<TokenId>(random.below(range)));
    return at;
  };
  tokens.reserve(questions * 60 + requests * 4);
  const size_t question = begin(questions * 60, 50000), option = begin(requests * 4, 50000);
  std::vector<PathView> paths;
  for (size_t i = 0; i < requests; ++i) {
    paths.push_back({TokenSpan(tokens).subspan(question + i / 4 * 60, 60),
                     TokenSpan(tokens).subspan(option + i * 4, 4)});
  }
  const auto forest = build_forest(paths);
  const uint64_t distinct = forest_tokens(forest, paths);
  EXPECT_LE(distinct, questions * 60 + requests * 4);
  EXPECT_GE(distinct, questions * 60);
  const auto passes = plan_passes(forest, paths, {});
  EXPECT_GE(passes.size() * 2048, distinct);
}

}  // namespace
}  // namespace assay::engine
