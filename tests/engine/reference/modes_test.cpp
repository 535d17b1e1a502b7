// What goes beyond the exact forward pass: FP8 activations (w8a8), bf16 operands, the absorbed form
// of MLA, the MTP layer, latent-norm epsilon, and a trained public model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "engine/reference/linear.h"
#include "engine/reference/model.h"
#include "tests/engine/reference_cases.h"
#include "tests/support/paths.h"

namespace assay::engine::test {
namespace {

using reference::Formula;
using reference::Model;
using reference::MtpHidden;
using reference::Output;

struct Loaded {
  ReferenceCase c;
  Checkpoint checkpoint;
  std::vector<ReferenceSequence> sequences;
  Workers workers;
  Loaded(const std::string& name, const std::string& reference)
      : c(reference_case(name, reference)),
        checkpoint(Checkpoint::open(c.model, c.config)),
        sequences(reference_sequences(c)) {}
  Output run(const std::vector<TokenId>& tokens, reference::Options options = {}) const {
    return Model(checkpoint, workers, options).forward(tokens);
  }
  const std::vector<TokenId>& tokens(std::string_view id) const {
    for (const ReferenceSequence& q : sequences)
      if (q.id == id) return q.tokens;
    throw std::runtime_error("no such sequence");
  }
};

// Largest and mean difference of next_logprob and argmax_logprob.
struct Difference {
  double max = 0, mean = 0;
};
Difference difference(const Output& out, const ReferenceSequence& q) {
  Difference d;
  int count = 0;
  const auto add = [&](double mine, double theirs) {
    d.max = std::max(d.max, std::fabs(mine - theirs));
    d.mean += std::fabs(mine - theirs);
    ++count;
  };
  for (size_t i = 0; i < q.tokens.size(); ++i) {
    const double* row = out.logprobs.row(static_cast<int64_t>(i));
    if (i + 1 < q.tokens.size()) add(row[q.tokens[i + 1]], q.next_logprob[i]);
    add(row[q.argmax[i]], q.argmax_logprob[i]);
  }
  d.mean /= count;
  return d;
}

// --- w8a8 ----------------------------------------------------------------------------------------

class W8a8 : public ::testing::TestWithParam<const char*> {};

TEST_P(W8a8, SingleLinears) {
  ASSAY_NEED_SHARED("reference");
  const Loaded m(GetParam(), "ref-w8a8");
  const auto document = json::Document::load(m.c.folder / "w8a8-linear.json");
  const std::string bytes = read_file(m.c.folder / document.root().at("file").string());
  const auto at = [&](json::Value part) {
    return bytes.data() + static_cast<size_t>(part.at("offset_bytes").integer());
  };
  const bool ue8m0 = m.checkpoint.config().ue8m0_scales;
  document.root().at("cases").for_each_element([&](json::Value c) {
    SCOPED_TRACE(c.at("weight").string());
    const TensorView weight = m.checkpoint.find(c.at("weight").string());
    ASSERT_TRUE(weight);
    const reference::Linear linear(weight, {Numerics::fp8, ue8m0, {}});
    const int64_t rows = c.at("rows").integer(), in = c.at("in").integer();
    const int64_t blocks = (in + 127) / 128, out = c.at("out").integer();
    std::vector<float> x(static_cast<size_t>(rows * in)), xs(static_cast<size_t>(rows * blocks));
    std::vector<float> y(static_cast<size_t>(rows * out));
    std::memcpy(x.data(), at(c.at("x")), x.size() * sizeof(float));
    std::memcpy(xs.data(), at(c.at("xs")), xs.size() * sizeof(float));
    std::memcpy(y.data(), at(c.at("y")), y.size() * sizeof(float));
    const float largest = *std::max_element(
        y.begin(), y.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); });
    for (int64_t r = 0; r < rows; ++r) {
      const reference::QuantizedRow q =
          reference::quantize_activation(x.data() + r * in, in, ue8m0, {});
      ASSERT_EQ(std::memcmp(q.bytes.data(), at(c.at("xq")) + r * in, static_cast<size_t>(in)), 0);
      ASSERT_TRUE(std::equal(q.scales.begin(), q.scales.end(), xs.begin() + r * blocks));
      const std::vector<double> row(x.begin() + r * in, x.begin() + (r + 1) * in);
      std::vector<double> mine(static_cast<size_t>(out));
      linear.apply(row.data(), mine.data());
      for (int64_t i = 0; i < out; ++i)
        ASSERT_NEAR(mine[static_cast<size_t>(i)], y[static_cast<size_t>(r * out + i)],
                    1e-5 * std::fabs(largest));
    }
  });
}

