// What the public interface promises: kinds of programs, evidence, limits, replacement of workers.
#include "sandbox/sandbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include "base/random.h"
#include "tests/sandbox/leftovers.h"
#include "tests/sandbox/support.h"

namespace assay::sandbox {
namespace {

using testing::call;
using testing::program;
using testing::script;
using testing::summary;

constexpr char kAdd[] = "def check(candidate):\n    assert candidate(2, 3) == 5\n";

class Library : public ::testing::TestWithParam<Level> {};

void expect(Sandbox& sandbox, Program made, Outcome outcome, std::string_view reason) {
  const Verdict verdict = sandbox.submit(std::move(made)).get();
  EXPECT_EQ(verdict.outcome, outcome) << summary(verdict);
  EXPECT_EQ(verdict.reason, reason) << summary(verdict);
}

TEST_P(Library, ReasonsRefineVerdicts) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
  const auto of = [&](const char* body) { return program(call(body, kAdd, "f"), 1); };
  expect(*sandbox, of("def f(a, b): return a + b\n"), Outcome::pass, "");
  expect(*sandbox, of("def f(a, b): return a\n"), Outcome::fail, "wrong_answer");
  expect(*sandbox, of("def f(a, b: return a\n"), Outcome::fail, "syntax");
  expect(*sandbox, of("def f(a, b): return {}[a]\n"), Outcome::fail, "KeyError");
  expect(*sandbox, of("class E(ValueError): pass\ndef f(a, b): raise E\n"), Outcome::fail, "E");
  expect(*sandbox, of("def g(a, b): return a + b\n"), Outcome::fail, "no_entry_point");
  expect(*sandbox, of("def f(a, b): return f(a, b)\n"), Outcome::fail, "RecursionError");
  expect(*sandbox, of("import ctypes\ndef f(a, b): ctypes.string_at(0)\n"), Outcome::fail,
         "signal 11");
  expect(*sandbox, of("def f(a, b):\n    while True: print('x' * 10000)\n"), Outcome::fail,
         "output_limit");
  expect(*sandbox, of("def f(a, b): return bytearray(1 << 50)\n"), Outcome::memory, "MemoryError");
  Program sleeps = of("import time\ndef f(a, b): time.sleep(100)\n");
  sleeps.limits.wall_seconds = 1;
  expect(*sandbox, sleeps, Outcome::timeout, "wall_limit");
  Program loops = of("def f(a, b):\n    while True: pass\n");
  loops.limits.wall_seconds = 100;
  expect(*sandbox, loops, Outcome::timeout, "cpu_limit");
  // Tests that cannot be run say nothing about the program.
  expect(*sandbox, program(call("def f(): pass\n", "def check(candidate):\n    pass\n", "f")),
         Outcome::sandbox_error, "unsupported tests");
  expect(*sandbox, program(call("def f(): pass\n", "def check(candidate:\n", "f")),
         Outcome::sandbox_error, "unsupported tests");
}

TEST_P(Library, ValuesCrossUnchanged) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
  const char* solution =
      "import collections, datetime, decimal, fractions\n"
      "def f(x): return x\n"
      "def grow(values, more):\n    values.append(more); values[0].add(7); return None\n"
      "def squares(n): return (i * i for i in range(n))\n"
      "def count(words): return collections.Counter(words)\n"
      "def apply(function, x): return function(x) + 1\n"
      "class Stack:\n"
      "    def __init__(self): self.items = []\n"
      "    def push(self, x): self.items.append(x)\n"
      "    def __len__(self): return len(self.items)\n"
      "    def __getitem__(self, i): return self.items[i]\n"
      "    def __iter__(self): return iter(self.items)\n"
      "def fail(): raise LookupError('not there')\n";
  const char* tests =
      "import datetime, decimal, fractions, math\n"
      "for x in [None, True, ..., 0, -1, 1 << 63, -(1 << 5000), 0.1, -0.0, float('inf'), 1j, '', "
      "'a\\0b', "
      "'\\ud800\\U0001f600', b'\\xff', bytearray(b'x'), [], [1, [2]], (), (1,), {}, {'a': [1], 2: "
      "(3,)}, set(), "
      "{1, 'a'}, frozenset({1}), range(3, 9, 2), fractions.Fraction(1, 3), "
      "decimal.Decimal('1.10'), "
      "datetime.date(2020, 2, 29), datetime.timedelta(1, 2, 3), int, len, slice(1, None)]:\n"
      "    y = f(x)\n"
      "    assert type(y) is type(x) and y == x and repr(y) == repr(x), repr(y)\n"
      "assert math.isnan(f(float('nan')))\n"
      "inner = {1}\n"
      "values = [inner]\n"
      "assert grow(values, 'end') is None\n"
      "assert values == [{1, 7}, 'end'] and values[0] is inner\n"
      "it = squares(4)\n"
      "assert next(it) == 0 and list(it) == [1, 4, 9]\n"
      "assert count('aab') == {'a': 2, 'b': 1}\n"
      "assert apply(lambda x: x * 10, 4) == 41\n"
      "s = Stack()\n"
      "s.push('a'); s.push('b')\n"
      "assert len(s) == 2 and s[1] == 'b' and list(s) == ['a', 'b'] and 'a' in s and s.items == "
      "['a', 'b']\n"
      "s.label = 'x'\n"
      "assert s.label == 'x' and isinstance(s, Stack) and not isinstance(s, list)\n"
      "try:\n    fail()\n    assert False\nexcept LookupError as error:\n    assert 'not there' in "
      "str(error)\n";
  const Verdict verdict = sandbox->submit(program(call(solution, tests, ""))).get();
  EXPECT_TRUE(verdict.passed()) << summary(verdict);
}

