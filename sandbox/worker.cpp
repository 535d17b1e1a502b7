#include "sandbox/worker.h"

#include <sys/wait.h>

#include <algorithm>

#include "base/digest.h"
#include "base/error.h"
#include "base/workers.h"
#include "sandbox/frames.h"

namespace assay::sandbox {

void Crowd::enter(bool alone) {
  std::unique_lock lock(mutex_);
  if (alone) {
    ++waiting_alone_;
    changed_.wait(lock, [&] { return inside_ == 0; });
    --waiting_alone_;
    alone_inside_ = true;
  } else {
    changed_.wait(lock, [&] { return !alone_inside_ && waiting_alone_ == 0; });
  }
  ++inside_;
}

void Crowd::leave(bool alone) {
  const std::lock_guard lock(mutex_);
  --inside_;
  if (alone) alone_inside_ = false;
  changed_.notify_all();
}

// A verdict in the making.
struct Worker::Run {
  const Program& program;
  Verdict verdict;
  Sha256 tests;
};

std::unique_ptr<Slot> Worker::make_slot(Servers& servers) {
  auto slot = std::make_unique<Slot>();
  slot->candidate = servers.candidates.make_slot();
  slot->checker = servers.checkers.make_slot();
  if (shared_.groups) {
    slot->group = shared_.groups->make("slot-" + std::to_string(number_) + "-" +
                                       std::to_string(slots_made_++));
    if (!slot->group || !slot->group->attach(slot->candidate.process)) {
      throw_resource("cannot make a control group for a slot", "cgroup");
    }
    // The server's own pages, and those of its children that are copied from it.
    slot->server_bytes = slot->group->memory_usage().value_or(0) + (int64_t{64} << 20);
    slot->oom_kills = slot->group->oom_kills();
  }
  for (const SlotServer* server : {&slot->candidate, &slot->checker}) {
    if (!send_message(server->control.get(), "G")) throw_resource("a slot server died", "sandbox");
  }
  return slot;
}

namespace {

// Whether the program or its tests will want numpy; if that is not seen, they load it themselves.
bool mentions_numpy(const Job& job) {
  return job.candidate_fields.find("numpy") != std::string::npos ||
         job.checker_fields.find("numpy") != std::string::npos;
}

}  // namespace

Observation Worker::execute_once(const Job& job, const Limits& limits, bool alone) {
  shared_.crowd.enter(alone);
  Observation seen;
  const bool numpy = mentions_numpy(job);
  std::unique_ptr<Slot>& slot = numpy ? numpy_slot_ : plain_slot_;
  try {
    if (!slot) slot = make_slot(numpy ? shared_.numpy : shared_.plain);
    seen = sandbox::execute(*slot, job, limits, shared_.environment.level, alone);
  } catch (const std::exception& error) {
    seen.broken = error.what();
  }
  if (!seen.broken.empty()) slot.reset();
  shared_.crowd.leave(alone);
  return seen;
}

Judgement Worker::execute(const Job& job, Run& run,
                          const std::function<Judgement(const Observation&)>& judge) {
  const Limits& limits = run.program.limits;
  Verdict& verdict = run.verdict;
  verdict.attempts.clear();
  bool alone = false, retried = false;
  for (;;) {
    const Observation seen = execute_once(job, limits, alone);
    Judgement judgement = judge(seen);
    verdict.attempts.push_back({judgement.outcome, judgement.reason, seen.wall_seconds * 1e3,
                                seen.cpu_seconds * 1e3, alone});
    if (judgement.outcome == Outcome::sandbox_error && !retried) {
      retried = true;
      continue;
    }
    // A program that waited for a processor is not slow: it gets the machine for itself, once.
    if (judgement.outcome == Outcome::timeout && judgement.reason == "wall_limit" && !alone &&
        seen.starved_seconds > 0.1 * seen.wall_seconds) {
      alone = true;
      continue;
    }
    verdict.outcome = judgement.outcome;
    verdict.reason = judgement.reason;
    verdict.detail = excerpt(judgement.detail);
    verdict.wall_ms += seen.wall_seconds * 1e3;
    verdict.cpu_ms += seen.cpu_seconds * 1e3;
    verdict.peak_kib = std::max(verdict.peak_kib, seen.peak_kib);
    verdict.stdout_text = excerpt(seen.output);
    verdict.stderr_text = excerpt(seen.errors);
    verdict.stdout_bytes = static_cast<int64_t>(seen.output.size());
    verdict.stderr_bytes = static_cast<int64_t>(seen.errors.size());
    const auto ends = [](const Exit& exit, int& status, int& signal) {
      if (!exit.known) return;
      if (WIFEXITED(exit.status)) status = WEXITSTATUS(exit.status);
      if (WIFSIGNALED(exit.status)) signal = WTERMSIG(exit.status);
    };
    ends(seen.candidate, verdict.candidate_exit, verdict.candidate_signal);
    ends(seen.checker, verdict.checker_exit, verdict.checker_signal);
    verdict.oom_killed = seen.oom_killed;
    return judgement;
  }
}

void Worker::judge_call(const CallTests& tests, Run& run) {
  std::string names;
  for (const std::string& name : tests.solution_names) names += name + "\n";
  const std::string frame = std::to_string(run.program.limits.frame_bytes);
  Job job;
  job.candidate_fields = pack_fields({"call", tests.solution, frame, ""});
  job.checker_fields = pack_fields(
      {"call", frame, tests.context, tests.tests, tests.entry_point, names, tests.reference});
  run.verdict.program_sha256 = sha256_hex(tests.solution);
  run.tests.update_field(tests.context)
      .update_field(tests.tests)
      .update_field(tests.entry_point)
      .update_field(names)
      .update_field(tests.reference);
  execute(job, run,
          [&](const Observation& seen) { return judge_checked(seen, run.program.limits); });
}

void Worker::judge_stdio(const StdioTests& tests, Run& run) {
  Job job;
  job.candidate_fields = pack_fields({"stdio", tests.solution, "0", ""});
  run.verdict.program_sha256 = sha256_hex(tests.solution);
  for (size_t index = 0;; ++index) {
    const std::optional<Case> next = tests.source(index);
    if (!next) return;
    run.tests.update_field(next->input).update_field(next->expected);
    job.input = next->input;
    ++run.verdict.cases_run;
    const Judgement judgement = execute(job, run, [&](const Observation& seen) {
      Judgement own = judge_script(seen, run.program.limits, tests.any_exit_status);
      if (own.outcome != Outcome::pass) return own;
      const bool same = tests.matches ? tests.matches(seen.output, next->expected)
                                      : seen.output == next->expected;
      return same ? own : Judgement{Outcome::fail, "wrong_answer", ""};
    });
    if (judgement.outcome != Outcome::pass) return;
  }
}

void Worker::judge_function(const FunctionTests& tests, Run& run) {
  const std::string frame = std::to_string(run.program.limits.frame_bytes);
  std::string name = tests.function;
  if (const size_t dot = name.rfind('.'); dot != std::string::npos) name = name.substr(dot + 1);
  Job job;
  job.candidate_fields = pack_fields({"function", tests.solution, frame, name});
  run.verdict.program_sha256 = sha256_hex(tests.solution);
  for (size_t index = 0;; ++index) {
    const std::optional<Case> next = tests.source(index);
    if (!next) return;
    run.tests.update_field(next->input).update_field(next->expected);
    ++run.verdict.cases_run;
    job.checker_fields = pack_fields({"function", frame, next->input, next->expected, name});
    const Judgement judgement = execute(
        job, run, [&](const Observation& seen) { return judge_checked(seen, run.program.limits); });
    if (judgement.outcome != Outcome::pass) return;
  }
}

void Worker::judge_expression(const ExpressionTest& test, Run& run) {
  const std::string frame = std::to_string(run.program.limits.frame_bytes);
  Job job;
  job.candidate_fields = pack_fields({"expression", test.code, frame, ""});
  job.checker_fields = pack_fields({"expression", frame, test.expected, test.answer});
  run.verdict.program_sha256 =
      Sha256().update_field(test.code).update_field(test.answer).finish_hex();
  run.tests.update_field(test.expected);
  execute(job, run,
          [&](const Observation& seen) { return judge_checked(seen, run.program.limits); });
}

Verdict Worker::judge(const Program& program) {
  for (int i = 1; i < program.repeat; ++i) judge_once(program);
  return judge_once(program);
}

Verdict Worker::judge_once(const Program& program) {
  Run run{program, {}, {}};
  run.verdict.level = shared_.environment.level;
  run.verdict.limits = program.limits;
  struct {
    Worker& worker;
    Run& run;
    void operator()(const CallTests& t) { worker.judge_call(t, run); }
    void operator()(const StdioTests& t) { worker.judge_stdio(t, run); }
    void operator()(const FunctionTests& t) { worker.judge_function(t, run); }
    void operator()(const ExpressionTest& t) { worker.judge_expression(t, run); }
  } visitor{*this, run};
  try {
    std::visit(visitor, program.tests);
    if (run.verdict.attempts.empty()) run.verdict.reason = "the program has no test cases";
  } catch (const std::exception& error) {  // a case source or a comparison
    run.verdict.outcome = Outcome::sandbox_error;
    run.verdict.reason = error.what();
  }
  run.verdict.python_version = shared_.plain.candidates.python_version();
  run.verdict.tests_sha256 = run.tests.finish_hex();
  return std::move(run.verdict);
}

}  // namespace assay::sandbox
