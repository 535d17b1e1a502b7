// Task files as users write them: what works without recompiling, and what is refused how.
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "base/file.h"
#include "tasks/task.h"

namespace assay::tasks {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCapitals = R"({
  "task": "capitals", "title": "Capitals", "split": "test", "request": "choice",
  "query": "Question: {{question|strip}}\n{{#choices}}{{letter}}. {{text}}\n{{/choices}}Answer:",
  "options": "choices", "continuation": "{{letter}}", "gold": {"index": "answer"},
  "shots": {"pick": "first", "k": 2, "from": "dev"},
  "data": {"format": "jsonl", "files": "capitals/{split}.jsonl", "splits": {"dev": {}, "test": {}}},
  "variants": {"text": {"continuation": "{{text|strip}}", "primary": "char", "shots": {"k": 1}}}
})";

class UserTask : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(data() / "capitals");
    fs::create_directories(tasks());
    write_file_atomically(
        data() / "capitals/dev.jsonl",
        "{\"question\": \"Peru? \", \"choices\": [\"Lima\", \"Cusco\"], \"answer\": 0}\n"
        "{\"question\": \"Chile?\", \"choices\": [\"Arica\", \"Santiago\"], \"answer\": 1}\n");
    write_file_atomically(
        data() / "capitals/test.jsonl",
        "{\"question\": \"Kenya?\", \"choices\": [\"Nairobi\", \"Mombasa\"], \"answer\": 0}\n"
        "{\"question\": \"Chile?\", \"choices\": [\"Arica\", \"Santiago\"], \"answer\": 1}\n");
  }
  fs::path data() const { return directory_.path() / "data"; }
  fs::path tasks() const { return directory_.path() / "tasks"; }
  void write_task(const std::string& text) {
    write_file_atomically(tasks() / "capitals.json", text);
  }
  // kCapitals with one text replaced.
  static std::string changed(std::string_view from, std::string_view to) {
    std::string text = kCapitals;
    size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos);
    return text.replace(at, from.size(), to);
  }
  std::string refusal() {
    try {
      Catalog catalog;
      catalog.add_directory(tasks());
      Task::open(catalog, {.task = "capitals", .data_root = data()});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

 private:
  TemporaryDirectory directory_;
};

TEST_F(UserTask, RunsWithoutRecompiling) {
  write_task(kCapitals);
  Catalog catalog;
  catalog.add_directory(tasks());
  Task task = Task::open(catalog, {.task = "capitals", .data_root = data()});
  ASSERT_EQ(task.size(), 2u);
  EXPECT_EQ(task.prompt(0).context,
            "Question: Peru?\nA. Lima\nB. Cusco\nAnswer: A\n\n"
            "Question: Chile?\nA. Arica\nB. Santiago\nAnswer: B\n\n"
            "Question: Kenya?\nA. Nairobi\nB. Mombasa\nAnswer:");
  // The second document is also an exemplar; it is not shown its own answer.
  EXPECT_EQ(task.prompt(1).exemplars, std::vector<std::string>{"capitals:dev:0"});

  Task text = Task::open(catalog, {.task = "capitals", .variant = "text", .data_root = data()});
  Prompt prompt = text.prompt(0);
  EXPECT_EQ(prompt.context,
            "Question: Peru?\nA. Lima\nB. Cusco\nAnswer: Lima\n\n"
            "Question: Kenya?\nA. Nairobi\nB. Mombasa\nAnswer:");
  EXPECT_EQ(prompt.options[1].continuation, " Mombasa");
  EXPECT_EQ(prompt.options[1].bytes, 7);
  EXPECT_NE(task.digest({}), text.digest({}));
  EXPECT_EQ(text.metrics().front(), "acc.char");
}

TEST_F(UserTask, ErrorsNameFileAndKey) {
  write_task(changed("\"options\"", "\"optoins\""));
  EXPECT_NE(refusal().find("capitals.json: optoins"), std::string::npos) << refusal();
  EXPECT_NE(refusal().find("did you mean \"options\"?"), std::string::npos) << refusal();
  write_task(changed("|strip", "|stripp"));
  EXPECT_NE(refusal().find("no filter 'stripp'"), std::string::npos) << refusal();
  EXPECT_NE(refusal().find("capitals.json: query"), std::string::npos) << refusal();
  write_task(changed("{{/choices}}", ""));
  EXPECT_NE(refusal().find("{{#choices}} is not closed"), std::string::npos) << refusal();
  write_task(changed("{{question|strip}}", "{{qestion}}"));
  EXPECT_NE(refusal().find("field 'qestion' of capitals:test:0"), std::string::npos) << refusal();
  write_task(changed("\"choice\"", "\"choise\""));
  EXPECT_NE(refusal().find("did you mean choice?"), std::string::npos) << refusal();
  write_task(changed("\"from\": \"dev\"", "\"from\": \"train\""));
  EXPECT_NE(refusal().find("train"), std::string::npos) << refusal();
  write_task(changed("{\"index\": \"answer\"}", "{\"index\": \"question\"}"));
  EXPECT_NE(refusal().find("expected an integer"), std::string::npos) << refusal();
  write_task("{\"task\": \"capitals\", \"extends\": \"mmllu\"}");
  EXPECT_NE(refusal().find("did you mean mmlu?"), std::string::npos) << refusal();
}

// Fewer exemplars than asked for, and a stand-in for their split, are said and never silent.
TEST_F(UserTask, WarnsOfExemplars) {
  const auto warnings = [&](const std::string& text, std::optional<int> shots = {}) {
    write_task(text);
    Catalog catalog;
    catalog.add_directory(tasks());
    return Task::open(catalog, {.task = "capitals", .data_root = data(), .shots = shots}).warnings();
  };
  using List = std::vector<std::string>;
  EXPECT_EQ(warnings(kCapitals), List{});
  EXPECT_EQ(warnings(kCapitals, 5),
            List{"capitals: split dev has fewer than 5 exemplars for some documents (2)"});
  EXPECT_EQ(warnings(changed("\"dev\": {}", "\"dev\": {\"rows\": 5}")),
            List{"capitals dev: 2 rows, expected 5"});
  // Subjects are named with the rows they have.
  const std::string grouped = changed(
      "\"format\"", "\"group_field\": \"subject\", \"groups\": [\"rivers\", \"hills\"], \"format\"");
  const std::string row = R"("question": "Q?", "choices": ["a", "b"], "answer": 0})";
  write_file_atomically(data() / "capitals/dev.jsonl", R"({"subject": "rivers", "n": 1, )" + row + "\n" +
                                                           R"({"subject": "rivers", "n": 2, )" + row + "\n" +
                                                           R"({"subject": "hills", "n": 3, )" + row + "\n");
  write_file_atomically(data() / "capitals/test.jsonl", R"({"subject": "rivers", "n": 4, )" + row + "\n" +
                                                            R"({"subject": "hills", "n": 5, )" + row + "\n");
  EXPECT_EQ(warnings(grouped), List{"capitals: split dev has fewer than 2 exemplars for hills (1)"});
  // The split that exemplars come from is not there: an error, or, where the task names a stand-in, a warning.
  std::string other = changed("\"from\": \"dev\"", "\"from\": \"train\"");
  const std::string splits = "\"dev\": {}";
  other.replace(other.find(splits), splits.size(), splits + ", \"train\": {}");
  write_task(other);
  EXPECT_NE(refusal().find("capitals/train.jsonl: data file is missing"), std::string::npos) << refusal();
  const std::string from = "\"from\": \"train\"";
  other.replace(other.find(from), from.size(), from + R"(, "missing": {"pick": "first", "from": "dev"})");
  EXPECT_EQ(warnings(other),
            List{"capitals: the files of split train are not here, exemplars come from dev; not "
                 "comparable with scores that use train"});
}

TEST_F(UserTask, DroppedExemplarsAndCutQueries) {
  write_task(kCapitals);
  Catalog catalog;
  catalog.add_directory(tasks());
  auto bytes = [](std::string_view text) { return static_cast<int64_t>(text.size()) + 1; };
  auto prompt_within = [&](int64_t max_len) {
    Selection selection{.task = "capitals", .data_root = data(), .max_len = max_len};
    return Task::open(catalog, selection).prompt(0, bytes);
  };
  // query + " A" + BOS = 46 tokens of one byte; each exemplar adds 44 or 48.
  Prompt all = prompt_within(1000);
  EXPECT_EQ(all.shots_used, 2);
  std::string query = "Question: Kenya?\nA. Nairobi\nB. Mombasa\nAnswer:";
  int64_t needed = bytes(query + " A");
  Prompt none = prompt_within(needed);
  EXPECT_EQ(none.shots_used, 0);
  EXPECT_EQ(none.shots_asked, 2);
  EXPECT_EQ(none.context, query);
  EXPECT_FALSE(none.truncated);
  Prompt one = prompt_within(bytes(all.context + " A") - 1);
  EXPECT_EQ(one.exemplars, std::vector<std::string>{"capitals:dev:0"});
  Prompt cut = prompt_within(needed - 10);
  EXPECT_TRUE(cut.truncated);
  EXPECT_EQ(cut.context, query.substr(10));
}

TEST(Catalog, NearestNamesAndSuites) {
  Catalog catalog;
  try {
    catalog.info("hellaswagg");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_EQ(error.remedy(), "did you mean hellaswag?");
  }
  std::vector<TaskChoice> choices = catalog.expand("mmlu:anatomy,gsm8k@lmeval,mmlu:anatomy");
  ASSERT_EQ(choices.size(), 2u);
  EXPECT_EQ(choices[0], (TaskChoice{"mmlu", "ds", "anatomy", -1}));
  EXPECT_EQ(choices[1].variant, "lmeval");
  EXPECT_THROW(catalog.expand("gsm8k@olmes"), Error);
  try {
    catalog.expand("tabel3");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.remedy(), "did you mean table3?");
  }
  std::set<std::string> suites;
  for (const SuiteInfo& suite : catalog.suites()) suites.insert(suite.name);
  EXPECT_EQ(suites, (std::set<std::string>{"code", "core-en", "core-zh", "math", "multilingual", "smoke", "table3"}));
  // A name of both is the task's; prefixes say which is meant.
  EXPECT_EQ(catalog.expand("suite:math").size(), 4u);
  EXPECT_EQ(catalog.expand("suite:math").front().suite, "math");
  EXPECT_EQ(catalog.expand("math").size(), 1u);
  EXPECT_EQ(catalog.expand("task:math@oc").front().variant, "oc");
  EXPECT_EQ(catalog.names_shared_with_suites("gsm8k,math,suite:math,task:math,smoke"), std::vector<std::string>{"math"});
  EXPECT_EQ(catalog.expand("suite:code,task:mmlu:anatomy").back().group, "anatomy");
  EXPECT_GT(catalog.suite_limit("suite:smoke"), 0);
  EXPECT_THROW(catalog.expand("task:table3"), Error);
  EXPECT_THROW(catalog.expand("suite:mmlu"), Error);
  EXPECT_EQ(catalog.expand("table3").size(), 32u);
}

