// The publishers' reference answers on the whole path of a run: rendered as an exemplar's answer, cut
// at the stop strings, made into programs by the task, judged by the sandbox, graded by the task.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/file.h"
#include "base/json.h"
#include "tasks/task.h"
#include "tests/harness/pool.h"
#include "tests/support/paths.h"

namespace assay::harness {
namespace {

namespace fs = std::filesystem;

std::string until_stop(std::string text, const std::vector<std::string>& stops) {
  size_t end = text.size();
  for (const std::string& stop : stops) end = std::min(end, text.find(stop));
  text.resize(std::min(end, text.size()));
  return text;
}

struct Outcome {
  size_t documents = 0, right = 0;
};

// `answers`: what the model writes for each document, where that is not the reference answer.
Outcome judge(ExecutionPool& pool, const tasks::Task& task, const std::vector<std::string>& answers = {}) {
  std::vector<tasks::Outputs> outputs(task.size());
  for (size_t i = 0; i < task.size(); ++i) {
    const tasks::Prompt prompt = task.prompt(i);
    if (answers.empty()) outputs[i].gold_answer = tasks::ContinuationScore{.logprob = -1, .tokens = 1};
    const std::string& text = answers.empty() ? prompt.gold_answer.continuation : answers[i];
    outputs[i].generations = {{until_stop(text, prompt.generation.stop), tasks::Finish::stop, 0}};
    auto programs = task.programs(i, outputs[i].generations);
    outputs[i].executions.resize(programs.size());
    for (size_t e = 0; e < programs.size(); ++e) {
      EXPECT_FALSE(programs[e].refused) << programs[e].refused_reason;
      pool.submit({.item = static_cast<int32_t>(i), .execution = static_cast<int32_t>(e)},
                  std::move(programs[e]));
    }
  }
  while (pool.under_way() > 0) {
    for (FinishedProgram& one : pool.take(true)) {
      outputs[static_cast<size_t>(one.key.item)].executions[static_cast<size_t>(one.key.execution)] =
          one.execution;
    }
  }
  Outcome outcome{task.size(), 0};
  for (size_t i = 0; i < task.size(); ++i) {
    const tasks::Grade grade = task.grade(i, outputs[i]);
    EXPECT_EQ(grade.error, "") << task.document(i).id;
    outcome.right += grade.correct ? 1 : 0;
  }
  return outcome;
}

struct Case {
  const char* task;
  const char* variant;
  const char* split;  // instead of the variant's own
  size_t documents, right;
};

// Counts from the publishers' papers. mbpp@oc: what OpenCompass's evaluator does with the same answers (its _process_answer,
// then program and tests by exec() in empty globals) passes 247: ten programs' tests name math, which the sanitized
// file would import for them in test_imports. With the equal types that version 0.5.4 demands it passes 240.
const Case kCases[] = {
    {"humaneval", "ds", nullptr, 164, 164},   {"humaneval", "official", nullptr, 164, 164},
    {"mbpp", "ds", nullptr, 500, 500},        {"mbpp", "ds", "prompt", 10, 10},
    {"mbpp", "ds", "validation", 90, 90},     {"mbpp", "ds", "train", 374, 374},
    {"mbpp", "oc", nullptr, 257, 247},        {"cruxeval_i", "ds", nullptr, 800, 800},
    {"cruxeval_o", "ds", nullptr, 800, 800},  {"cruxeval_o", "oc", nullptr, 800, 800},
};

class ReferenceSolutions : public testing::TestWithParam<Case> {};

#define DATA_OR_SKIP(root)                                 \
  const fs::path root = test_paths::shared() / "datasets"; \
  if (!fs::exists(root)) GTEST_SKIP() << "SKIPPED: real benchmark data is missing: " << root

TEST_P(ReferenceSolutions, PassThroughTheTask) {
  const Case& wanted = GetParam();
  DATA_OR_SKIP(root);
  POOL_OR_SKIP(pool, 0, 1);
  tasks::Catalog catalog;
  std::string name = wanted.task;
  const TemporaryDirectory own;
  if (wanted.split) {
    name = "own_" + name;
    const std::string text = R"({"task": ")" + name + R"(", "extends": ")" + wanted.task + R"(", "split": ")" +
                             wanted.split + "\"}";
    write_file_atomically(own.path() / "own.json", text);
    catalog.add_directory(own.path());
  }
  const tasks::Task task =
      tasks::Task::open(catalog, {.task = name, .variant = wanted.variant, .data_root = root});
  const Outcome outcome = judge(*pool, task);
  EXPECT_EQ(outcome.documents, wanted.documents);
  EXPECT_EQ(outcome.right, wanted.right) << wanted.task;
}

INSTANTIATE_TEST_SUITE_P(All, ReferenceSolutions, testing::ValuesIn(kCases), [](const auto& info) {
  return std::string(info.param.task) + "_" + info.param.variant + (info.param.split ? info.param.split : "");
});

struct Solved {
  const char* id;
  const char* right;  // as a model writes it: blank lines around it, and on to a next question
  std::vector<const char*> wrong;
};

// LiveCodeBench publishes no solutions; these follow from the statements of the three problems whose tests are
// at hand.
const Solved kSolved[] = {
    {"1873_A",
     "for _ in range(int(input())):\n    print('YES' if sum(a != b for a, b in zip(input(), 'abc')) in (0, 2) else "
     "'NO')\n\n### Question\nNo program.",
     {"", "print('YES')\n", "import sys\nsys.exit(0)\n"}},
    {"abc301_a",
     "\nn = int(input())\ns = input()\nc = Counter(s)\nt, a = c['T'], c['A']\n"
     "print('T' if t > a or t == a and s[-1] == 'A' else 'A')",
     {"print('T')", "print(input())", "def main(:"}},
    {"2727",
     "class Solution:\n    def countSeniors(self, details: List[str]) -> int:\n"
     "        return sum(int(one[11:13]) > 60 for one in details)\n\n\n### Answer\n",
     {"class Solution:\n    def countSeniors(self, details): return None", "def countSeniors(details): return 2",
      "class Solution:\n    def countSeniors(self, details): raise SystemExit(0)"}},
};

// The official row, and official rows put together of a published problem and its tests, half of them private.
std::string live_code_bench_rows(const fs::path& folder) {
  std::string rows = read_file(folder / "official_row_sample.jsonl");
  const std::string tests_text = read_file(folder / "input_output_sample.jsonl"),
                    problems_text = read_file(folder / "problems_without_tests.jsonl");
  json::for_each_line(tests_text, "tests", [&](json::Value sample, size_t) {
    const std::string_view id = sample.at("question_id").string();
    if (rows.find("\"" + std::string(id) + "\"") != std::string::npos) return;
    const json::Value all = sample.at("input_output");
    const std::vector<std::string> inputs = all.at("inputs").strings(), outputs = all.at("outputs").strings();
    const bool calls = !all.at("fn_name").is_null();
    const auto tests = [&](size_t from, size_t to) {
      json::Writer w;
      w.begin_array();
      for (size_t i = from; i < to; ++i) {
        w.begin_object().member("input", inputs[i]).member("output", outputs[i]);
        w.member("testtype", calls ? "functional" : "stdin").end_object();
      }
      return w.end_array().take();
    };
    const std::string metadata = calls ? R"({"func_name": ")" + std::string(all.at("fn_name").string()) + "\"}" : "{}";
    json::for_each_line(problems_text, "problems", [&](json::Value problem, size_t) {
      if (problem.at("question_id").string() != id) return;
      json::Writer w;
      w.begin_object();
      problem.for_each_member([&](std::string_view name, json::Value value) { w.member(name, value); });
      w.member("public_test_cases", tests(0, inputs.size() / 2));
      w.member("private_test_cases", tests(inputs.size() / 2, inputs.size())).member("metadata", metadata);
      rows += w.end_object().take() + "\n";
    });
  });
  return rows;
}

