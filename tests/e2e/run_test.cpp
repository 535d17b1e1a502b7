// The promises of a run: same bits whatever the batch, order, threads, pass size; nothing lost when
// killed; a finished run repeated computes nothing.
#include <algorithm>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "results/store.h"
#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

constexpr const char* kAllTasks = "mmlu,hellaswag,gsm8k,humaneval,ceval,cmmlu";

std::vector<std::string> run_arguments(const fs::path& store, const std::string& tasks,
                                       const std::vector<std::string>& more = {}) {
  std::vector<std::string> out{"run",    "--model", sample_checkpoint(), "--tasks", tasks,
                               "--data", "sample",  "--store",           store.string(),
                               "--limit", "12",     "--quiet",           "--json"};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

std::string digest_of(const fs::path& store) {
  const auto opened = results::Store::open(store, results::Store::Access::read);
  return opened.content_digest(results::RunId{1});
}

TEST(Run, SameBitsForAnyOrderThreadsAndPassSize) {
  const TemporaryDirectory dir;
  const fs::path first = dir.path() / "first.sqlite";
  const Outcome outcome = assay(run_arguments(first, kAllTasks, {"--threads", "2"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::string expected = digest_of(first);
  const std::vector<std::pair<std::string, std::vector<std::string>>> variations{
      {kAllTasks, {"--threads", "1"}},
      {"cmmlu,ceval,humaneval,gsm8k,hellaswag,mmlu", {"--threads", "3", "--pass-tokens", "64"}},
      {"gsm8k,mmlu,hellaswag,cmmlu,humaneval,ceval", {"--pass-tokens", "333", "--memory", "300M"}},
  };
  int number = 0;
  for (const auto& [tasks, more] : variations) {
    const fs::path store = dir.path() / ("v" + std::to_string(number++) + ".sqlite");
    const Outcome varied = assay(run_arguments(store, tasks, more));
    ASSERT_EQ(varied.code, 0) << varied.err;
    EXPECT_EQ(digest_of(store), expected) << tasks;
  }
  // One task at a time into one store: other prefixes are shared, the bits are not to change.
  const fs::path apart = dir.path() / "apart.sqlite";
  for (const char* task : {"mmlu", "hellaswag", "gsm8k", "humaneval", "ceval", "cmmlu"}) {
    ASSERT_EQ(assay(run_arguments(apart, task)).code, 0) << task;
  }
  EXPECT_EQ(digest_of(apart), expected);
}

TEST(Run, KilledAtRandomMomentsEndsWithTheSameContent) {
  const TemporaryDirectory dir;
  const fs::path whole = dir.path() / "whole.sqlite";
  ASSERT_EQ(assay(run_arguments(whole, kAllTasks, {"--pass-tokens", "512"})).code, 0);
  const std::string expected = digest_of(whole);
  Random random(20);
  for (int round = 0; round < 3; ++round) {
    const fs::path store = dir.path() / ("killed" + std::to_string(round) + ".sqlite");
    int kills = 0;
    for (int attempt = 0; attempt < 6; ++attempt) {
      kills += assay_killed_after(run_arguments(store, kAllTasks, {"--pass-tokens", "512"}),
                                  0.05 + 1.5 * random.uniform());
    }
    const Outcome last = assay(run_arguments(store, kAllTasks, {"--pass-tokens", "512"}));
    ASSERT_EQ(last.code, 0) << last.err;
    EXPECT_EQ(digest_of(store), expected) << "after " << kills << " kills";
  }
}

TEST(Run, RepeatedComputesNothing) {
  const TemporaryDirectory dir;
  const fs::path store = dir.path() / "s.sqlite";
  ASSERT_EQ(assay(run_arguments(store, "mmlu,gsm8k")).code, 0);
  const std::string expected = digest_of(store);
  const Outcome again = assay(run_arguments(store, "mmlu,gsm8k"));
  ASSERT_EQ(again.code, 0) << again.err;
  const auto document = json::Document::parse(again.out, "run --json");
  const json::Value run = document.root().at("runs")[0];
  EXPECT_EQ(run.at("tokens_computed").integer(), 0);
  EXPECT_EQ(run.at("tokens_generated").integer(), 0);
  EXPECT_TRUE(run.at("tasks")[0].at("resumed").boolean());
  EXPECT_EQ(digest_of(store), expected);
}

// Needs no weights; a plan that streams says what every pass moves and from which size on computing binds.
TEST(Run, DryRunSaysWhatAPassMovesAndWhatBinds) {
  const auto plan = [](const std::string& memory) {
    const Outcome outcome = assay({"run", sample_checkpoint(), "--tasks", "mmlu,hellaswag", "--data", "sample",
                                   "--limit", "4", "--dry-run", "--json", "--quiet", "--memory", memory});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::Document::parse(outcome.out, "run --dry-run --json");
  };
  const json::Document resident = plan("1G"), streamed = plan("9M");
  const json::Value all = resident.root().at("plans")[0], some = streamed.root().at("plans")[0];
  EXPECT_FALSE(all.at("streamed").boolean());
  EXPECT_EQ(all.at("break_even_tokens").number(), 0);
  EXPECT_TRUE(some.at("streamed").boolean());
  EXPECT_GT(some.at("break_even_tokens").number(), 0);
  EXPECT_GT(some.at("score").at("streamed_bytes_a_pass").integer(), 0);
  EXPECT_LT(some.at("score").at("held_weight_bytes").integer(), some.at("score").at("weight_bytes").integer());
  EXPECT_EQ(some.at("score").at("tokens_asked").integer(), all.at("score").at("tokens_asked").integer());
  EXPECT_GE(some.at("estimated_seconds").number(),
            std::max(some.at("compute_seconds").number(), some.at("moving_seconds").number()) * 0.999);

  const Outcome text = assay({"run", sample_checkpoint(), "--tasks", "mmlu,hellaswag", "--data", "sample",
                              "--limit", "4", "--dry-run", "--quiet", "--memory", "9M"});
  EXPECT_NE(text.out.find("break-even a pass of"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("binds"), std::string::npos) << text.out;

  // Exemplars that a pass has no room to look back to.
  const Outcome refused = assay({"run", sample_checkpoint(), "--tasks", "gsm8k", "--data", "sample", "--limit",
                                 "4", "--dry-run", "--quiet", "--memory", "9M"});
  EXPECT_EQ(refused.code, 4);
  EXPECT_NE(refused.err.find("too small for prompts of this length"), std::string::npos) << refused.err;
}

TEST(Run, CheckpointsMayStandBeforeTheOptions) {
  const TemporaryDirectory dir;
  const Outcome outcome =
      assay({"run", sample_checkpoint(), sample_checkpoint("base-step-001201"), "--tasks", "mmlu",
             "--data", "sample", "--limit", "2", "--json", "--quiet", "--store",
             (dir.path() / "s.sqlite").string()});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto document = json::Document::parse(outcome.out, "run --json");
  ASSERT_EQ(document.root().at("runs").size(), 2u);
  EXPECT_EQ(document.root().at("runs")[0].at("model").string(), "base-step-000600");
  EXPECT_EQ(document.root().at("runs")[1].at("model").string(), "base-step-001201");
}

TEST(Run, JsonHasCountsAndIntervals) {
  const TemporaryDirectory dir;
  const Outcome outcome = assay(run_arguments(dir.path() / "s.sqlite", "hellaswag,gsm8k"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto document = json::Document::parse(outcome.out, "run --json");
  const json::Value tasks = document.root().at("runs")[0].at("tasks");
  ASSERT_EQ(tasks.size(), 2u);
  tasks.for_each_element([](json::Value task) {
    EXPECT_EQ(task.at("documents").integer(), 12);
    EXPECT_GT(task.at("tokens_asked").integer(), task.at("tokens_computed").integer());
    const double value = task.at("value").number();
    EXPECT_LE(task.at("interval")[0].number(), value);
    EXPECT_GE(task.at("interval")[1].number(), value);
  });
}

// Drafting leaves no trace in the content but its acceptance is reported and kept; healing prompts
// makes another evaluation of tasks that generate, and of no other; the experts' load is there.
TEST(Run, DraftsHealingAndExperts) {
  const TemporaryDirectory dir;
  const fs::path plain = dir.path() / "plain.sqlite", drafted = dir.path() / "drafted.sqlite";
  const auto arguments = [](const fs::path& store, const std::vector<std::string>& more = {}) {
    std::vector<std::string> all = run_arguments(store, "gsm8k,mmlu", more);
    all[2] = sample_checkpoint("base-step-001201");  // has an MTP layer
    return all;
  };
  ASSERT_EQ(assay(arguments(plain)).code, 0);
  const Outcome run = assay(arguments(drafted, {"--speculate", "mtp"}));
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(digest_of(drafted), digest_of(plain));
  const auto json = json::Document::parse(run.out, "run");
  const json::Value summary = json.root().at("runs")[0];
  const double drafts = summary.at("drafted").number(), accepted = summary.at("accepted").number();
  EXPECT_GT(drafts, 0);
  EXPECT_DOUBLE_EQ(summary.at("acceptance_rate").number(), accepted / drafts);
  EXPECT_DOUBLE_EQ(summary.at("accepted_length").number(), 1 + accepted / drafts);
  const Outcome card = assay({"show", "1", "--store", drafted.string()});
  EXPECT_NE(card.out.find("tokens a step"), std::string::npos) << card.out;

  ASSERT_EQ(assay(arguments(plain, {"--token-healing"})).code, 0);
  const Outcome shown = assay({"show", "1", "--store", plain.string(), "--json"});
  const auto runs = json::Document::parse(shown.out, "show");
  const json::Value tasks = runs.root().at("runs")[0].at("tasks");
  EXPECT_EQ(tasks.size(), 3u);  // gsm8k twice, mmlu once

  const Outcome experts = assay({"show", "1", "--store", plain.string(), "--experts", "--json"});
  ASSERT_EQ(experts.code, 0) << experts.err;
  const auto loads = json::Document::parse(experts.out, "experts");
  EXPECT_EQ(loads.root().at("tasks").size(), 3u);
  EXPECT_GT(loads.root().at("tasks")[0].at("layers").size(), 0u);
}

}  // namespace
}  // namespace assay::e2e
