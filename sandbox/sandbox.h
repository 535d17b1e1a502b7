// Runs untrusted Python programs against tests that they cannot see, and says what happened.
//
// Why two processes. In the usual executors the tests run inside the program's own interpreter, so
// a program passes by exiting early, patching builtins, reading the tests from memory or answering
// with objects equal to everything. Here the program runs in one process (the candidate) and its
// tests in another (the checker); only plain data crosses between them, and only the checker can
// report a pass. docs/sandbox.md has the levels of isolation, the limits, and what is not promised.
//
//   Sandbox sandbox({.minimum_level = Level::C});
//   Program program;
//   program.tests = CallTests{.solution = prompt + completion, .context = prompt,
//                             .tests = test, .entry_point = "add"};
//   Verdict verdict = sandbox.submit(std::move(program)).get();
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace assay::sandbox {

// How well programs are isolated; each is found by trying at start, never assumed.
//   a: namespaces, a control group for memory and processes, seccomp, Landlock where the kernel has
//   it b: namespaces but no control group: forks are refused, memory by RLIMIT_AS and by watching
//   RSS c: no namespaces: Landlock, seccomp, rlimits, forks refused, another user id if root
// Below c nothing runs.
enum class Level { a, b, c };
std::string_view level_name(Level level);                 // "A", "B", "C"
std::optional<Level> parse_level(std::string_view name);  // "A", "b", ...; nullopt if unknown

// What the probe found in force, for run records.
struct Probe {
  Level level = Level::c;
  bool user_namespace = false;
  bool pid_namespace = false;
  bool mount_namespace = false;
  bool network_namespace = false;
  int cgroup_version = 0;  // 1 or 2; 0: none in use
  bool cgroup_memory = false;
  bool cgroup_pids = false;
  bool cgroup_cpu = false;
  int landlock_abi = 0;  // 0: not available
  bool seccomp = false;
  bool other_user = false;  // programs run under another user id than the supervisor
  bool forks_refused = false;
  bool numpy = false;          // importable by programs
  std::string python_version;  // "3.11.2"
  // Why no better level: one line for every mechanism that is missing.
  std::vector<std::string> missing;

  std::string json() const;  // one object
};

struct Limits {
  double cpu_seconds = 10;
  // Wall clock; 0 means 3 x cpu_seconds + 2, so that a busy machine does not turn passes into
  // timeouts.
  double wall_seconds = 0;
  int64_t memory_bytes = int64_t{512} << 20;
  int processes = 64;                       // threads, and at level a also processes
  int64_t files_bytes = int64_t{64} << 20;  // all files together
  int64_t file_bytes = int64_t{16} << 20;   // one file
  int files = 4096;                         // inodes
  int64_t output_bytes = int64_t{1} << 20;  // standard output and standard error, each
  int64_t frame_bytes = int64_t{16} << 20;  // one value crossing between candidate and checker

  double wall() const { return wall_seconds > 0 ? wall_seconds : 3 * cpu_seconds + 2; }
};

// Tests that call what the program defines (HumanEval, MBPP). Text is Python source, UTF-8.
struct CallTests {
  // All that the candidate process runs: preamble, set-up, prompt and completion, already joined.
  std::string solution;
  // Run in the checker before the tests: preamble and prompt (so that helper functions which the
  // prompt defines are the prompt's own). A trailing function without a body gets `pass`.
  std::string context;
  // Run in the checker. With an entry point: defines check(candidate), which the checker then
  // calls. Without: statements, such as MBPP's asserts. Tests that end without having used the
  // program are a sandbox_error: they would pass anything.
  std::string tests;
  std::string entry_point;
  // Names the tests take from the program even when they are builtins or defined by `context`.
  // Names that are neither are taken from the program anyway.
  std::vector<std::string> solution_names;
  // A reference solution (optional): top-level names that it defines and `context` does not count
  // as solution_names. It is parsed in the checker, never run.
  std::string reference;
};

struct Case {
  std::string input;
  std::string expected;
};
// Hands out case 0, 1, ... and nullopt after the last; called from a worker thread. Only one case
// is in memory at a time, so a test set may be larger than memory.
using CaseSource = std::function<std::optional<Case>(size_t index)>;
CaseSource cases(std::vector<Case> list);

// A whole program that reads standard input (LiveCodeBench stdin form). Every case is a fresh
// process; the first failing case ends the run. The expected output never enters the sandbox.
struct StdioTests {
  std::string solution;
  CaseSource source;
  // Compares outside, in this process; null means equal bytes. Must be thread-safe.
  std::function<bool(std::string_view output, std::string_view expected)> matches;
  // sys.exit(n) with n != 0 is a normal end too (an uncaught exception never is).
  bool any_exit_status = false;
};

// A function called with JSON values (LiveCodeBench call form): Case::input is one JSON value per
// line, the positional arguments; Case::expected is a JSON value. The checker compares with
// Python's ==, a tuple result counting as a list. Every case is a fresh pair of processes.
struct FunctionTests {
  std::string solution;
  // A method of Solution() if the program defines class Solution, else a module-level function.
  std::string function;
  CaseSource source;
};

// One value (CRUXEval): the candidate runs `code` and evaluates `answer` there, the checker
// evaluates `expected` by itself, and the two values must be equal.
struct ExpressionTest {
  std::string code;
  std::string answer;    // what may stand after `assert expected == `
  std::string expected;  // from the data set
};

struct Program {
  std::variant<CallTests, StdioTests, FunctionTests, ExpressionTest> tests;
  Limits limits;
  int repeat = 1;  // run so often in a row on one worker; the last run counts
};

enum class Outcome {
  pass,
  fail,
  timeout,
  memory,
  sandbox_error,  // the sandbox failed, twice; says nothing about the program
};
std::string_view outcome_name(Outcome outcome);

// One execution; a verdict has more than one after a retry.
struct Attempt {
  Outcome outcome = Outcome::sandbox_error;
  std::string reason;
  double wall_ms = 0;
  double cpu_ms = 0;
  bool alone = false;  // nothing else was running in this sandbox
};

// What happened, with the evidence. Text from the program is kept as its first and last 2 KiB,
// escaped: valid UTF-8 without control characters.
struct Verdict {
  Outcome outcome = Outcome::sandbox_error;
  // Refines the outcome: "" for a pass; wrong_answer, syntax, no_entry_point, exception type
  // ("ValueError"), exit_status, output_limit, frame (malformed or oversized data), signal N;
  // wall_limit, cpu_limit; memory; for sandbox_error the step that failed.
  std::string reason;
  std::string detail;  // exception text or failed assertion
  std::string stdout_text;
  std::string stderr_text;
  int64_t stdout_bytes = 0;  // written in all, up to the limit
  int64_t stderr_bytes = 0;

  // Summed over the cases of a CaseSource; retried attempts are only in `attempts`.
  double wall_ms = 0;  // from handing over the program to its end
  double cpu_ms = 0;   // candidate and checker, user and system
  int64_t peak_kib = 0;
  int candidate_exit = -1;   // exit status, -1 if it did not exit by itself
  int candidate_signal = 0;  // signal that ended it; 9 also when it was stopped after the verdict
  int checker_exit = -1;
  int checker_signal = 0;
  bool oom_killed = false;

  Level level = Level::c;
  Limits limits;
  std::string python_version;
  std::string program_sha256;
  std::string tests_sha256;       // of the tests run so far, case by case
  int64_t cases_run = 0;          // of a CaseSource; the last one failed unless the outcome is pass
  std::vector<Attempt> attempts;  // oldest first; the last one decided

  bool passed() const { return outcome == Outcome::pass; }
  // One JSON object, valid UTF-8, at most kMaxRecordBytes whatever the program wrote.
  std::string json() const;
};
inline constexpr size_t kMaxRecordBytes = 16 * 1024;

struct Options {
  // Refuse to work below this level.
  Level minimum_level = Level::c;
  // Use this level even if a better one is available (tests, comparisons); nullopt: the best.
  std::optional<Level> force_level;
  // Programs judged at the same time; 0: as many as there are processors.
  int workers = 0;
  // The interpreter; one outside /usr brings the directory above its bin/ into the sandbox.
  std::string python = "/usr/bin/python3";
};

// Thread-safe. Construction probes (a fraction of a second); if the machine offers less than
// `minimum_level` it throws Error(resource) that names what is missing, and nothing has run.
class Sandbox {
 public:
  explicit Sandbox(Options options = {});
  // Waits for the programs that are running; those still queued become sandbox_error "shut down".
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  const Probe& probe() const;
  int workers() const;
  // From now on at most so many programs at the same time; 0: as many as there are workers.
  // Programs that have begun go on.
  void throttle(int programs);

  // Never blocks: programs wait in a queue and are started in the order of submission. `done` is
  // called on a worker thread and must not throw.
  std::future<Verdict> submit(Program program);
  void submit(Program program, std::function<void(Verdict)> done);
  // All verdicts, in the order of the programs.
  std::vector<Verdict> run_all(std::vector<Program> programs);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace assay::sandbox
