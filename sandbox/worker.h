// Judges programs one after the other on a slot of its own, with retries.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>

#include "sandbox/control_group.h"
#include "sandbox/execution.h"
#include "sandbox/sandbox.h"
#include "sandbox/server.h"
#include "sandbox/verdict.h"

namespace assay::sandbox {

// Lets programs run side by side, or one alone; who wants to be alone goes before newcomers.
class Crowd {
 public:
  void enter(bool alone);
  void leave(bool alone);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int inside_ = 0, waiting_alone_ = 0;
  bool alone_inside_ = false;
};

// The two sides' servers for one kind of program; they start when a program first needs them.
struct Servers {
  Servers(const Environment& environment, bool numpy)
      : candidates(environment, Role::candidate, numpy),
        checkers(environment, Role::checker, numpy) {}
  Server candidates, checkers;
};

// What the workers of a sandbox share.
struct Shared {
  Environment environment;
  std::unique_ptr<ControlGroups> groups;  // level a only
  Servers plain{environment, false}, numpy{environment, true};
  Crowd crowd;
};

class Worker {
 public:
  Worker(Shared& shared, int number) : shared_(shared), number_(number) {}

  Verdict judge(const Program& program);

 private:
  struct Run;
  Verdict judge_once(const Program& program);
  Observation execute_once(const Job& job, const Limits& limits, bool alone);
  // One execution with its retries. `judge` turns an observation into a judgement.
  Judgement execute(const Job& job, Run& run,
                    const std::function<Judgement(const Observation&)>& judge);
  std::unique_ptr<Slot> make_slot(Servers& servers);
  void judge_call(const CallTests& tests, Run& run);
  void judge_stdio(const StdioTests& tests, Run& run);
  void judge_function(const FunctionTests& tests, Run& run);
  void judge_expression(const ExpressionTest& test, Run& run);

  Shared& shared_;
  const int number_;
  int slots_made_ = 0;
  std::unique_ptr<Slot> plain_slot_, numpy_slot_;
};

}  // namespace assay::sandbox
