// A program a model wrote, and how its result is to be judged: what the harness hands to a sandbox.
//
// The candidate's source and the tests are kept apart, because they run in different processes
// (docs/sandbox.md): the candidate process sees `program` and inputs, never tests or expected
// values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tasks/outputs.h"

namespace assay::tasks {

enum class ProgramKind {
  // `tests` run without an exception. With an entry point they define check(candidate), which is
  // called with it (HumanEval); without one they are statements that call what `program` defines
  // (MBPP's asserts).
  asserts,
  // Each case: input on stdin; stdout compared as LiveCodeBench does.
  stdio,
  // Each case: input = one JSON value a line, the positional arguments of Solution().{entry_point};
  // the result as JSON value == the decoded expected value.
  call,
  // CRUXEval: run program, evaluate the Python expression cases[0].input, compare it with the value
  // of the Python literal cases[0].expected.
  expression,
};
std::string_view program_kind_name(ProgramKind kind);

struct ProgramCase {
  std::string input, expected;
};

struct ProgramRequest {
  ProgramKind kind = ProgramKind::asserts;
  std::string program;  // complete source of the candidate
  // asserts: source that defines the names the tests may need beside the candidate's (HumanEval:
  // the prompt with a body `pass`; MBPP: test_setup_code); for the checker only.
  std::string checker_prelude;
  std::string reference;    // a reference solution; only the names it defines may shadow builtins
  std::string tests;        // asserts
  std::string entry_point;  // asserts (HumanEval), call
  std::vector<ProgramCase> cases;  // stdio, call, expression
  double seconds = 10;             // per program (asserts, expression) or per case (stdio, call)
  // A verdict that needs no run, e.g. CRUXEval-O answers that contain the call itself.
  bool refused = false;
  std::string refused_reason;
};

// Whether a program's standard output counts as the expected one (LiveCodeBench): stripped, the same
// number of lines, each equal after stripping, or all words of both equal as decimal numbers.
bool stdout_matches(std::string_view output, std::string_view expected);

// Runs programs. The harness implements it with the sandbox; tests with a mock.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual Execution run(const ProgramRequest& request) = 0;
};

}  // namespace assay::tasks