TEST_P(Library, ScriptsBehaveAsFromAFile) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
  expect(*sandbox, program(script("print(input()[::-1])", "abc\n", "cba\n")), Outcome::pass, "");
  expect(*sandbox, program(script("if __name__ == '__main__': print(1)", "", "1\n")), Outcome::pass,
         "");
  expect(*sandbox,
         program(script("import atexit\natexit.register(print, 2)\nprint(1)", "", "1\n2\n")),
         Outcome::pass, "");
  expect(*sandbox,
         program(script("import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), "
                        "print(2))).start()\nprint(1)",
                        "", "1\n2\n")),
         Outcome::pass, "");
  expect(*sandbox, program(script("print(1)\nexit(3)", "", "1\n")), Outcome::fail, "exit_status");
  expect(*sandbox, program(script("print(1)\n1 / 0", "", "1\n")), Outcome::fail,
         "ZeroDivisionError");
  expect(*sandbox, program(script("print(2)", "", "1\n")), Outcome::fail, "wrong_answer");
  StdioTests lenient = script("print(1)\nexit(3)", "", "1");
  lenient.any_exit_status = true;
  lenient.matches = [](std::string_view output, std::string_view expected) {
    return output.substr(0, expected.size()) == expected;
  };
  expect(*sandbox, program(lenient), Outcome::pass, "");
  // Far more than a pipe holds, in both directions.
  std::string large;
  for (int i = 0; i < 300000; ++i) large += std::to_string(i) + "\n";
  Program echo =
      program(script("import sys\nfor line in sys.stdin: sys.stdout.write(line)", large, large));
  echo.limits.output_bytes = 8 << 20;
  expect(*sandbox, echo, Outcome::pass, "");
  // Input that nobody reads.
  expect(*sandbox, program(script("print(1)", large, "1\n")), Outcome::pass, "");
}

