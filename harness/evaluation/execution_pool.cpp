#include "harness/evaluation/execution_pool.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "base/workers.h"
#include "sandbox/sandbox.h"

namespace assay::harness {

namespace {

sandbox::Options sandbox_options(const std::string& level, int workers) {
  sandbox::Options options;
  options.workers = workers;
  if (level != "auto") {
    const auto minimum = sandbox::parse_level(level);
    if (!minimum) throw_usage("--sandbox knows no level \"" + level + "\"", "A, B, C or auto");
    options.minimum_level = *minimum;
  }
  return options;
}

sandbox::CaseSource case_source(const std::vector<tasks::ProgramCase>& in) {
  std::vector<sandbox::Case> out;
  out.reserve(in.size());
  for (const auto& one : in) out.push_back({one.input, one.expected});
  return sandbox::cases(std::move(out));
}

sandbox::Program translate(tasks::ProgramRequest request) {
  sandbox::Program program;
  program.limits.cpu_seconds = request.seconds;
  switch (request.kind) {
    case tasks::ProgramKind::asserts: {
      sandbox::CallTests tests;
      tests.solution = std::move(request.program);
      tests.context = std::move(request.checker_prelude);
      // With an entry point the checker calls check(candidate) after the tests have defined it.
      tests.tests = std::move(request.tests);
      tests.entry_point = std::move(request.entry_point);
      tests.reference = std::move(request.reference);
      program.tests = std::move(tests);
      break;
    }
    case tasks::ProgramKind::stdio:
      program.tests = sandbox::StdioTests{std::move(request.program), case_source(request.cases),
                                          tasks::stdout_matches, true};
      break;
    case tasks::ProgramKind::call:
      program.tests = sandbox::FunctionTests{std::move(request.program),
                                             "Solution()." + request.entry_point,
                                             case_source(request.cases)};
      break;
    case tasks::ProgramKind::expression:
      program.tests = sandbox::ExpressionTest{std::move(request.program), request.cases.at(0).input,
                                              request.cases.at(0).expected};
      break;
  }
  return program;
}

tasks::Verdict verdict_of(const sandbox::Verdict& verdict) {
  switch (verdict.outcome) {
    case sandbox::Outcome::pass: return tasks::Verdict::pass;
    case sandbox::Outcome::timeout: return tasks::Verdict::timeout;
    case sandbox::Outcome::memory: return tasks::Verdict::oom;
    case sandbox::Outcome::sandbox_error: return tasks::Verdict::sandbox_error;
    case sandbox::Outcome::fail: break;
  }
  if (verdict.reason == "syntax") return tasks::Verdict::syntax_error;
  return verdict.reason == "wrong_answer" ? tasks::Verdict::fail_assert
                                          : tasks::Verdict::fail_exception;
}

FinishedProgram finished(const ProgramKey& key, const sandbox::Verdict& verdict) {
  FinishedProgram out;
  out.key = key;
  out.execution.verdict = verdict_of(verdict);
  out.execution.reason = verdict.reason;
  out.record.position = key.item;
  out.record.sample = key.sample;
  out.record.execution = key.execution;
  out.record.verdict = tasks::verdict_name(out.execution.verdict);
  out.record.reason = verdict.reason;
  out.record.level = sandbox::level_name(verdict.level);
  out.record.volatile_wall_ms = verdict.wall_ms;
  out.record.volatile_cpu_ms = verdict.cpu_ms;
  out.record.volatile_memory_bytes = verdict.peak_kib * 1024;
  out.record.volatile_record = verdict.json();
  return out;
}

}  // namespace

struct ExecutionPool::State {
  std::string level;
  int beside_engine = 0;  // programs at the same time while the engine works; 0: all workers
  std::mutex mutex;
  std::condition_variable arrived;
  std::vector<FinishedProgram> finished;
  size_t under_way = 0;
  // Last: its destructor waits for workers that still use the members above.
  std::unique_ptr<sandbox::Sandbox> sandbox;

  void add(FinishedProgram program) {
    const std::lock_guard lock(mutex);
    finished.push_back(std::move(program));
    --under_way;
    arrived.notify_one();
  }
};

ExecutionPool::ExecutionPool(const std::string& level, int workers, int engine_threads)
    : state_(std::make_unique<State>()) {
  if (workers == 0) {
    const int processors = available_processors();
    state_->beside_engine =
        std::max(1, processors - (engine_threads > 0 ? engine_threads : processors));
  }
  state_->sandbox = std::make_unique<sandbox::Sandbox>(sandbox_options(level, workers));
  state_->level = sandbox::level_name(state_->sandbox->probe().level);
}
ExecutionPool::~ExecutionPool() = default;

const std::string& ExecutionPool::level() const { return state_->level; }

size_t ExecutionPool::under_way() const {
  const std::lock_guard lock(state_->mutex);
  return state_->under_way + state_->finished.size();
}

void ExecutionPool::submit(const ProgramKey& key, tasks::ProgramRequest request) {
  {
    const std::lock_guard lock(state_->mutex);
    ++state_->under_way;
  }
  if (request.refused) {  // judged without running
    FinishedProgram out;
    out.key = key;
    out.execution = {tasks::Verdict::fail_assert, request.refused_reason};
    out.record.position = key.item;
    out.record.sample = key.sample;
    out.record.execution = key.execution;
    out.record.verdict = tasks::verdict_name(out.execution.verdict);
    out.record.reason = request.refused_reason;
    return state_->add(std::move(out));
  }
  State* state = state_.get();
  state->sandbox->throttle(state->beside_engine);
  state->sandbox->submit(translate(std::move(request)), [state, key](sandbox::Verdict verdict) {
    state->add(finished(key, verdict));
  });
}

std::vector<FinishedProgram> ExecutionPool::take(bool wait) {
  if (wait) state_->sandbox->throttle(0);
  std::unique_lock lock(state_->mutex);
  if (wait) {
    state_->arrived.wait(lock,
                         [&] { return !state_->finished.empty() || state_->under_way == 0; });
  }
  std::vector<FinishedProgram> out = std::exchange(state_->finished, {});
  lock.unlock();
  // The sandbox has tried twice already: this says nothing about the program, so the run stops.
  for (const FinishedProgram& program : out) {
    if (program.execution.verdict == tasks::Verdict::sandbox_error) {
      throw_resource("a program could not be executed: " + program.execution.reason, "sandbox",
                     "assay doctor shows what this machine offers; the same command continues");
    }
  }
  return out;
}

}  // namespace assay::harness
