// Receives what the engine computes: stores it, grades complete documents, starts their programs,
// and commits where the engine says so. All that is done on a thread of its own, in the order of the
// engine's calls, so that the engine does not wait for grading or for the disk.
#pragma once

#include <functional>
#include <vector>

#include "base/background.h"
#include "engine/engine.h"
#include "harness/evaluation/execution_pool.h"
#include "harness/evaluation/task_run.h"
#include "harness/terminal/progress.h"
#include "results/store.h"

namespace assay::harness {

class Collector final : public engine::ScoreSink, public engine::GenerateSink {
 public:
  // `pool` may be null where no task executes programs; `meanwhile` is called now and then between results
  // and may be null. Between a call of the engine and the settle() after it, runs, store, pool and display
  // belong to the collector. All references outlive it.
  Collector(std::vector<TaskRun>& runs, const Workload& work, results::Store& store,
            ExecutionPool* pool, ProgressDisplay& display, std::function<void()> meanwhile = {});

  // Waits until everything that the engine reported is stored. Throws what storing or grading threw.
  void settle() { background_.wait(); }
  // Of one task: grades documents whose outputs were all in the store already (an interruption between
  // output and grade) and starts their programs again.
  void grade_restored(size_t task);
  // Waits for the programs under way, then commits.
  void finish_programs();

  void on_score(engine::ScoreResult&& result) override;
  void on_generate(engine::GenerateResult&& result) override;
  void on_expert_load(const engine::ExpertLoad& load) override;
  void on_progress(const engine::EngineProgress& progress) override;
  void on_commit() override;
  bool cancelled() override;

 private:
  void record(const engine::ScoreResult& result);
  void record(engine::GenerateResult& result);
  void complete(int task, int item);
  void grade(int task, int item);
  void take_programs(bool wait);
  void show(const TaskRun& run, size_t number);

  std::vector<TaskRun>& runs_;
  const Workload& work_;
  results::Store& store_;
  ExecutionPool* pool_;
  ProgressDisplay& display_;
  const std::function<void()> meanwhile_;
  Background background_;  // the last member: it ends before what it works on
};

// Set by SIGINT and SIGTERM: the run stops after the current pass.
void install_interrupt_handler();
bool interrupted();

}  // namespace assay::harness