TEST_P(Library, CasesStreamAndStopAtTheFirstFailure) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 1);
  size_t asked = 0;
  StdioTests tests;
  tests.solution = "n = int(input())\nprint(n if n != 3 else 0)\n";
  tests.source = [&](size_t index) -> std::optional<Case> {
    asked = index + 1;
    return Case{std::to_string(index) + "\n", std::to_string(index) + "\n"};
  };
  Verdict verdict = sandbox->submit(program(tests)).get();
  EXPECT_EQ(verdict.reason, "wrong_answer");
  EXPECT_EQ(verdict.cases_run, 4);
  EXPECT_EQ(asked, 4u);

  FunctionTests function;
  function.solution = "class Solution:\n    def pair(self, a, b):\n        return (a, b * 1.0)\n";
  function.function = "pair";
  function.source =
      cases({{"[1]\n2", "[[1], 2]"}, {"\"\\ud83d\\ude00\"\n0", "[\"\\ud83d\\ude00\", 0.0]"}});
  EXPECT_TRUE(sandbox->submit(program(function)).get().passed());
  function.source = cases({{"[1]\n2", "[[1], 3]"}});
  EXPECT_EQ(sandbox->submit(program(function)).get().reason, "wrong_answer");
  function.solution = "def pair(a, b): return [a, b]\n";
  function.source = cases({{"[1]\n2", "[[1], 2]"}});
  EXPECT_TRUE(sandbox->submit(program(function)).get().passed());
}

TEST_P(Library, ExpressionsAreValuesNotClaims) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
  const std::string code = "def f(x):\n    return x + [1]\n";
  const auto outcome = [&](const char* answer) {
    return sandbox->submit(program(ExpressionTest{code, answer, "[0, 1]"}, 3)).get().outcome;
  };
  EXPECT_EQ(outcome("[0, 1]"), Outcome::pass);
  EXPECT_EQ(outcome("f([0])"), Outcome::pass);
  EXPECT_EQ(outcome("[0, 1]  # because"), Outcome::pass);
  EXPECT_EQ(outcome("[0, 1], 'message'"), Outcome::pass);
  EXPECT_EQ(outcome("[0]"), Outcome::fail);
  EXPECT_EQ(outcome("[0] or True"), Outcome::fail);
  EXPECT_EQ(outcome("__import__('unittest.mock').mock.ANY"), Outcome::fail);
  EXPECT_EQ(outcome("(("), Outcome::fail);
}

std::vector<pid_t> descendants() {
  std::vector<pid_t> found;
  std::vector<pid_t> open_list = {getpid()};
  while (!open_list.empty()) {
    const std::string pid = std::to_string(open_list.back());
    open_list.pop_back();
    std::error_code error;
    for (const auto& task : std::filesystem::directory_iterator("/proc/" + pid + "/task", error)) {
      std::ifstream children(task.path() / "children");
      for (pid_t child; children >> child;) {
        found.push_back(child);
        open_list.push_back(child);
      }
    }
  }
  return found;
}

// A fork server that dies takes no program with it: the program is judged again.
TEST_P(Library, KilledServersAreReplaced) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
  if (descendants().empty()) GTEST_SKIP() << "SKIPPED: the kernel does not list children";
  std::vector<Program> programs;
  for (int i = 0; i < 40; ++i) {
    programs.push_back(
        program(call(i % 2 ? "import time\ndef f(a, b):\n    time.sleep(0.05)\n    return a + b\n"
                           : "import time\ndef f(a, b):\n    time.sleep(0.05)\n    return a\n",
                     kAdd, "f")));
  }
  std::atomic<bool> done = false;
  std::thread killer([&] {
    // Twice: a retry must find a quiet moment.
    for (int round = 0; round < 2 && !done; ++round) {
      std::this_thread::sleep_for(std::chrono::milliseconds(150));
      const std::vector<pid_t> all = descendants();
      if (!all.empty()) kill(all[all.size() / 2], SIGKILL);
      std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    }
  });
  const std::vector<Verdict> verdicts = sandbox->run_all(std::move(programs));
  done = true;
  killer.join();
  for (size_t i = 0; i < verdicts.size(); ++i) {
    // A killed candidate may count as a failed program (that is what it looks like), never as a
    // pass.
    if (i % 2) {
      EXPECT_TRUE(verdicts[i].passed() || verdicts[i].reason == "signal 9") << summary(verdicts[i]);
    } else {
      EXPECT_EQ(verdicts[i].outcome, Outcome::fail) << summary(verdicts[i]);
    }
  }
  expect(*sandbox, program(call("def f(a, b): return a + b\n", kAdd, "f")), Outcome::pass, "");
}