TEST_P(W8a8, FiveTokenSequencesAndMeans) {
  ASSAY_NEED_SHARED("reference");
  const Loaded m(GetParam(), "ref-w8a8");
  const Model quantised(m.checkpoint, m.workers, {.numerics = Numerics::fp8});
  const Model exact(m.checkpoint, m.workers);
  int agree = 0, agree_unquantised = 0, five = 0;
  const auto document = reference_document(m.c);
  const json::Value sequences = document.root().at("sequences");
  for (size_t i = 0; i < m.sequences.size(); ++i) {
    const ReferenceSequence& q = m.sequences[i];
    SCOPED_TRACE(q.id);
    if (q.tokens.size() > 200) continue;
    const Difference d = difference(quantised.forward(q.tokens), q);
    if (q.id.starts_with("w5")) {
      ++five;
      agree += d.max <= 1e-3;
      agree_unquantised += difference(exact.forward(q.tokens), q).max <= 1e-3;
    } else if (q.tokens.size() >= 64) {
      // Not smooth: as far off as the reference itself under another order or precision.
      const json::Value spread = sequences[i].at("spread");
      const double other = std::max(spread.at("scale_order").at("mean").number(),
                                    spread.at("other_math_float64").at("mean").number());
      EXPECT_LE(d.mean, 1.5 * other + 1e-3);
    }
  }
  EXPECT_EQ(five, 24);
  RecordProperty("within_1e-3", agree);
  // The reference's own two harmless variants agree on 17 (dsv3-fp8) and 24 of 24.
  EXPECT_GE(agree, m.c.name == "dsv3-fp8" ? 16 : 24);
  EXPECT_EQ(agree_unquantised, 0);
}

INSTANTIATE_TEST_SUITE_P(Cases, W8a8, ::testing::Values("dsv3-fp8", "dsv3-fp8-ue8m0"));

// --- bf16 ----------------------------------------------------------------------------------------

class Bf16 : public ::testing::TestWithParam<const char*> {};

TEST_P(Bf16, WithinTheMeasuredTolerance) {
  ASSAY_NEED_SHARED("reference");
  const Loaded m(GetParam(), "ref");
  const Model model(m.checkpoint, m.workers, {.numerics = Numerics::bf16});
  std::vector<double> differences;
  int argmax_equal = 0, positions = 0;
  for (const ReferenceSequence& q : m.sequences) {
    const Output out = model.forward(q.tokens);
    for (size_t i = 0; i < q.tokens.size(); ++i, ++positions) {
      const double* row = out.logprobs.row(static_cast<int64_t>(i));
      argmax_equal += out.argmax(static_cast<int64_t>(i)) == q.argmax[i];
      if (i + 1 < q.tokens.size())
        differences.push_back(std::fabs(row[q.tokens[i + 1]] - q.next_logprob[i]));
      differences.push_back(std::fabs(row[q.argmax[i]] - q.argmax_logprob[i]));
    }
  }
  std::sort(differences.begin(), differences.end());
  double mean = 0;
  for (const double d : differences) mean += d / static_cast<double>(differences.size());
  EXPECT_LE(mean, 0.06);
  EXPECT_GE(mean, 1e-3);  // it is not the exact pass
  EXPECT_LE(differences[differences.size() * 99 / 100], 0.25);
  EXPECT_LE(differences.back(), 0.8);
  EXPECT_EQ(positions, 984);
  EXPECT_GE(argmax_equal, 930);
}

