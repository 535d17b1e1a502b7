// assay watch on the bundled checkpoints: scores what has arrived, once, over restarts and kills.
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "results/queries.h"
#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

class WatchTest : public testing::Test {
 protected:
  WatchTest() { fs::create_directory(folder()); }
  fs::path folder() const { return dir_.path() / "checkpoints"; }
  fs::path store() const { return dir_.path() / "s.sqlite"; }

  void arrive(const std::string& name, const std::string& as) {
    fs::copy(sample_checkpoint(name), folder() / as, fs::copy_options::recursive);
  }
  std::vector<std::string> arguments(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> out{"watch",   folder().string(), "--tasks", "hellaswag", "--limit", "6",
                                 "--data",  "sample",          "--store", store().string(),
                                 "--quiet", "--settle",        "0",       "--once",    "--json"};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }
  static std::vector<std::string> checkpoints(const std::string& lines) {
    std::vector<std::string> names;
    json::for_each_line(lines, "watch", [&](json::Value line, size_t) {
      names.push_back(std::string(line.at("checkpoint").string()) + " " +
                      std::string(line.at("status").string()));
    });
    return names;
  }
  TemporaryDirectory dir_{"assay-watch-test"};
};

TEST_F(WatchTest, ScoresEachCheckpointOnce) {
  Outcome outcome = assay(arguments());
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("no checkpoints yet"), std::string::npos) << outcome.err;

  arrive("base-step-001201", "mine-step-1201");
  arrive("base-step-000600", "mine-step-600");
  fs::remove(folder() / "mine-step-1201" / "tokenizer.json");  // on its way
  outcome = assay(arguments({"--tokens-per-step", "1000"}));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(checkpoints(outcome.out), std::vector<std::string>{"mine-step-600 scored"});
  EXPECT_NE(outcome.err.find("mine-step-1201: not yet: tokenizer.json is missing"),
            std::string::npos)
      << outcome.err;

  fs::copy_file(fs::path(sample_checkpoint()) / "tokenizer.json",
                folder() / "mine-step-1201" / "tokenizer.json");
  outcome = assay(arguments());
  EXPECT_EQ(checkpoints(outcome.out), std::vector<std::string>{"mine-step-1201 scored"});
  EXPECT_NE(outcome.err.find("1 scored, 1 scored before"), std::string::npos) << outcome.err;
  EXPECT_TRUE(checkpoints(assay(arguments()).out).empty());
  EXPECT_EQ(checkpoints(read_file(store().string() + ".watch.jsonl")).size(), 2u);
  // Both are in one series, by the step of their names.
  const Outcome series = assay({"series", "--store", store().string(), "--json"});
  EXPECT_EQ(series.code, 0) << series.err;
  EXPECT_NE(series.out.find("\"series\":\"mine\""), std::string::npos) << series.out;
  // Tables for people, the checkpoint before beside the new one.
  arrive("base-step-001201", "mine-step-1300");
  std::vector<std::string> plain = arguments();
  plain.pop_back();
  outcome = assay(plain);
  EXPECT_NE(outcome.out.find("HellaSwag"), std::string::npos) << outcome.out;
}

TEST_F(WatchTest, TriesBrokenCheckpointsAgainAndGivesUp) {
  arrive("base-step-000600", "step-1");
  const fs::path weights = folder() / "step-1" / "model.safetensors";
  const std::string whole = read_file(weights);
  write_file_atomically(weights, whole.substr(0, whole.size() / 2));
  for (int attempt = 1; attempt <= 2; ++attempt) {
    const Outcome outcome = assay(arguments());
    EXPECT_EQ(outcome.code, 3) << outcome.err;
    EXPECT_NE(outcome.err.find("step-1: "), std::string::npos) << outcome.err;
  }
  const std::string journal = read_file(store().string() + ".watch.jsonl");
  EXPECT_NE(journal.find("\"attempt\":2"), std::string::npos) << journal;
  write_file_atomically(weights, whole);  // the copy was finished at last
  const Outcome outcome = assay(arguments());
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(checkpoints(outcome.out), std::vector<std::string>{"step-1 scored"});
}

TEST_F(WatchTest, KilledItGoesOn) {
  arrive("base-step-000600", "step-1");
  arrive("base-step-001201", "step-2");
  std::vector<std::string> forever = arguments();
  std::erase(forever, "--once");
  for (const double seconds : {0.3, 0.8}) assay_killed_after(forever, seconds);
  const Outcome outcome = assay(arguments());
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const auto opened = results::Store::open(store(), results::Store::Access::read);
  const auto runs = results::list_runs(opened);
  ASSERT_EQ(runs.size(), 2u);
  for (const auto& run : runs) EXPECT_TRUE(run.finished);
  int scored = 0;
  for (const std::string& line : checkpoints(read_file(store().string() + ".watch.jsonl")))
    scored += line.ends_with("scored");
  EXPECT_EQ(scored, 2);
}

TEST_F(WatchTest, SaysWhatIsWrongWithTheCommand) {
  std::vector<std::string> wrong = arguments();
  wrong[3] = "helaswag";
  Outcome outcome = assay(wrong);
  EXPECT_EQ(outcome.code, 2) << outcome.err;
  wrong = arguments();
  wrong[1] = (dir_.path() / "nowhere").string();
  EXPECT_EQ(assay(wrong).code, 3);
  wrong[1] = sample_checkpoint();
  outcome = assay(wrong);
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(outcome.err.find("assay run"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace assay::e2e