// Whatever process dies, at any moment: launchers, servers, slot servers, candidates, checkers, the
// janitor. Right programs pass or, hit twice, are the sandbox's error; wrong ones never pass; nothing
// is left, and the sandbox goes on.
TEST_P(Library, ProcessesKilledAtRandom) {
  const testing::Leftovers leftovers;
  {
    SANDBOX_OR_SKIP(sandbox, GetParam(), 3);
    if (descendants().empty()) GTEST_SKIP() << "SKIPPED: the kernel does not list children";
    std::vector<Program> programs;
    for (int i = 0; i < 120; ++i) {
      programs.push_back(program(call(
          std::string("import time\ndef f(a, b):\n    time.sleep(0.04)\n    return a") +
              (i % 2 ? " + b\n" : "\n"),
          kAdd, "f")));
    }
    std::atomic<bool> done = false;
    int kills = 0;
    std::thread killer([&] {
      Random random(7);
      while (!done) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100 + random.below(300)));
        const std::vector<pid_t> all = descendants();
        if (!all.empty() && kill(all[random.below(all.size())], SIGKILL) == 0) ++kills;
      }
    });
    const std::vector<Verdict> verdicts = sandbox->run_all(std::move(programs));
    done = true;
    killer.join();
    int errors = 0;
    for (size_t i = 0; i < verdicts.size(); ++i) {
      const Verdict& verdict = verdicts[i];
      errors += verdict.outcome == Outcome::sandbox_error;
      if (verdict.outcome == Outcome::sandbox_error) {
        EXPECT_EQ(verdict.attempts.size(), 2u) << verdict.json();
      } else if (i % 2) {
        // Without a pid namespace a program can kill itself, which looks the same.
        EXPECT_TRUE(verdict.passed() || (GetParam() == Level::c && verdict.reason == "signal 9"))
            << verdict.json();
      } else {
        EXPECT_EQ(verdict.outcome, Outcome::fail) << verdict.json();
      }
    }
    EXPECT_GE(kills, 5);
    EXPECT_LE(errors, kills);  // a main server takes up to three programs with it, twice
    expect(*sandbox, program(call("def f(a, b): return a + b\n", kAdd, "f")), Outcome::pass, "");
  }
  leftovers.expect_none();
}