INSTANTIATE_TEST_SUITE_P(Cases, Bf16,
                         ::testing::Values("dsv3-bf16", "dsv2", "qwen3-moe", "llama3.1"));

// --- MLA, absorbed -------------------------------------------------------------------------------

TEST(Absorbed, IsTheSameFunction) {
  ASSAY_NEED_SHARED("reference");
  for (const char* name : {"dsv3-bf16-yarn-short", "dsv2-lite"}) {
    const Loaded m(name, "ref");
    const Output plain = m.run(m.tokens("s64"));
    const Output absorbed = m.run(m.tokens("s64"), {.absorbed = true});
    for (size_t i = 0; i < plain.logits.data.size(); ++i)
      ASSERT_NEAR(plain.logits.data[i], absorbed.logits.data[i], 1e-9);
  }
}

TEST(Absorbed, RoundsElsewhereInBf16) {
  ASSAY_NEED_SHARED("reference");
  const Loaded m("dsv3-bf16", "ref");
  const Output plain = m.run(m.tokens("s17"), {.numerics = Numerics::bf16});
  const Output absorbed = m.run(m.tokens("s17"), {.numerics = Numerics::bf16, .absorbed = true});
  double largest = 0;
  for (size_t i = 0; i < plain.logprobs.data.size(); ++i)
    largest = std::max(largest, std::fabs(plain.logprobs.data[i] - absorbed.logprobs.data[i]));
  EXPECT_GT(largest, 1e-6);
  EXPECT_LT(largest, 0.8);
}

TEST(LatentNorm, ClassEpsilonWhateverTheConfigSays) {
  ASSAY_NEED_SHARED("reference");
  // All reference configs have 1e-6; with 1e-2 in the file only the latent norms must stay.
  const ReferenceCase c = reference_case("dsv3-bf16", "ref");
  const TemporaryDirectory directory;
  std::string text = read_file(c.config);
  const std::string from = "\"rms_norm_eps\": 1e-06";
  ASSERT_NE(text.find(from), std::string::npos);
  text.replace(text.find(from), from.size(), "\"rms_norm_eps\": 1e-02");
  write_file_atomically(directory.path() / "config.json", text);
  const Checkpoint checkpoint = Checkpoint::open(c.model, directory.path() / "config.json");
  const Workers workers;
  const std::vector<TokenId> tokens = {1, 2, 3};
  Formula wrong;
  wrong.latent_norm_class_eps = false;
  const Output right = Model(checkpoint, workers).forward(tokens);
  const Output flipped = Model(checkpoint, workers, {.formula = wrong}).forward(tokens);
  EXPECT_GT(std::fabs(right.logprobs.row(2)[5] - flipped.logprobs.row(2)[5]), 1e-5);
}

// --- MTP -----------------------------------------------------------------------------------------

class MtpLayer : public ::testing::TestWithParam<const char*> {};

