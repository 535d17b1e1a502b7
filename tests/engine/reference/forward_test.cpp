// The naive forward pass against the float64 reference of every model: next-token log-probs,
// arg-maxes, last logits, greedy continuations, taps and router choices.
//
// Both sides compute in double with another order of sums, so they agree far better than the
// tolerance for fp32 engines (2e-4): 1e-9 leaves room for 700 positions of rounding.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/checkpoint/safetensors.h"
#include "engine/reference/model.h"
#include "tests/engine/random_models.h"
#include "tests/engine/reference_cases.h"

namespace assay::engine::test {
namespace {

constexpr double kTolerance = 1e-9;

struct Loaded {
  ReferenceCase c;
  Checkpoint checkpoint;
  Workers workers;
  reference::Model model;
  explicit Loaded(const ReferenceCase& which, reference::Options options = {})
      : c(which),
        checkpoint(Checkpoint::open(c.model, c.config)),
        model(checkpoint, workers, options) {}
};

class Forward : public ::testing::TestWithParam<ReferenceCase> {};

std::vector<ReferenceCase> exact_cases() {
  std::vector<ReferenceCase> out;
  for (const ReferenceCase& c : reference_cases())
    if (c.reference != "ref-w8a8") out.push_back(c);
  return out;
}

// One pass over prompt + greedy continuation gives all of a sequence's values (causality).
void check_sequence(const Loaded& run, const ReferenceSequence& q) {
  const size_t n = q.tokens.size();
  std::vector<TokenId> all = q.tokens;
  all.insert(all.end(), q.greedy.begin(), q.greedy.end() - 1);
  const reference::Output out = run.model.forward(all);
  for (size_t i = 0; i < n; ++i) {
    const double* logprobs = out.logprobs.row(static_cast<int64_t>(i));
    if (i + 1 < n) {
      ASSERT_NEAR(logprobs[q.tokens[i + 1]], q.next_logprob[i], kTolerance) << i;
    }
    ASSERT_EQ(out.argmax(static_cast<int64_t>(i)), q.argmax[i]) << i;
    ASSERT_NEAR(logprobs[q.argmax[i]], q.argmax_logprob[i], kTolerance) << i;
  }
  const double* last = out.logits.row(static_cast<int64_t>(n - 1));
  for (size_t v = 0; v < q.last_logits.size(); ++v)
    ASSERT_NEAR(last[v], q.last_logits[v], kTolerance) << v;
  for (size_t k = 0; k < q.greedy.size(); ++k) {
    const auto row = static_cast<int64_t>(n - 1 + k);
    ASSERT_EQ(out.argmax(row), q.greedy[k]) << "greedy step " << k;
    ASSERT_NEAR(out.logprobs.row(row)[q.greedy[k]], q.greedy_logprob[k], kTolerance) << k;
  }
}

TEST_P(Forward, LogprobsArgmaxesLogitsAndGreedy) {
  const Loaded run(GetParam());
  for (const ReferenceSequence& q : reference_sequences(GetParam())) {
    SCOPED_TRACE(q.id);
    check_sequence(run, q);
    if (HasFatalFailure()) return;
  }
}

std::vector<TokenId> tokens_of(const ReferenceCase& c, std::string_view id) {
  for (const ReferenceSequence& q : reference_sequences(c))
    if (q.id == id) return q.tokens;
  return {};
}

TEST_P(Forward, Taps) {
  const Loaded run(GetParam());
  const json::Document document = reference_document(GetParam());
  const json::Value taps = document.root().at("taps");
  const auto tokens = tokens_of(GetParam(), taps.at("sequence").string());
  const reference::Output out = run.model.forward(tokens);
  const std::vector<TokenId> entries = ids(taps.at("entries"));
  const json::Value points = taps.at("points");
  ASSERT_EQ(points.size(), out.taps.size());
  for (size_t p = 0; p < points.size(); ++p) {
    const reference::Tap& tap = out.taps[p];
    ASSERT_EQ(tap.name, points[p].at("name").string());
    const std::vector<double> l2 = numbers(points[p].at("l2"));
    for (size_t t = 0; t < tokens.size(); ++t) {
      const double* row = tap.values.row(static_cast<int64_t>(t));
      double square = 0;
      for (int64_t i = 0; i < tap.values.cols; ++i) square += row[i] * row[i];
      ASSERT_NEAR(std::sqrt(square), l2[t], kTolerance) << tap.name << " token " << t;
      const std::vector<double> values = numbers(points[p].at("values")[t]);
      for (size_t e = 0; e < entries.size(); ++e)
        ASSERT_NEAR(row[entries[e]], values[e], kTolerance) << tap.name << " token " << t;
    }
  }
}

TEST_P(Forward, RouterChoices) {
  const json::Document document = reference_document(GetParam());
  const json::Value router = document.root().find("router");
  if (!router.exists()) {  // a dense model
    EXPECT_EQ(load_config(GetParam().config).moe.routed_experts, 0);
    return;
  }
  const Loaded run(GetParam());
  const reference::Output out =
      run.model.forward(tokens_of(GetParam(), router.at("sequence").string()));
  const json::Value layers = router.at("layers");
  ASSERT_EQ(layers.size(), out.routing.size());
  for (size_t l = 0; l < layers.size(); ++l) {
    ASSERT_EQ(layers[l].at("layer").integer(), out.routing[l].layer);
    for (size_t t = 0; t < out.routing[l].tokens.size(); ++t) {
      const reference::Routing& mine = out.routing[l].tokens[t];
      const std::vector<TokenId> experts = ids(layers[l].at("experts")[t]);
      const std::vector<double> weights = numbers(layers[l].at("weights")[t]);
      ASSERT_EQ(std::vector<TokenId>(mine.experts.begin(), mine.experts.end()), experts);
      for (size_t i = 0; i < weights.size(); ++i)
        ASSERT_NEAR(mine.weights[i], weights[i], kTolerance);
    }
  }
}

std::string case_name(const ::testing::TestParamInfo<ReferenceCase>& info) {
  std::string name = info.param.name + "_" + info.param.reference;
  for (char& letter : name) {
    if (!std::isalnum(static_cast<unsigned char>(letter))) letter = '_';
  }
  return name;
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Forward);
INSTANTIATE_TEST_SUITE_P(Reference, Forward, ::testing::ValuesIn(exact_cases()), case_name);

// Power-of-two scales stored as bytes (an fp32's exponent field) or as BF16 (its upper half) are
// the same scales.
TEST(ScaleFormats, MeetTheReference) {
  ASSAY_NEED_SHARED("reference");
  for (const std::string dtype : {"F8_E8M0", "BF16"}) {
    SCOPED_TRACE(dtype);
    const TemporaryDirectory directory;
    ReferenceCase c = reference_case("dsv3-fp8-ue8m0", "ref-dequant");
    std::vector<StoredTensor> tensors;
    size_t scales = 0;
    for (const auto& file : std::filesystem::directory_iterator(c.model)) {
      if (file.path().extension() != ".safetensors") continue;
      const SafetensorsFile shard(file.path());
      for (const SafetensorsEntry& entry : shard.entries()) {
        StoredTensor out{entry.name,
                         entry.dtype,
                         shape_text(entry.shape),
                         {reinterpret_cast<const char*>(shard.data(entry)), entry.bytes}};
        if (out.name.ends_with("_scale_inv")) {
          std::string shorter;
          for (size_t at = 0; at < out.bytes.size(); at += sizeof(uint32_t)) {
            uint32_t bits;
            std::memcpy(&bits, out.bytes.data() + at, sizeof bits);
            if (dtype == "BF16")
              shorter += {static_cast<char>(bits >> 16 & 0xff), static_cast<char>(bits >> 24)};
            else
              shorter += static_cast<char>(bits >> 23);
            ++scales;
          }
          out.dtype = dtype;
          out.bytes = shorter;
        }
        tensors.push_back(std::move(out));
      }
    }
    ASSERT_GT(scales, 50u);
    write_safetensors(directory.path() / "model.safetensors", tensors);
    c.model = directory.path();
    const Loaded run(c);
    for (const ReferenceSequence& q : reference_sequences(c)) {
      if (q.tokens.size() < 100) check_sequence(run, q);
    }
  }
}

TEST(ReferenceMaterial, IsThere) {
  ASSAY_NEED_SHARED("reference");
  EXPECT_EQ(exact_cases().size(), 16u);
}

}  // namespace
}  // namespace assay::engine::test
