// Programs that attack, in tables: how they are run and what is expected of every one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tests/sandbox/leftovers.h"
#include "tests/sandbox/support.h"

namespace assay::sandbox::testing {

struct Attack {
  const char* name;
  const char* solution;
};

// Solutions that define f(v), which is to return the sum of v; this one does.
inline constexpr char kHonest[] = "def f(v): return sum(v)\n";
// What asks for no more than that.
inline constexpr char kSumTests[] =
    "def check(candidate):\n"
    "    assert candidate([4, 5]) == 9\n"
    "    assert candidate([-1, 8]) == 7\n";

struct Trial {
  int workers = 2;
  double cpu_seconds = 1, wall_seconds = 2;
  int64_t memory_bytes = int64_t{256} << 20;
  // nullopt: whatever is neither a pass nor the sandbox's failure.
  std::optional<Outcome> outcome = std::nullopt;
};

// A bounded, well-formed record and no failure of the sandbox, whatever the program did.
inline void expect_record(const std::string& name, const Verdict& verdict) {
  EXPECT_NE(verdict.outcome, Outcome::sandbox_error) << name << ": " << summary(verdict);
  const std::string record = verdict.json();
  EXPECT_LE(record.size(), kMaxRecordBytes) << name;
  EXPECT_NO_THROW(json::Document::parse(record, name));
}

// Judges every attack by `tests`, with an honest program after each on the same workers. None of
// the attacks passes, all of the honest ones do, and nothing is left behind.
inline void expect_none_passes(Level level, std::span<const Attack> attacks, const char* tests,
                               const Trial& trial = {}) {
  const Leftovers leftovers;
  {
    SANDBOX_OR_SKIP(sandbox, level, trial.workers);
    std::vector<Program> programs;
    for (const Attack& attack : attacks) {
      programs.push_back(program(call(attack.solution, tests, "f"), trial.cpu_seconds));
      programs.back().limits.wall_seconds = trial.wall_seconds;
      programs.back().limits.memory_bytes = trial.memory_bytes;
      programs.push_back(program(call(kHonest, tests, "f")));
    }
    const std::vector<Verdict> verdicts = sandbox->run_all(std::move(programs));
    for (size_t i = 0; i < verdicts.size(); ++i) {
      const std::string name = attacks[i / 2].name;
      if (i % 2 == 1) {
        EXPECT_TRUE(verdicts[i].passed()) << "after " << name << ": " << summary(verdicts[i]);
        continue;
      }
      EXPECT_NE(verdicts[i].outcome, Outcome::pass) << name << ": " << summary(verdicts[i]);
      if (trial.outcome) {
        EXPECT_EQ(verdicts[i].outcome, *trial.outcome) << name << ": " << summary(verdicts[i]);
      }
      EXPECT_LE(verdicts[i].attempts.size(), 2u) << name;
      expect_record(name, verdicts[i]);
    }
  }
  leftovers.expect_none();
}

// Runs whole programs that print ESCAPED where something worked that must not. Ending by a signal
// is an answer too: some system calls are fatal.
inline void expect_none_escapes(Level level, std::span<const Attack> scripts) {
  const Leftovers leftovers;
  {
    SANDBOX_OR_SKIP(sandbox, level, 2);
    std::vector<Program> programs;
    for (const Attack& attack : scripts)
      programs.push_back(program(script(attack.solution, "", "")));
    const std::vector<Verdict> verdicts = sandbox->run_all(std::move(programs));
    for (size_t i = 0; i < verdicts.size(); ++i) {
      const std::string name = scripts[i].name;
      EXPECT_EQ(verdicts[i].json().find("ESCAPED"), std::string::npos)
          << name << ": " << summary(verdicts[i]);
      // Anything else would mean that the attempt itself is broken.
      EXPECT_TRUE(verdicts[i].passed() || verdicts[i].reason.rfind("signal", 0) == 0)
          << name << ": " << summary(verdicts[i]);
      expect_record(name, verdicts[i]);
    }
  }
  leftovers.expect_none();
}

}  // namespace assay::sandbox::testing