// A supervisor and its janitor killed together leave a directory at level C; the next sandbox
// removes it, and no other.
TEST(Abandoned, DirectoriesAreRemovedByTheNext) {
  const auto sandbox = testing::sandbox_at(Level::c, 1);
  if (!sandbox) GTEST_SKIP() << "SKIPPED: this machine does not offer level C";
  const pid_t gone = fork();
  if (gone == 0) _exit(0);
  ASSERT_EQ(waitpid(gone, nullptr, 0), gone);
  const std::string prefix =
      (std::filesystem::temp_directory_path() / "assay-sandbox-").string();
  const std::string abandoned = prefix + std::to_string(gone) + ".old000",
                    locked = prefix + std::to_string(gone) + ".lock00",
                    alive = prefix + std::to_string(getpid()) + ".live00";
  for (const std::string& path : {abandoned, locked, alive}) {
    std::filesystem::create_directories(path + "/candidate-0/deep/tree");
    write_file_atomically(path + "/candidate-0/file", "x");
  }
  const int lock = open(locked.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(flock(lock, LOCK_EX | LOCK_NB), 0);
  std::this_thread::sleep_for(std::chrono::seconds(11));  // younger ones may be a janitor's
  EXPECT_TRUE(testing::sandbox_at(Level::c, 1));
  EXPECT_FALSE(std::filesystem::exists(abandoned));
  EXPECT_TRUE(std::filesystem::exists(locked));
  EXPECT_TRUE(std::filesystem::exists(alive));
  close(lock);
  std::filesystem::remove_all(locked);
  std::filesystem::remove_all(alive);
  // And a sandbox in use keeps its own.
  EXPECT_TRUE(sandbox->submit(program(script("open('x', 'w')", "", ""))).get().passed());
}

TEST_P(Library, ShutsDownWithProgramsWaiting) {
  const testing::Leftovers leftovers;
  std::vector<std::future<Verdict>> waiting;
  {
    SANDBOX_OR_SKIP(sandbox, GetParam(), 1);
    for (int i = 0; i < 20; ++i) {
      waiting.push_back(sandbox->submit(program(
          call("import time\ndef f(a, b):\n    time.sleep(0.05)\n    return a + b\n", kAdd, "f"))));
    }
  }
  for (std::future<Verdict>& future : waiting) {
    const Verdict verdict = future.get();
    EXPECT_TRUE(verdict.passed() || verdict.reason == "shut down") << summary(verdict);
  }
  leftovers.expect_none();
}

// A supervisor that is killed leaves no process, control group or directory: its servers end with
// their sockets, and the janitor cleans up after it.
TEST_P(Library, KilledSupervisorLeavesNothing) {
  std::string why;
  if (!testing::sandbox_at(GetParam(), 1, &why)) GTEST_SKIP() << "SKIPPED: " << why;
  const testing::Leftovers leftovers;
  // Orphans become ours, so that they can be seen and waited for.
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
  int started[2];
  ASSERT_EQ(pipe(started), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto sandbox = testing::sandbox_at(GetParam(), 2);
    const char* solution =
        "import os, time\nopen('file', 'w').write('x')\nos.makedirs('a/b')\nos.chmod('a/b', 0)\n"
        "time.sleep(1000)\n";
    for (int i = 0; i < 3; ++i) (void)sandbox->submit(program(script("import time\ntime.sleep(0.01)\n", "", "")));
    const auto first = sandbox->submit(program(script(solution, "", "")));
    const auto second = sandbox->submit(program(call(solution, kAdd, "f")));
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    if (write(started[1], "x", 1) != 1) _exit(1);
    first.wait();
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(started[0], &byte, 1), 1);
  close(started[0]);
  close(started[1]);
  kill(child, SIGKILL);
  const auto begin = std::chrono::steady_clock::now();
  pid_t ended = 0;
  while (ended >= 0 || errno == EINTR) {
    ended = waitpid(-1, nullptr, WNOHANG);
    if (ended > 0) continue;
    if (std::chrono::steady_clock::now() - begin > std::chrono::seconds(30)) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_TRUE(ended < 0 && errno == ECHILD) << "processes are left";
  prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
  leftovers.expect_none(child);
}

size_t open_descriptors() {
  const std::unique_ptr<DIR, int (*)(DIR*)> all(opendir("/proc/self/fd"), closedir);
  size_t count = 0;
  while (readdir(all.get())) ++count;
  return count;
}

// ASSAY_SANDBOX_MANY=10000 for the full length.
TEST_P(Library, ManyProgramsDoNotGrow) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
  const char* many = std::getenv("ASSAY_SANDBOX_MANY");
  const int count = many ? std::max(100, std::atoi(many)) : 200;
  const auto run = [&](int n) {
    std::vector<Program> programs;
    for (int i = 0; i < n; ++i) {
      programs.push_back(program(call("def f(a, b): return a + b\n", kAdd, "f")));
    }
    for (const Verdict& verdict : sandbox->run_all(std::move(programs))) {
      ASSERT_TRUE(verdict.passed()) << summary(verdict);
    }
  };
  const auto resident_kib = [] {
    std::ifstream file("/proc/self/status");
    for (std::string word; file >> word;) {
      if (word == "VmRSS:") {
        long value = 0;
        file >> value;
        return value;
      }
    }
    return 0L;
  };
  run(50);
  const size_t descriptors = open_descriptors();
  const long before = resident_kib();
  run(count);
  EXPECT_LE(open_descriptors(), descriptors);
  // Verdicts of one round and the allocator's slack; a leak of 2 KiB a program would show at
  // 10,000.
  EXPECT_LE(resident_kib(), before + 8 * 1024 + count / 2);
}

INSTANTIATE_TEST_SUITE_P(Levels, Library, ::testing::Values(Level::a, Level::b, Level::c),
                         testing::level_suffix);

}  // namespace
}  // namespace assay::sandbox
