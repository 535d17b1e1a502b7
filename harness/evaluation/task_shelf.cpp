#include "harness/evaluation/task_shelf.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"
#include "datasets/corpus.h"
#include "tasks/task_file.h"

namespace assay::harness {

namespace {

// The list with the names of the task and suite files that it names by path, which the catalog then
// knows.
std::string with_files_added(const std::string& tasks, tasks::Catalog& catalog) {
  std::string list;
  for (const std::string_view each : assay::tasks::words_of(tasks)) {
    std::string word(each);
    const size_t at = word.ends_with(".json") ? std::string::npos : word.rfind(".json@");
    if (word.ends_with(".json")) {
      word = catalog.add_file(word);
    } else if (at != std::string::npos) {
      word = catalog.add_file(word.substr(0, at + 5)) + word.substr(at + 5);
    }
    list += (list.empty() ? "" : ",") + word;
  }
  return list;
}

}  // namespace

std::string note_of(const SkippedTask& task) {
  return "left out: " + task.task + "@" + task.variant + ": " + task.reason;
}

TaskShelf::TaskShelf(const EvaluationOptions& options) : options_(options) {
  for (const auto& directory : options.task_directories) catalog_.add_directory(directory);
  if (!options.tasks.empty() || options.texts.empty()) {
    const std::string list = with_files_added(options.tasks, catalog_);
    std::vector<std::string> variants = options.variants;
    if (variants.empty()) variants.emplace_back();
    for (const std::string& variant : variants) {
      for (const tasks::TaskChoice& choice : catalog_.expand(list, variant, true)) {
        if (std::find(choices_.begin(), choices_.end(), choice) == choices_.end()) {
          choices_.push_back(choice);
        }
      }
    }
    limit_ = catalog_.suite_limit(list);
    for (const std::string& name : catalog_.names_shared_with_suites(list)) {
      notes_.push_back("note: " + name + " is the task " + catalog_.info(name).title + "; the suite is suite:" + name);
    }
  }
  if (options.limit > 0) limit_ = options.limit;
  for (const std::string& path : options.texts) add_text(path);
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
  if (!chosen.corpus.empty()) {
    selection.corpus = corpora_.at(chosen.corpus);
    selection.corpus_name = datasets::corpus_name(chosen.corpus);
  }
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

void TaskShelf::add_text(const std::string& path) {
  constexpr size_t kMostDomains = 64;
  if (corpora_.contains(path)) return;
  const auto corpus = std::make_shared<const datasets::Split>(datasets::load_corpus(path));
  corpora_[path] = corpus;
  std::set<std::string> domains;
  for (const datasets::Document& document : corpus->documents) domains.insert(document.group);
  tasks::TaskChoice choice = catalog_.expand("text").front();
  choice.corpus = path;
  choices_.push_back(choice);
  if (domains.size() < 2 || domains.size() > kMostDomains) return;
  for (const std::string& domain : domains) {
    choice.group = domain;
    choices_.push_back(choice);
  }
}

std::string TaskShelf::variants_with_data(const tasks::TaskChoice& choice) const {
  std::string names;
  for (const auto& variant : catalog_.info(choice.task).variants) {
    const auto file = catalog_.file(choice.task, variant.name);
    if (variant.name == choice.variant || !file->data->has_split(options_.data, file->split)) continue;
    names += (names.empty() ? "" : ", ") + variant.name;
  }
  return names;
}

std::vector<SkippedTask> TaskShelf::leave_out_missing() {
  std::vector<SkippedTask> skipped;
  std::vector<tasks::TaskChoice> present;
  std::string refused, task_names;
  for (size_t choice = 0; choice < choices_.size(); ++choice) {
    const tasks::TaskChoice& chosen = choices_[choice];
    try {
      at(choice, 0);
      present.push_back(chosen);
    } catch (const datasets::MissingData& error) {
      SkippedTask task{chosen.task, chosen.variant, error.where() + " is missing"};
      if (const std::string others = variants_with_data(chosen); !others.empty()) {
        task.reason += "; variants with data: " + others;
      }
      const bool allowed = !options_.strict && (options_.skip_missing || !chosen.suite.empty());
      if (!allowed) {
        refused += (refused.empty() ? "" : "; ") + task.task + ": " + task.reason;
        // (The variants of a task follow each other.)
        if (!task_names.ends_with(task.task)) task_names += (task_names.empty() ? "" : ",") + task.task;
      }
      skipped.push_back(std::move(task));
    }
  }
  if (!refused.empty()) {
    throw_bad_input("data files are missing: " + refused, {},
                    "assay data fetch " + task_names + " --data " + options_.data.string() +
                        (options_.strict ? "" : ", or --skip-missing to run the rest"));
  }
  if (present.empty()) {
    throw_bad_input("holds the files of none of the " + std::to_string(choices_.size()) + " tasks",
                    options_.data.string(), "first missing: " + skipped.front().reason);
  }
  if (present.size() < choices_.size()) {
    std::map<std::pair<size_t, int64_t>, tasks::Task> kept;
    size_t place = 0;
    for (auto& [key, task] : open_) kept.emplace(std::pair{place++, key.second}, std::move(task));
    open_ = std::move(kept);
    choices_ = std::move(present);
  }
  return skipped;
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
