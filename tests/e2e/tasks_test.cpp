// What a person does around benchmarks: judging again without a model, their own text, suites whose
// files are not all there, fill-in-the-middle, long context.
#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "base/json.h"
#include "results/queries.h"
#include "results/store.h"
#include "tests/e2e/program.h"
#include "tests/support/paths.h"

namespace assay::e2e {
namespace {

json::Document json_of(const Outcome& outcome) {
  return json::Document::parse(outcome.out, "--json");
}

std::string digest_of(const fs::path& store, int64_t run) {
  return results::Store::open(store, results::Store::Access::read)
      .content_digest(results::RunId{run});
}

std::vector<std::string> with_store(const fs::path& store, std::vector<std::string> arguments) {
  for (const char* more : {"--store", "", "--quiet", "--json"}) arguments.emplace_back(more);
  arguments[arguments.size() - 3] = store.string();
  return arguments;
}

TEST(Rescore, EveryStoredScoreComesOutAgain) {
  const TemporaryDirectory dir;
  const fs::path store = dir.path() / "s.sqlite";
  ASSERT_EQ(assay(with_store(store, {"run", "--model", sample_checkpoint(), "--tasks",
                                     "mmlu,hellaswag,gsm8k,humaneval,text", "--data", "sample",
                                     "--limit", "6"}))
                .code,
            0);
  const std::string before = digest_of(store, 1);
  const Outcome again = assay(with_store(store, {"rescore", "1", "--data", "sample"}));
  ASSERT_EQ(again.code, 0) << again.err;
  const json::Document report = json_of(again);
  EXPECT_TRUE(report.root().at("run").is_null()) << again.out;
  EXPECT_EQ(report.root().at("tasks").size(), 4u);
  EXPECT_EQ(report.root().at("left_out").size(), 1u);  // bits per byte are outputs, not judgements
  EXPECT_EQ(digest_of(store, 1), before);
  EXPECT_EQ(results::list_runs(results::Store::open(store, results::Store::Access::read)).size(),
            1u);
  // Other data than the run's are refused, by name.
  const Outcome other = assay(with_store(store, {"rescore", "1", "--data", dir.path().string()}));
  EXPECT_EQ(other.code, 3);
}

TEST(Rescore, AnotherExtractorStandsBesideTheFirst) {
  const TemporaryDirectory dir;
  const auto task = [&](const std::string& folder, const std::string& pattern) {
    fs::create_directory(dir.path() / folder);
    write_file_atomically(dir.path() / folder / "mine.json",
                          R"({"task": "mine", "title": "Mine", "extends": "gsm8k",
          "metrics": {"em": {"extract": [{"last": ")" +
                              pattern + R"("}], "compare": "exact"}}})");
    return (dir.path() / folder).string();
  };
  // The first rule finds nothing ever; the second finds the text's first character.
  const std::string first = task("first", "\\\\x00"), second = task("second", "^(.)");
  const fs::path store = dir.path() / "s.sqlite";
  const Outcome run =
      assay(with_store(store, {"run", "--model", sample_checkpoint(), "--tasks", "mine",
                               "--tasks-dir", first, "--data", "sample", "--limit", "6"}));
  ASSERT_EQ(run.code, 0) << run.err;
  const std::string before = digest_of(store, 1);
  const Outcome again = assay(with_store(
      store, {"rescore", "1", "--data", "sample", "--tasks-dir", second, "--name", "two"}));
  ASSERT_EQ(again.code, 0) << again.err;
  const json::Document report = json_of(again);
  EXPECT_EQ(report.root().at("run").integer(), 2);
  const json::Value judged = report.root().at("tasks")[0];
  EXPECT_TRUE(judged.at("definition_changed").boolean());
  EXPECT_EQ(judged.at("metrics").at("no_extract").at("before").number(), 1);
  EXPECT_EQ(judged.at("metrics").at("no_extract").at("changed").integer(), 6);
  EXPECT_EQ(digest_of(store, 1), before);
  const auto opened = results::Store::open(store, results::Store::Access::read);
  EXPECT_EQ(results::find_run(opened, "two").evaluations, 1);
  // The same again finds the new run as it is.
  const Outcome repeated = assay(with_store(
      store, {"rescore", "1", "--data", "sample", "--tasks-dir", second, "--name", "two"}));
  EXPECT_EQ(repeated.out, again.out);
}

TEST(Text, DomainsAndTheWhole) {
  const TemporaryDirectory dir;
  const fs::path corpus = dir.path() / "held-out.jsonl";
  write_file_atomically(
      corpus,
      "{\"text\": \"Once upon a time there was a fox.\", \"domain\": \"stories\"}\n"
      "{\"text\": \"\", \"domain\": \"stories\"}\n"
      "{\"text\": \"def f(x):\\n    return x\\n\", \"domain\": \"code\"}\n");
  const Outcome outcome = assay(with_store(
      dir.path() / "s.sqlite", {"run", "--model", sample_checkpoint(), "--text", corpus.string()}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json::Document report = json_of(outcome);
  const json::Value tasks = report.root().at("runs")[0].at("tasks");
  ASSERT_EQ(tasks.size(), 3u);  // all, code, stories
  const double all = tasks[0].at("value").number();
  const double code = tasks[1].at("value").number(), stories = tasks[2].at("value").number();
  EXPECT_NEAR(all, (code * 23 + stories * 33) / 56, 1e-9);
  EXPECT_GT(tasks[0].at("metrics").at("loss/micro").at("value").number(), 0);
  // What the domains ask, the whole has asked already.
  EXPECT_EQ(tasks[0].at("tokens_asked").integer(),
            tasks[1].at("tokens_asked").integer() + tasks[2].at("tokens_asked").integer());

  write_file_atomically(corpus, "{\"body\": \"no text\"}\n");
  const Outcome bad = assay({"run", "--model", sample_checkpoint(), "--text", corpus.string(),
                             "--store", (dir.path() / "t.sqlite").string()});
  EXPECT_EQ(bad.code, 3);
  EXPECT_NE(bad.err.find("held-out.jsonl:1"), std::string::npos) << bad.err;
  EXPECT_NE(bad.err.find("body"), std::string::npos) << bad.err;
}

// A begin token that stands in the text is counted, said and kept, not silently doubled.
TEST(Text, AWrittenBeginTokenIsSaid) {
  const TemporaryDirectory dir;
  const fs::path corpus = dir.path() / "held-out.jsonl";
  write_file_atomically(corpus,
                        "{\"text\": \"<｜begin▁of▁sentence｜>Mia runs.\"}\n"
                        "{\"text\": \"Tom sits.\"}\n");
  const std::string store = (dir.path() / "s.sqlite").string();
  const Outcome run =
      assay({"run", "--model", sample_checkpoint(), "--text", corpus.string(), "--store", store});
  ASSERT_EQ(run.code, 0) << run.err;
  const std::string said = "1 of 2 prompts begin with the begin token written out";
  EXPECT_NE(run.out.find(said), std::string::npos) << run.out;
  const Outcome show = assay({"show", "1", "--store", store});
  EXPECT_NE(show.out.find(said), std::string::npos) << show.out << show.err;
}

TEST(MissingData, ASuiteRunsWhatIsThereAndNamesTheRest) {
  const TemporaryDirectory dir;
  const std::string data = test_paths::source().string() + "/tests/fixtures/layouts";
  const std::vector<std::string> table3{
      "run", "--model", sample_checkpoint(), "--tasks", "table3", "--data", data, "--limit", "2"};
  const Outcome outcome = assay(with_store(dir.path() / "s.sqlite", table3));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json::Document report = json_of(outcome);
  const json::Value run = report.root().at("runs")[0];
  EXPECT_EQ(run.at("tasks").size(), 4u);  // pile_test, lcb_base, clue_wsc, mmmlu
  EXPECT_EQ(run.at("left_out").size(), 30u);  // 28 rows, MMLU-Redux in three subsets
  EXPECT_NE(run.at("left_out")[0].at("reason").string().find("bbh"), std::string::npos);

  std::vector<std::string> strict = table3;
  strict.emplace_back("--strict");
  EXPECT_EQ(assay(with_store(dir.path() / "t.sqlite", strict)).code, 3);

  const std::vector<std::string> named{"run",     "--model",         sample_checkpoint(),
                                       "--tasks", "mmmlu,piqa,drop", "--data",
                                       data,      "--limit",         "2"};
  const Outcome refused = assay(with_store(dir.path() / "u.sqlite", named));
  EXPECT_EQ(refused.code, 3);
  EXPECT_NE(refused.err.find("piqa"), std::string::npos);
  EXPECT_NE(refused.err.find("drop"), std::string::npos);
  EXPECT_NE(refused.err.find("--skip-missing"), std::string::npos);
  std::vector<std::string> skipping = named;
  skipping.emplace_back("--skip-missing");
  EXPECT_EQ(assay(with_store(dir.path() / "v.sqlite", skipping)).code, 0);
}

TEST(Middle, GeneratesIntoTheHole) {
  const Outcome outcome = assay({"generate", "--model", sample_checkpoint()},
                                "{\"prompt\": \"def add(a, b):\\n\", \"suffix\": \"\\n    return "
                                "c\\n\", \"max_tokens\": 4}\n");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_FALSE(json_of(outcome).root().at("tokens").size() == 0);
}

TEST(Needle, GridUpToTheContextWithAHeatMap) {
  const TemporaryDirectory dir;
  const std::string store = (dir.path() / "s.sqlite").string();
  const Outcome outcome =
      assay({"run", "--model", sample_checkpoint(), "--tasks", "niah", "--max-length", "700",
             "--limit", "8", "--store", store, "--quiet"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("length in tokens across"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("700"), std::string::npos) << outcome.out;
}

}  // namespace
}  // namespace assay::e2e
