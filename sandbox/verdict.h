// From what was observed to a verdict.
#pragma once

#include <string>
#include <string_view>

#include "sandbox/execution.h"
#include "sandbox/sandbox.h"

namespace assay::sandbox {

struct Judgement {
  Outcome outcome = Outcome::sandbox_error;
  std::string reason;
  std::string detail;
};

// For programs with a checker. A pass needs the checker's own word, its normal end, and no limit
// reached.
Judgement judge_checked(const Observation& seen, const Limits& limits);

// For whole programs: everything but the comparison of the output, which decides a `pass` here.
Judgement judge_script(const Observation& seen, const Limits& limits, bool any_exit_status);

// The first and last `half` bytes of `text`, escaped: valid UTF-8 whose only control characters are
// line feeds and tabs; malformed bytes as \xNN. At most about 2 * half + 40 bytes.
std::string excerpt(std::string_view text, size_t half = 2048);

}  // namespace assay::sandbox
