// Programs as lines of JSON, for using the sandbox on its own (assay sandbox run CASES.jsonl).
//
// A line: {"id", "kind": "call" | "stdio", "prompt", "completion", "test", "entry_point",
// "solution_names": [..], "stdin", "expected_stdout", "repeat",
// "limits": {"time_s", "memory_mb", "processes", "output_kb"}}. The program is prompt + completion;
// members that are missing are empty, limits that are missing are the defaults. time_s limits the
// wall clock and the processor time alike. What a checker of verdicts adds (expect, attempts,
// markers, check_after_s, arch) has no effect here; runner_env is the caller's business.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "sandbox/sandbox.h"

namespace assay::sandbox {

struct NamedProgram {
  std::string id;
  Program program;
  std::vector<std::string> unknown;  // members, also of limits, that nobody knows: typing errors
};

// Throws Error(bad_input) naming file and line.
NamedProgram read_case(json::Value line);

// "did you mean ...?" for a member of `unknown`, or "".
std::string member_suggestion(const std::string& unknown);

// {"id": .., then the members of Verdict::json()}, without a line feed.
std::string result_line(const std::string& id, const Verdict& verdict);

}  // namespace assay::sandbox
