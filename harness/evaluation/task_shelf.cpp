#include "harness/evaluation/task_shelf.h"

#include <algorithm>

#include "base/error.h"

namespace assay::harness {

std::vector<tasks::TaskChoice> chosen_tasks(const tasks::Catalog& catalog,
                                            const EvaluationOptions& options) {
  std::vector<tasks::TaskChoice> choices;
  const std::vector<std::string> variants =
      options.variants.empty() ? std::vector<std::string>{""} : options.variants;
  for (const std::string& variant : variants) {
    for (const tasks::TaskChoice& choice : catalog.expand(options.tasks, variant)) {
      if (std::find(choices.begin(), choices.end(), choice) == choices.end()) {
        choices.push_back(choice);
      }
    }
  }
  return choices;
}

const tasks::Task& TaskShelf::at(size_t choice, int64_t cut_to) {
  const auto found = open_.find({choice, cut_to});
  if (found != open_.end()) return found->second;
  const tasks::TaskChoice& chosen = choices_[choice];
  tasks::Selection selection;
  selection.task = chosen.task;
  selection.variant = chosen.variant;
  selection.group = chosen.group;
  selection.data_root = options_.data;
  if (chosen.shots >= 0) selection.shots = chosen.shots;
  if (options_.shots) selection.shots = options_.shots;
  selection.limit = limit_;
  selection.limit_first = options_.limit_first;
  selection.seed = options_.seed;
  selection.max_len = options_.max_length;
  if (cut_to > 0) selection.max_len = cut_to;
  tasks::Task task = tasks::Task::open(catalog_, selection);
  if (options_.strict && !task.warnings().empty()) {
    throw_bad_input(task.warnings().front(), task.name() + " data",
                    "without --strict this is a warning");
  }
  if (task.size() == 0) throw_bad_input("has no documents to score", task.name());
  return open_.emplace(std::pair{choice, cut_to}, std::move(task)).first->second;
}

std::vector<const tasks::Task*> TaskShelf::open(int64_t context_length) {
  std::vector<const tasks::Task*> out;
  for (size_t choice = 0; choice < choices_.size(); ++choice) {
    const tasks::Task* task = &at(choice, 0);
    if (context_length > 0 && (task->max_len() == 0 || task->max_len() > context_length)) {
      task = &at(choice, context_length);
    }
    out.push_back(task);
  }
  return out;
}

}  // namespace assay::harness
