// Several ranks from the command line: the same bits and the same store as one, as threads of one process
// and as processes; one error when something is wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "results/store.h"
#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

constexpr const char* kForms[] = {"data", "expert", "pipeline"};
const std::string kScores =
    "{\"id\":1,\"context\":\"2 + 2 =\",\"continuation\":\" 4\"}\n"
    "{\"id\":2,\"context\":\"Once upon a time\",\"continuation\":\" there was a little girl\"}\n"
    "{\"id\":3,\"context\":[],\"continuation\":[5,17,3]}\n";
const std::string kPrompts =
    "{\"id\":1,\"prompt\":\"Once upon a time\",\"max_tokens\":24}\n"
    "{\"id\":2,\"prompt\":\"2 + 2 =\",\"max_tokens\":9,\"stop\":[\"\\n\"]}\n"
    "{\"id\":3,\"prompt\":\"The \",\"max_tokens\":12,\"temperature\":0.8,\"seed\":4}\n";

std::vector<std::string> on_model(const std::string& verb, const std::vector<std::string>& more) {
  std::vector<std::string> out{verb, "--model", sample_checkpoint("base-step-001201"), "--threads", "1"};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}
std::vector<std::string> run_into(const fs::path& store, const std::vector<std::string>& more) {
  std::vector<std::string> out =
      on_model("run", {"--tasks", "hellaswag,gsm8k", "--data", "sample", "--store", store.string(), "--limit",
                       "6", "--quiet", "--json"});
  out.insert(out.end(), more.begin(), more.end());
  return out;
}
std::string digest_of(const fs::path& store) {
  return results::Store::open(store, results::Store::Access::read).content_digest(results::RunId{1});
}

TEST(Ranks, ThreadsGiveTheOutputOfOne) {
  const Outcome scores = assay(on_model("score", {}), kScores);
  const Outcome texts = assay(on_model("generate", {}), kPrompts);
  ASSERT_EQ(scores.code + texts.code, 0) << scores.err << texts.err;
  for (const char* form : kForms) {
    for (const char* devices : {"cpu,cpu", "cpu,cpu,cpu,cpu"}) {
      const std::vector<std::string> ranks{"--device", devices, "--parallel", form};
      EXPECT_EQ(assay(on_model("score", ranks), kScores).out, scores.out) << form << devices;
      EXPECT_EQ(assay(on_model("generate", ranks), kPrompts).out, texts.out) << form << devices;
    }
  }
}

// The identity is that of one rank: a run begun by one is continued by several, and the record says so.
TEST(Ranks, OneStoreWhateverTheRanks) {
  const TemporaryDirectory dir;
  const fs::path one = dir.path() / "one.sqlite", several = dir.path() / "several.sqlite";
  ASSERT_EQ(assay(run_into(one, {})).code, 0);
  const Outcome outcome = assay(run_into(several, {"--device", "cpu,cpu", "--parallel", "expert"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(digest_of(several), digest_of(one));
  const Outcome card = assay({"show", "1", "--store", several.string()});
  EXPECT_NE(card.out.find("2, expert parallel"), std::string::npos) << card.out;
  const Outcome again = assay(run_into(one, {"--device", "cpu,cpu,cpu", "--parallel", "pipeline"}));
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_NE(again.out.find("\"tokens_computed\":0"), std::string::npos) << again.out;
  const Outcome plan = assay(run_into(dir.path() / "none", {"--device", "cpu,cpu", "--parallel", "pipeline", "--dry-run"}));
  EXPECT_EQ(plan.code, 0) << plan.err;
  EXPECT_NE(plan.out.find("\"ranks\":2"), std::string::npos) << plan.out;
}

TEST(Ranks, WhatCannotBeDividedIsRefused) {
  const auto refused = [](const std::vector<std::string>& more, int code, const std::string& part) {
    const Outcome outcome = assay(on_model("score", more), kScores);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
  };
  refused({"--parallel", "expert"}, 2, "one rank");
  refused({"--parallel", "tensor"}, 2, "pipeline");
  refused({"--device", "cpu,cuda:0"}, 2, "one kind");
  refused({"--device", "cpu,cpu,cpu,cpu,cpu", "--parallel", "pipeline"}, 2, "4 layers");
}

class Mpi : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_mpi()) GTEST_SKIP() << "no mpirun, or a program without MPI";
  }
};

TEST_F(Mpi, ProcessesGiveTheOutputOfOne) {
  const Outcome scores = assay(on_model("score", {}), kScores);
  const Outcome texts = assay(on_model("generate", {}), kPrompts);
  for (const char* form : kForms) {
    for (const int processes : {2, 3}) {
      const Outcome s = assay_of(processes, on_model("score", {"--parallel", form}), kScores);
      EXPECT_EQ(s.code, 0) << s.err;
      EXPECT_EQ(s.out, scores.out) << form << processes;
      const Outcome t = assay_of(processes, on_model("generate", {"--parallel", form, "--speculate", "mtp"}), kPrompts);
      EXPECT_EQ(t.code, 0) << t.err;
      EXPECT_EQ(t.out, texts.out) << form << processes;
    }
  }
}

// Only the first process writes: one store, one run; other verbs are the first one's alone.
TEST_F(Mpi, OneStore) {
  const TemporaryDirectory dir;
  const fs::path one = dir.path() / "one.sqlite", several = dir.path() / "several.sqlite";
  ASSERT_EQ(assay(run_into(one, {})).code, 0);
  const Outcome outcome = assay_of(2, run_into(several, {"--parallel", "expert"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(digest_of(several), digest_of(one));
  const Outcome card = assay_of(2, {"show", "1", "--store", several.string()});
  EXPECT_EQ(card.code, 0) << card.err;
  EXPECT_NE(card.out.find("2, expert parallel"), std::string::npos) << card.out;
}

// A failure of any rank is one line of the program's (mpirun adds its own), with its code, and no hang.
TEST_F(Mpi, OneErrorEndsAll) {
  const auto fails = [](const std::vector<std::string>& arguments, int code, const std::string& part) {
    const Outcome outcome = assay_of(3, arguments, kScores);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_EQ(outcome.out.find("logprob"), std::string::npos);
    size_t lines = 0;
    for (size_t at = 0; (at = outcome.err.find("error: ", at)) != std::string::npos; ++at) ++lines;
    EXPECT_EQ(lines, 1u) << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
  };
  fails({"score", "--model", "/nonexistent"}, 3, "/nonexistent");
  fails(on_model("score", {"--parallel", "none"}), 2, "3 ranks");
  // NaN in a weight that only one of the ranks keeps.
  const TemporaryDirectory dir;
  const fs::path model = dir.path() / "model";
  fs::copy(sample_checkpoint(), model, fs::copy_options::recursive);
  std::string weights = read_file(model / "model.safetensors");
  const std::string name = "\"model.layers.3.mlp.experts.15.down_proj.weight\"";
  const size_t at = weights.find(name), list = weights.find("\"data_offsets\":[", at);
  ASSERT_NE(at, std::string::npos);
  uint64_t header = 0;
  std::memcpy(&header, weights.data(), 8);
  const size_t offset = std::stoull(weights.substr(list + 16));
  weights.replace(8 + header + offset, 2, "\x7f\x7f");
  write_file_atomically(model / "model.safetensors", weights);
  for (const char* form : kForms) {
    fails({"score", "--model", model.string(), "--threads", "1", "--parallel", form}, 3, "experts.15.down_proj");
  }
}

}  // namespace
}  // namespace assay::e2e
