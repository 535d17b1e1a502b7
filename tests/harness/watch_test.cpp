// Which checkpoints have arrived, how far they were trained, and what a watch remembers.
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "harness/evaluation/training_progress.h"
#include "harness/watch/arrival.h"
#include "harness/watch/journal.h"

namespace assay::harness {
namespace {

struct NameCase {
  const char* name;
  int64_t step, tokens;  // -1: not told
};

TEST(TrainingProgress, IsReadFromNames) {
  const NameCase cases[] = {{"base-step-000600", 600, -1},
                            {"step1000-tokens4B", 1000, 4'000'000'000},
                            {"stage1-step10000-tokens42B", 10000, 42'000'000'000},
                            {"global_step500", 500, -1},
                            {"iter_0001000", 1000, -1},
                            {"checkpoint-2500", 2500, -1},
                            {"ckpt_10k", 10000, -1},
                            {"000600", 600, -1},
                            {"run7-100B-tokens", -1, 100'000'000'000},
                            {"run_3.5Ttok", -1, 3'500'000'000'000},
                            {"step=1200", 1200, -1},
                            {"llama-3.1-8B", -1, -1},
                            {"Qwen2.5-72B", -1, -1},
                            {"DeepSeek-V3-Base", -1, -1},
                            {"final", -1, -1},
                            {"step-final", -1, -1},
                            {"", -1, -1},
                            {"step-99999999999999999999999", -1, -1}};
  for (const NameCase& c : cases) {
    const TrainingProgress progress = progress_of_name(c.name);
    EXPECT_EQ(progress.step.value_or(-1), c.step) << c.name;
    EXPECT_EQ(progress.tokens.value_or(-1), c.tokens) << c.name;
  }
}

TEST(TrainingProgress, SourcesInOrder) {
  const TemporaryDirectory dir;
  EXPECT_FALSE(progress_of_trainer_state(dir.path()).step);
  write_file_atomically(dir.path() / "trainer_state.json",
                        R"({"global_step": 1500, "num_input_tokens_seen": 0})");
  const TrainingProgress state = progress_of_trainer_state(dir.path());
  EXPECT_EQ(state.step, 1500);
  EXPECT_FALSE(state.tokens);
  const TrainingProgress both = first_known({{std::nullopt, 7}, state, {1, 2}});
  EXPECT_EQ(both.step, 1500);
  EXPECT_EQ(both.tokens, 7);
  EXPECT_EQ(with_tokens_per_step(state, 100).tokens, 150000);
  EXPECT_EQ(with_tokens_per_step(both, 100).tokens, 7);
  write_file_atomically(dir.path() / "trainer_state.json", "{broken");
  EXPECT_FALSE(progress_of_trainer_state(dir.path()).step);
}

class ArrivalTest : public testing::Test {
 protected:
  void put(const std::string& file, const std::string& content = "x") {
    fs::create_directories((folder_.path() / file).parent_path());
    std::ofstream(folder_.path() / file) << content;
  }
  void put_small(const std::string& name) {
    for (const char* file : {"config.json", "tokenizer.json", "model.safetensors"})
      put(name + "/" + file);
  }
  // As seen an hour from now, so that everything has settled, unless told otherwise.
  std::vector<Arrival> look(const ArrivalRule& rule = {}, double later = 3600) {
    const double now = std::chrono::duration<double>(
                           std::chrono::system_clock::now().time_since_epoch())
                           .count();
    return look_for_checkpoints(folder_.path(), rule, now + later);
  }
  TemporaryDirectory folder_{"assay-arrival-test"};
};

TEST_F(ArrivalTest, WaitsForEveryFile) {
  put("notes/readme.txt");  // no checkpoint
  put(".step-3/config.json");
  put("step-4.tmp/config.json");
  put_small("step-100");
  put_small("step-20");
  put("step-7/model.safetensors");
  auto all = look();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].name, "step-7");  // by step, not by name
  EXPECT_EQ(all[0].missing, "config.json is missing");
  EXPECT_EQ(all[1].name, "step-20");
  EXPECT_EQ(all[1].missing, "");
  EXPECT_EQ(all[2].name, "step-100");
  EXPECT_EQ(look({.match = "step-1*", .marker = ""}).size(), 1u);

  put("step-20/optimizer.bin.tmp");
  EXPECT_EQ(look()[1].missing, "optimizer.bin.tmp is still being written");
}

TEST_F(ArrivalTest, WaitsForEveryShard) {
  for (const char* file : {"config.json", "tokenizer.json"}) put(std::string("s/") + file);
  EXPECT_NE(look()[0].missing.find("model.safetensors"), std::string::npos);
  put("s/model.safetensors.index.json", "{\"weight_map\": {");
  EXPECT_NE(look()[0].missing.find("cannot be read yet"), std::string::npos);
  put("s/model.safetensors.index.json",
      R"({"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors", "c": "m-1.safetensors"}})");
  put("s/m-1.safetensors");
  EXPECT_EQ(look()[0].missing, "1 of 2 shards are there, m-2.safetensors is missing");
  put("s/m-2.safetensors");
  EXPECT_EQ(look()[0].missing, "");
}

TEST_F(ArrivalTest, WaitsUntilNothingChangesOrForTheMarker) {
  put_small("step-1");
  EXPECT_NE(look({.marker = "", .settle = 30}, 1)[0].missing.find("waiting for 30 s"), std::string::npos);
  EXPECT_EQ(look({.marker = "", .settle = 0}, 1)[0].missing, "");
  EXPECT_NE(look({.marker = "", .settle = 30}, -100)[0].missing, "");  // another machine's clock is ahead
  EXPECT_EQ(look({.marker = "DONE"})[0].missing, "DONE is missing");
  const std::string before = look()[0].fingerprint;
  put("step-1/DONE", "");
  EXPECT_EQ(look({.marker = "DONE", .settle = 1e9}, 0)[0].missing, "");
  EXPECT_NE(look()[0].fingerprint, before);
  EXPECT_THROW(look_for_checkpoints(folder_.path() / "nowhere", {}, 0), Error);
}

TEST(WatchJournal, RemembersAndSurvivesAHalfWrittenLine) {
  const TemporaryDirectory dir;
  const fs::path path = dir.path() / "j.jsonl";
  const auto line = [](const char* checkpoint, const char* status) {
    return std::string(R"({"checkpoint": ")") + checkpoint +
           R"(", "fingerprint": "f", "question": "q", "status": ")" + status + "\"}";
  };
  {
    WatchJournal journal(path, "q");
    journal.append("a", "f", true, line("a", "scored"));
    journal.append("b", "f", false, line("b", "failed"));
    journal.append("b", "f", false, line("b", "failed"));
  }
  { std::ofstream(path, std::ios::app) << line("c", "scored").substr(0, 40); }
  {
    WatchJournal journal(path, "q");
    EXPECT_TRUE(journal.find("a", "f").scored);
    EXPECT_FALSE(journal.find("a", "other files").scored);
    EXPECT_EQ(journal.find("b", "f").attempts, 2);
    EXPECT_FALSE(journal.find("c", "f").scored);
    journal.append("c", "f", true, line("c", "scored"));
  }
  EXPECT_TRUE(WatchJournal(path, "q").find("c", "f").scored);
  EXPECT_FALSE(WatchJournal(path, "another question").find("a", "f").scored);
}

}  // namespace
}  // namespace assay::harness
