// Programs that models wrote, judged by the sandbox while the engine goes on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "results/records.h"
#include "tasks/program.h"

namespace assay::harness {

// Where the result belongs.
struct ProgramKey {
  int32_t task = 0, item = 0, sample = 0, execution = 0;
};

struct FinishedProgram {
  ProgramKey key;
  tasks::Execution execution;
  results::ExecutionRecord record;
};

// Used by one thread; the work is done by others.
class ExecutionPool {
 public:
  // Opens the sandbox at `level` ("auto", "A", "B", "C"); throws resource where the machine offers
  // less, naming what is missing. `workers` 0: as many as there are processors, of which only
  // those that an engine of `engine_threads` (0: all) leaves are used while it works, at least one.
  ExecutionPool(const std::string& level, int workers, int engine_threads);
  ~ExecutionPool();

  void submit(const ProgramKey& key, tasks::ProgramRequest request);
  // Finished since the last call; with `wait`, blocks until there is one or nothing is under way,
  // and takes it that the engine is idle until something is submitted.
  std::vector<FinishedProgram> take(bool wait);
  size_t under_way() const;

  const std::string& level() const;  // the level that holds

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace assay::harness
