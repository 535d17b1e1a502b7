// The verbs that read a store, on one store that the program itself wrote.
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "results/store.h"
#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

class StoredRuns : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = new TemporaryDirectory("assay-verbs-test");
    const Outcome outcome =
        assay({"run", "--model", sample_checkpoint("base-step-000040"), "--model",
               sample_checkpoint("base-step-001201"), "--tasks", "hellaswag,ceval", "--limit", "30",
               "--data", "sample", "--store", store(), "--quiet"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
  }
  static void TearDownTestSuite() { delete dir_; }

  static std::string store() { return (dir_->path() / "s.sqlite").string(); }
  static fs::path file(const char* name) { return dir_->path() / name; }
  static Outcome on_store(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--store", store()});
    return assay(arguments);
  }
  static json::Document json_of(const std::vector<std::string>& arguments) {
    std::vector<std::string> all = arguments;
    all.push_back("--json");
    const Outcome outcome = on_store(all);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::Document::parse(outcome.out, arguments.front());
  }
  static TemporaryDirectory* dir_;
};
TemporaryDirectory* StoredRuns::dir_ = nullptr;

TEST_F(StoredRuns, AreListedUnderBothNames) {
  const auto runs = json_of({"runs"});
  ASSERT_EQ(runs.root().size(), 2u);
  EXPECT_EQ(runs.root()[1].at("label").string(), "base-step-001201");
  EXPECT_EQ(runs.root()[1].at("training_step").integer(), 1201);
  EXPECT_TRUE(runs.root()[1].at("finished").boolean());
  const auto models = json_of({"models"});
  ASSERT_EQ(models.root().size(), 2u);
  EXPECT_EQ(models.root()[0].at("runs").size(), 1u);
  EXPECT_EQ(on_store({"runs"}).out, on_store({"list", "runs"}).out);
  EXPECT_EQ(on_store({"models"}).out, on_store({"list", "models"}).out);
  EXPECT_NE(on_store({"models"}).out.find("base-step-000040"), std::string::npos);
}

TEST_F(StoredRuns, PassAGateByItsExitCode) {
  const auto gate = [](const char* baseline, const char* candidate,
                       const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"gate", "--baseline", baseline, "--candidate", candidate};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return on_store(arguments);
  };
  // The older checkpoint is at chance on HellaSwag, the newer one has learnt it.
  EXPECT_EQ(gate("1", "2", {"--tasks", "hellaswag"}).code, 0);
  EXPECT_EQ(gate("2", "1", {"--tasks", "hellaswag"}).code, 1);
  EXPECT_EQ(gate("1", "2", {"--tasks", "ceval"}).code, 10);  // thirty documents cannot tell
  write_file_atomically(file("rules.json"),
                        R"({"rules": [{"task": "hellaswag", "floor": 20}, {"task": "ceval", "margin": 50}]})");
  Outcome outcome = gate("1", "2", {"--rules", file("rules.json").string(), "--json", "--junit",
                                    file("gate.xml").string()});
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  const auto result = json::Document::parse(outcome.out, "gate");
  EXPECT_EQ(result.root().at("status").string(), "pass");
  EXPECT_EQ(result.root().at("rules").size(), 2u);
  EXPECT_NE(read_file(file("gate.xml")).find("tests=\"2\" failures=\"0\""), std::string::npos);
  EXPECT_EQ(gate("1", "7").code, 2);
  outcome = gate("1", "2", {"--noise-from", "1,2"});  // too few to tell noise: no gate without it
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(outcome.err.find("four checkpoints"), std::string::npos) << outcome.err;
  EXPECT_EQ(gate("1", "2", {"--rules", "nowhere.json"}).code, 3);
  write_file_atomically(file("rules.json"), R"({"ruels": []})");
  outcome = gate("1", "2", {"--rules", file("rules.json").string()});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_NE(outcome.err.find("ruels"), std::string::npos) << outcome.err;
}

TEST_F(StoredRuns, MakeTablesInEveryFormat) {
  for (const char* format : {"terminal", "markdown", "latex", "csv", "html"}) {
    const Outcome outcome =
        on_store({"table", "2", "--with", "published", "--format", format});
    EXPECT_EQ(outcome.code, 0) << format << outcome.err;
    size_t place = 0;
    // In the published order, whoever measured them.
    for (const char* name : {"Pile-test", "BBH", "MMLU", "AGIEval", "HumanEval", "CRUXEval-O",
                             "GSM8K", "CMath", "CLUEWSC", "CCPM", "MMMLU-non-English"}) {
      const size_t found = outcome.out.find(name, place);
      ASSERT_NE(found, std::string::npos) << format << ": " << name;
      place = found;
    }
  }
  EXPECT_EQ(on_store({"table", "--with", "publisched"}).code, 2);
}

TEST_F(StoredRuns, GoIntoOneReport) {
  const fs::path out = file("report.html");
  const Outcome outcome = on_store({"report", "--out", out.string(), "--title", "<b>mine</b>"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::string page = read_file(out);
  EXPECT_NE(page.find("&lt;b&gt;mine&lt;/b&gt;"), std::string::npos);
  EXPECT_EQ(page.find("src=\"http"), std::string::npos);
  EXPECT_EQ(on_store({"report", "--out", "/nowhere/report.html"}).code, 4);
}

TEST_F(StoredRuns, ReadOnlyStoresAnswerAndSecondWritersAreTurnedAway) {
  const fs::path copy = file("copy");
  fs::create_directory(copy);
  fs::copy_file(store(), copy / "s.sqlite");
  fs::permissions(copy / "s.sqlite", fs::perms::owner_read);
  Outcome outcome = assay({"show", "--store", (copy / "s.sqlite").string()});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const auto writer = results::Store::open(store(), results::Store::Access::write);
  outcome = on_store({"rm", "1"});
  EXPECT_EQ(outcome.code, 4);
  EXPECT_NE(outcome.err.find("another program is writing to this store (process "),
            std::string::npos)
      << outcome.err;
}

}  // namespace
}  // namespace assay::e2e
