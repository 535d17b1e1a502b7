#include <gtest/gtest.h>

#include <cmath>

#include "base/digest.h"
#include "base/random.h"

namespace assay {
namespace {

// FIPS 180-4 examples, and the vector of the task specification.
TEST(Sha256, PublishedVectors) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("winogrande/0/0"),
            "515b21b4b27a8d7f5f73477be0cae0c8907559ff6059467de61d37959862a5c9");
}

// Known answers of the Random123 distribution (kat_vectors, philox4x32 10).
TEST(Philox, PublishedVectors) {
  using A = std::array<uint32_t, 4>;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (A{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (A{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Random, BelowStaysBelowAndCoversAll) {
  Random r(7);
  int seen[5] = {};
  for (int i = 0; i < 1000; ++i) ++seen[r.below(5)];
  for (const int count : seen) EXPECT_GT(count, 140);  // expectation 200, sd 12.6
}

TEST(Random, NormalHasUnitVariance) {
  Random r(1, 2);
  double sum = 0, squares = 0;
  constexpr int n = 20000;
  for (int i = 0; i < n; ++i) {
    const double x = r.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / n, 0, 5 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1, 5 * std::sqrt(2.0 / n));
}

}  // namespace
}  // namespace assay
