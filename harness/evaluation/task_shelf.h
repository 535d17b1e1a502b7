// The tasks of a selection, opened once and lent to every checkpoint of a run.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "harness/evaluation/evaluation.h"
#include "tasks/task.h"

namespace assay::harness {

// Opening a task reads and digests its files; checkpoints that see the same context budget share it.
class TaskShelf {
 public:
  // The tasks, suites and texts that the options name, in every variant they name, each once. The
  // options must outlive the shelf. Of a text all of it, and each of its domains (up to 64), so that
  // loss and expert load stand beside each other; requests they share are computed once.
  explicit TaskShelf(const EvaluationOptions& options);

  int64_t limit() const { return limit_; }  // documents a task, 0 for all
  // What a user should know of the selection, one line each: that a suite has the name of a task.
  const std::vector<std::string>& notes() const { return notes_; }

  // Takes tasks whose files are not there off the shelf and says which. Where the options do not
  // allow that, or nothing is left: one error that names all of them.
  std::vector<SkippedTask> leave_out_missing();

  // In the order of the choices, each with a context budget of at most `context_length` tokens (0:
  // as the task says). They live as long as the shelf. Throws for wrong selections, broken data,
  // tasks without documents and, with --strict, for the data's warnings.
  std::vector<const tasks::Task*> open(int64_t context_length);

 private:
  const tasks::Task& at(size_t choice, int64_t cut_to);
  // Of the choice's task: other variants whose scored split is there; "" if none.
  std::string variants_with_data(const tasks::TaskChoice& choice) const;

  void add_text(const std::string& path);

  const EvaluationOptions& options_;
  tasks::Catalog catalog_;
  std::vector<tasks::TaskChoice> choices_;
  int64_t limit_ = 0;
  std::vector<std::string> notes_;
  std::map<std::string, std::shared_ptr<const datasets::Split>> corpora_;  // by path
  // By choice and the budget the checkpoint forces on it (0: none).
  std::map<std::pair<size_t, int64_t>, tasks::Task> open_;
};

// "left out: mmlu@ds: ...".
std::string note_of(const SkippedTask& task);

}  // namespace assay::harness
