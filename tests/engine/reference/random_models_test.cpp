// Random models of every family open, hold finite values, and give finite log-probabilities; the
// absorbed form of MLA is the same function as the expanded one.
#include "tests/engine/random_models.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "base/random.h"
#include "engine/reference/model.h"

namespace assay::engine::test {
namespace {

constexpr uint64_t kSeeds = 12;

class RandomModels : public ::testing::TestWithParam<std::string_view> {};

std::vector<TokenId> random_tokens(int64_t n, int64_t vocabulary, uint64_t seed) {
  Random random(seed, 99);
  std::vector<TokenId> out;
  for (int64_t i = 0; i < n; ++i)
    out.push_back(static_cast<TokenId>(random.below(static_cast<uint64_t>(vocabulary))));
  return out;
}

TEST_P(RandomModels, OpenAndRun) {
  const Workers workers;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const RandomModel model = random_model(GetParam(), seed);
    SCOPED_TRACE(describe(model));
    const TemporaryDirectory directory;
    write_checkpoint(directory.path(), model);
    const Checkpoint checkpoint = Checkpoint::open(directory.path());
    for (const TensorView& tensor : checkpoint.tensors()) checkpoint.check_values(tensor);

    const auto tokens = random_tokens(9, checkpoint.config().vocabulary, seed);
    const reference::Output plain = reference::Model(checkpoint, workers).forward(tokens);
    const reference::Output absorbed =
        reference::Model(checkpoint, workers, {.absorbed = true}).forward(tokens);
    for (size_t i = 0; i < plain.logits.data.size(); ++i) {
      ASSERT_TRUE(std::isfinite(plain.logits.data[i]));
      ASSERT_NEAR(plain.logits.data[i], absorbed.logits.data[i], 1e-9);
    }
    // Weights are scaled so that the model is neither flat nor certain.
    const double* last = plain.logprobs.row(8);
    EXPECT_LT(*std::max_element(last, last + plain.logprobs.cols), -1e-3);
    for (const Numerics numerics : {Numerics::bf16, Numerics::fp8, Numerics::fp8_weights}) {
      const reference::Output out =
          reference::Model(checkpoint, workers, {.numerics = numerics}).forward(tokens);
      for (const double x : out.logits.data) ASSERT_TRUE(std::isfinite(x));
    }
    if (checkpoint.weights().mtp) {
      const reference::Output out = reference::Model(checkpoint, workers)
                                        .forward_mtp(tokens, reference::MtpHidden::after_norm);
      EXPECT_EQ(out.logits.rows, 8);
    }
  }
}

TEST_P(RandomModels, SameSeedSameBytes) {
  const TemporaryDirectory a, b;
  RandomModel model = random_model(GetParam(), 3);
  model.shards = 1;
  write_checkpoint(a.path(), model);
  write_checkpoint(b.path(), model);
  EXPECT_EQ(read_file(a.path() / "model.safetensors"), read_file(b.path() / "model.safetensors"));
}

std::string family_test_name(const ::testing::TestParamInfo<std::string_view>& info) {
  return std::string(info.param);
}
INSTANTIATE_TEST_SUITE_P(Families, RandomModels, ::testing::ValuesIn(kRandomFamilies),
                         family_test_name);

}  // namespace
}  // namespace assay::engine::test