TEST(LiveCodeBenchSolutions, PassThroughTheTask) {
  DATA_OR_SKIP(data);
  POOL_OR_SKIP(pool, 0, 1);
  const TemporaryDirectory root;
  const fs::path own = root.path() / "livecodebench";
  fs::create_directories(own);
  fs::copy(data / "livecodebench/few_shot_examples", own / "few_shot_examples", fs::copy_options::recursive);
  write_file_atomically(own / "official_row_sample.jsonl", live_code_bench_rows(data / "livecodebench"));
  const tasks::Catalog catalog;
  const tasks::Task task = tasks::Task::open(
      catalog, {.task = "lcb_base", .variant = "sample", .data_root = root.path()});
  ASSERT_EQ(task.size(), std::size(kSolved));
  std::vector<const Solved*> solved;
  for (size_t i = 0; i < task.size(); ++i) {
    const auto one = std::ranges::find_if(
        kSolved, [&](const Solved& s) { return std::get<std::string>(task.document(i).fields.at("question_id")) == s.id; });
    ASSERT_NE(one, std::end(kSolved));
    solved.push_back(one);
  }
  std::vector<std::string> answers;
  for (const Solved* one : solved) answers.emplace_back(one->right);
  EXPECT_EQ(judge(*pool, task, answers).right, std::size(kSolved));
  for (size_t attempt = 0; attempt < 3; ++attempt) {
    for (size_t i = 0; i < solved.size(); ++i) answers[i] = solved[i]->wrong[attempt];
    EXPECT_EQ(judge(*pool, task, answers).right, 0u) << "attempt " << attempt;
  }
}

}  // namespace
}  // namespace assay::harness
