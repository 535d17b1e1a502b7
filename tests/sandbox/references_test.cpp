// Real benchmarks through the sandbox: reference solutions pass, and bodies replaced by nonsense do
// not. Expected verdicts are those of the benchmarks' own executors.
#include <functional>
#include <map>

#include "tests/sandbox/support.h"

namespace assay::sandbox {
namespace {

using testing::program;
using testing::summary;

constexpr char kPreamble[] =
    "import math\nimport re\nimport sys\nimport copy\nimport datetime\nimport itertools\n"
    "import collections\nimport heapq\nimport functools\nimport hashlib\nimport numpy\n"
    "import numpy as np\nimport string\nfrom typing import *\nfrom collections import *\n";

struct Task {
  std::string id;
  Program program;
};

std::vector<Verdict> run(Sandbox& sandbox, const std::vector<Task>& tasks) {
  std::vector<Program> programs;
  for (const Task& task : tasks) programs.push_back(task.program);
  return sandbox.run_all(std::move(programs));
}

void expect_all_pass(Sandbox& sandbox, const std::vector<Task>& tasks, size_t count) {
  ASSERT_EQ(tasks.size(), count);
  const std::vector<Verdict> verdicts = run(sandbox, tasks);
  for (size_t i = 0; i < tasks.size(); ++i) {
    EXPECT_TRUE(verdicts[i].passed()) << tasks[i].id << ": " << summary(verdicts[i]);
  }
}

// `body` makes the completion out of the canonical one.
std::vector<Task> human_eval(const std::filesystem::path& path, const std::string& preamble,
                             const std::function<std::string(std::string)>& body) {
  std::vector<Task> tasks;
  json::for_each_line(read_file(path), path, [&](json::Value line, size_t) {
    const std::string prompt(line.at("prompt").string());
    CallTests tests;
    tests.solution = preamble + prompt + body(std::string(line.at("canonical_solution").string()));
    tests.context = preamble + prompt;
    tests.tests = line.at("test").string();
    tests.entry_point = line.at("entry_point").string();
    tasks.push_back({std::string(line.at("task_id").string()), program(tests)});
  });
  return tasks;
}

std::string unchanged(std::string text) { return text; }

class References : public ::testing::TestWithParam<Level> {};

TEST_P(References, HumanEvalPasses) {
  SHARED_OR_SKIP(path, "datasets/humaneval/HumanEval.jsonl");
  SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
  expect_all_pass(*sandbox, human_eval(path, "", unchanged), 164);
}

TEST_P(References, HumanEvalPassesWithPreamble) {
  SHARED_OR_SKIP(path, "datasets/humaneval/HumanEval.jsonl");
  SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
  if (!sandbox->probe().numpy) GTEST_SKIP() << "SKIPPED: no numpy for the preamble";
  expect_all_pass(*sandbox, human_eval(path, kPreamble, unchanged), 164);
}

TEST_P(References, HumanEvalNonsenseFails) {
  SHARED_OR_SKIP(path, "datasets/humaneval/HumanEval.jsonl");
  SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
  for (const std::string body :
       {"    return None\n", "    return 4711\n", "    import sys\n    sys.exit(0)\n"}) {
    const std::vector<Task> tasks = human_eval(path, "", [&](std::string) { return body; });
    const std::vector<Verdict> verdicts = run(*sandbox, tasks);
    for (size_t i = 0; i < tasks.size(); ++i) {
      EXPECT_EQ(verdicts[i].outcome, Outcome::fail)
          << tasks[i].id << " with " << body << summary(verdicts[i]);
    }
  }
}

TEST_P(References, MbppPasses) {
  SHARED_OR_SKIP(path, "datasets/mbpp/mbpp.jsonl");
  SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
  std::vector<Task> tasks;
  json::for_each_line(read_file(path), path, [&](json::Value line, size_t) {
    CallTests tests;
    const std::string code(line.at("code").string());
    tests.solution = code;
    // Builds trees out of the class that the solution defines.
    tests.tests = std::string(line.at("test_setup_code").string()) + "\n";
    line.at("test_list").for_each_element([&](json::Value assertion) {
      tests.tests += std::string(assertion.string()) + "\n";
    });
    tests.reference = code;
    tasks.push_back({"MBPP/" + std::to_string(line.at("task_id").integer()), program(tests)});
  });
  expect_all_pass(*sandbox, tasks, 974);
}

// The data set's own input (output) as the model's answer to the other.
TEST_P(References, CruxEvalPasses) {
  SHARED_OR_SKIP(path, "datasets/cruxeval/cruxeval.jsonl");
  SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
  std::vector<Task> output, input;
  json::for_each_line(read_file(path), path, [&](json::Value line, size_t) {
    const std::string id(line.at("id").string()), code(line.at("code").string());
    const std::string in(line.at("input").string()), out(line.at("output").string());
    input.push_back({id + "/I", program(ExpressionTest{code, "f(" + in + ")", out}, 3)});
    // The answer is the literal; what it must equal is known from running the code.
    output.push_back({id + "/O", program(ExpressionTest{code, out, out}, 3)});
  });
  expect_all_pass(*sandbox, input, 800);
  expect_all_pass(*sandbox, output, 800);
}

// LiveCodeBench publishes no solutions; these follow from the statements of the three problems whose
// tests are there, and are right by the data set's own outputs. Nonsense in the same form is not.
TEST_P(References, LiveCodeBenchSamples) {
  SHARED_OR_SKIP(path, "datasets/livecodebench/input_output_sample.jsonl");
  SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
  const std::map<std::string, std::string> solutions = {
      {"1873_A",
       "for _ in range(int(input())):\n"
       "    print('YES' if sum(a != b for a, b in zip(input(), 'abc')) in (0, 2) else 'NO')\n"},
      {"abc301_a",
       "n = int(input())\ns = input()\nt, a = s.count('T'), s.count('A')\n"
       "print('T' if t > a or t == a and s[-1] == 'A' else 'A')\n"},
      {"2727",
       "class Solution:\n    def countSeniors(self, details):\n"
       "        return sum(int(one[11:13]) > 60 for one in details)\n"}};
  const char* wrong_scripts[] = {"", "print('YES')\n", "import sys\nsys.exit(0)\n"};
  const char* wrong_bodies[] = {"return None", "return 4711", "import sys; sys.exit(0)"};
  size_t problems = 0;
  json::for_each_line(read_file(path), path, [&](json::Value line, size_t) {
    ++problems;
    const std::string id(line.at("question_id").string());
    const json::Value tests = line.at("input_output");
    const std::vector<std::string> inputs = tests.at("inputs").strings(),
                                   outputs = tests.at("outputs").strings();
    std::vector<Case> all;
    for (size_t i = 0; i < inputs.size(); ++i) all.push_back({inputs[i], outputs[i]});
    const bool calls = id == "2727";
    const auto outcome = [&](const std::string& solution) {
      Program made;
      if (calls) {
        made.tests = FunctionTests{solution, std::string(tests.at("fn_name").string()), cases(all)};
      } else {
        made.tests = StdioTests{solution, cases(all), {}, false};
      }
      return sandbox->submit(std::move(made)).get();
    };
    const Verdict right = outcome(solutions.at(id));
    EXPECT_TRUE(right.passed()) << id << ": " << summary(right);
    EXPECT_EQ(right.cases_run, static_cast<int64_t>(all.size())) << id;
    for (int i = 0; i < 3; ++i) {
      const std::string nonsense =
          calls ? std::string("class Solution:\n    def countSeniors(self, details): ") + wrong_bodies[i] + "\n"
                : std::string(wrong_scripts[i]);
      const Verdict wrong = outcome(nonsense);
      EXPECT_EQ(wrong.outcome, Outcome::fail) << id << " with " << nonsense << summary(wrong);
    }
  });
  EXPECT_EQ(problems, 3u);
}

INSTANTIATE_TEST_SUITE_P(Levels, References, ::testing::Values(Level::a, Level::b, Level::c),
                         testing::level_suffix);

}  // namespace
}  // namespace assay::sandbox