// What a catalog says to a suite file: "" if it takes it.
std::string verdict_on(const std::string& text) {
  const TemporaryDirectory directory;
  write_file_atomically(directory.path() / "suite.json", text);
  Catalog catalog;
  try {
    catalog.add_file(directory.path() / "suite.json");
    return {};
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("suite.json"), std::string::npos) << error.what();
    return error.message() + " (" + error.remedy() + ")";
  }
}

TEST(Catalog, SuitesOfTheUser) {
  const TemporaryDirectory directory;
  write_file_atomically(directory.path() / "a.json",
                        R"({"suite": "outer", "tasks": ["inner", "mmlu:law", "gsm8k"], "limit": 7})");
  write_file_atomically(directory.path() / "b.json",
                        R"({"suite": "inner", "tasks": ["gsm8k@lmeval", "core-zh"]})");
  Catalog catalog;
  catalog.add_directory(directory.path());
  const auto choices = catalog.expand("outer");
  ASSERT_EQ(choices.size(), 9u);
  EXPECT_EQ(choices[0].variant, "lmeval");
  EXPECT_EQ(choices[1].task, "ceval");
  EXPECT_EQ(choices[1].suite, "outer");
  EXPECT_EQ(choices[7].group, "law");
  EXPECT_EQ(catalog.suite_limit("outer"), 7);
  EXPECT_EQ(catalog.expand("multilingual@oc").front().variant, "oc");
  try {
    catalog.expand("suite:math@olmes");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
  }
  EXPECT_THROW(catalog.expand("outer:law"), Error);

  EXPECT_NE(verdict_on(R"({"suite": "s", "tasks": ["mmul"]})").find("mmul' (did you mean mmlu?)"), std::string::npos);
  EXPECT_NE(verdict_on(R"({"suite": "s", "tasks": ["mmlu@olms"]})").find("no variant 'olms' (did you mean olmes?"),
            std::string::npos);
  EXPECT_NE(verdict_on(R"({"suite": "s", "tasks": []})").find("at least one task"), std::string::npos);
  EXPECT_NE(verdict_on(R"({"suite": "s", "tasks": ["s"]})").find("in a circle: s > s"), std::string::npos);
  EXPECT_NE(verdict_on(R"({"suite": "mmlu", "tasks": ["gsm8k"]})").find("is a task's name already"), std::string::npos);
  EXPECT_NE(verdict_on(R"({"suite": "a b", "tasks": ["gsm8k"]})").find("must be a word"), std::string::npos);
  EXPECT_NE(verdict_on(R"({"suite": "s", "tasks": ["gsm8k"], "limt": 3})").find("did you mean \"limit\"?"),
            std::string::npos);
  write_file_atomically(directory.path() / "b.json", R"({"suite": "inner", "tasks": ["outer"]})");
  try {
    Catalog().add_directory(directory.path());
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("in a circle: inner > outer > inner"), std::string::npos) << error.what();
  }
}

// Every embedded file and variant is well formed, whether or not its data are here.
TEST(Catalog, EveryVariantParses) {
  Catalog catalog;
  for (const TaskInfo& task : catalog.tasks()) {
    for (const VariantInfo& variant : task.variants) {
      EXPECT_NO_THROW(catalog.file(task.name, variant.name)) << task.name << "@" << variant.name;
      EXPECT_FALSE(variant.summary.empty()) << task.name << "@" << variant.name;
    }
  }
  for (const SuiteInfo& suite : catalog.suites()) {
    EXPECT_NO_THROW(catalog.expand(suite.name)) << suite.name;
  }
}

}  // namespace
}  // namespace assay::tasks