TEST_P(MtpLayer, BothConventions) {
  ASSAY_NEED_SHARED("reference");
  const bool fp8 = std::string_view(GetParam()) == "dsv3-fp8";
  const Loaded m(GetParam(), fp8 ? "ref-dequant" : "ref");
  const Model model(m.checkpoint, m.workers);
  const auto document = json::Document::load(m.c.folder / "mtp.json");
  document.root().at("sequences").for_each_element([&](json::Value s) {
    SCOPED_TRACE(s.at("id").string());
    const std::vector<TokenId>& tokens = m.tokens(s.at("id").string());
    for (const MtpHidden hidden : {MtpHidden::before_norm, MtpHidden::after_norm}) {
      const json::Value e = s.at(hidden == MtpHidden::before_norm ? "before_norm" : "after_norm");
      const Output out = model.forward_mtp(tokens, hidden);
      const std::vector<double> second = numbers(e.at("second_next_logprob"));
      const std::vector<double> argmax_logprob = numbers(e.at("argmax_logprob"));
      const std::vector<TokenId> argmax = ids(e.at("argmax"));
      ASSERT_EQ(out.logits.rows, static_cast<int64_t>(tokens.size()) - 1);
      for (size_t i = 0; i < argmax.size(); ++i) {
        const double* row = out.logprobs.row(static_cast<int64_t>(i));
        if (i < second.size()) {
          ASSERT_NEAR(row[tokens[i + 2]], second[i], 1e-9) << i;
        }
        ASSERT_EQ(out.argmax(static_cast<int64_t>(i)), argmax[i]) << i;
        ASSERT_NEAR(row[argmax[i]], argmax_logprob[i], 1e-9) << i;
      }
    }
  });
}

TEST_P(MtpLayer, EmbeddingFirst) {
  ASSAY_NEED_SHARED("reference");
  const bool fp8 = std::string_view(GetParam()) == "dsv3-fp8";
  const Loaded m(GetParam(), fp8 ? "ref-dequant" : "ref");
  Formula wrong;
  wrong.mtp_embedding_first = false;
  const std::vector<TokenId>& tokens = m.tokens("s17");
  const Output right = Model(m.checkpoint, m.workers).forward_mtp(tokens, MtpHidden::after_norm);
  const Output flipped =
      Model(m.checkpoint, m.workers, {.formula = wrong}).forward_mtp(tokens, MtpHidden::after_norm);
  double largest = 0;
  for (size_t i = 0; i < right.logprobs.data.size(); ++i)
    largest = std::max(largest, std::fabs(right.logprobs.data[i] - flipped.logprobs.data[i]));
  EXPECT_GT(largest, 0.5);
}

INSTANTIATE_TEST_SUITE_P(Cases, MtpLayer, ::testing::Values("dsv3-bf16", "dsv3-fp8"));

// --- a trained model, and bad requests -----------------------------------------------------------

TEST(Trained, Stories260kWritesItsStory) {
  ASSAY_NEED_SHARED("weights/stories260k-hf");
  const std::filesystem::path folder = test_paths::shared() / "weights/stories260k-hf";
  const Checkpoint checkpoint = Checkpoint::open(folder);
  EXPECT_EQ(numerics_of_weights(checkpoint.tensors()), Numerics::fp32);
  const Workers workers;
  const auto document = json::Document::load(folder / "greedy.json");
  std::vector<TokenId> tokens = ids(document.root().at("prompt"));
  const std::vector<TokenId> greedy = ids(document.root().at("greedy"));
  const std::vector<double> logprob = numbers(document.root().at("logprob"));
  tokens.insert(tokens.end(), greedy.begin(), greedy.end() - 1);
  const Output out = Model(checkpoint, workers).forward(tokens);
  for (size_t i = 0; i < greedy.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    ASSERT_EQ(out.argmax(row), greedy[i]) << i;
    // The difference grows with the position, as with rotary angles kept in fp32 over there:
    // 200 * 2^-24 rad.
    ASSERT_NEAR(out.logprobs.row(row)[greedy[i]], logprob[i], 1.2e-5) << i;
  }
}

TEST(BadRequests, AreNamed) {
  ASSAY_NEED_SHARED("reference");
  const Loaded m("qwen2-tied", "ref");
  EXPECT_THROW(m.run({}), Error);
  EXPECT_THROW(m.run({520}), Error);
  EXPECT_THROW(m.run({-1}), Error);
  EXPECT_NO_THROW(m.run({519}));
  EXPECT_THROW(
      Model(m.checkpoint, m.workers).forward_mtp(std::vector<TokenId>{1, 2}, MtpHidden::after_norm),
      Error);
}

}  // namespace
}  // namespace assay::engine::test
