// The tasks of a selection, opened once and lent to every checkpoint of a run.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "harness/evaluation/evaluation.h"
#include "tasks/task.h"

namespace assay::harness {

// The tasks and variants that the options name, each once.
std::vector<tasks::TaskChoice> chosen_tasks(const tasks::Catalog& catalog,
                                            const EvaluationOptions& options);

// Opening a task reads and digests its files; checkpoints that see the same context budget share it.
class TaskShelf {
 public:
  // The references must outlive the shelf. `limit`: documents a task, 0 for all.
  TaskShelf(const tasks::Catalog& catalog, const std::vector<tasks::TaskChoice>& choices,
            const EvaluationOptions& options, int64_t limit)
      : catalog_(catalog), choices_(choices), options_(options), limit_(limit) {}

  // In the order of the choices, each with a context budget of at most `context_length` tokens (0:
  // as the task says). They live as long as the shelf. Throws for wrong selections, broken data,
  // tasks without documents and, with --strict, for the data's warnings.
  std::vector<const tasks::Task*> open(int64_t context_length);

 private:
  const tasks::Task& at(size_t choice, int64_t cut_to);

  const tasks::Catalog& catalog_;
  const std::vector<tasks::TaskChoice>& choices_;
  const EvaluationOptions& options_;
  const int64_t limit_;
  // By choice and the budget the checkpoint forces on it (0: none).
  std::map<std::pair<size_t, int64_t>, tasks::Task> open_;
};

}  // namespace assay::harness
