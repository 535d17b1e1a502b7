#include "harness/evaluation/rescore.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "harness/evaluation/collector.h"
#include "harness/evaluation/task_record.h"
#include "harness/evaluation/task_run.h"
#include "harness/terminal/progress.h"
#include "results/manage.h"

namespace assay::harness {

namespace {

// One evaluation of the run with its task opened as the run had it.
struct Again {
  results::EvaluationSummary before;
  tasks::Task task;
  IdentityOptions identity;
};

tasks::Selection selection_of(const results::EvaluationSummary& evaluation, uint64_t seed,
                              const std::filesystem::path& data) {
  const json::Document settings =
      json::Document::parse(evaluation.identity.settings, "settings of " + evaluation.identity.task);
  tasks::Selection selection;
  selection.task = evaluation.identity.task;
  selection.variant = evaluation.identity.variant;
  selection.group = settings.root().string_or("group", "");
  selection.data_root = data;
  selection.shots = evaluation.identity.shots;
  selection.max_len = evaluation.identity.max_length;
  selection.limit = evaluation.identity.limit;
  selection.limit_first = settings.root().boolean_or("limit_first", false);
  selection.seed = seed;
  return selection;
}

IdentityOptions identity_of(const results::EvaluationSummary& evaluation) {
  const json::Document settings =
      json::Document::parse(evaluation.identity.settings, "settings of " + evaluation.identity.task);
  IdentityOptions options;
  options.boundary = evaluation.identity.boundary_policy;
  options.limit = evaluation.identity.limit;
  options.limit_first = settings.root().boolean_or("limit_first", false);
  options.gold_answers = settings.root().boolean_or("gold_answers", true);
  options.token_healing = settings.root().boolean_or("token_healing", false);
  options.sandbox_level = evaluation.identity.sandbox_level;
  return options;
}

std::string name_of(const results::EvaluationSummary& evaluation) {
  return evaluation.identity.task + "@" + evaluation.identity.variant;
}

// Values of a metric by position; empty where the evaluation lacks it.
std::map<int64_t, double> values_of(const results::Store& store,
                                    const results::EvaluationSummary& evaluation,
                                    const std::string& metric) {
  std::map<int64_t, double> values;
  for (const results::ItemValue& item : results::item_values(store, evaluation, metric)) {
    if (item.value) values[item.position] = *item.value;
  }
  return values;
}

std::optional<double> headline_of(const results::Store& store,
                                  const results::EvaluationSummary& evaluation,
                                  const std::string& metric) {
  for (const results::AggregateRecord& aggregate : store.aggregates(evaluation.id)) {
    if (aggregate.metric == metric && aggregate.name == evaluation.description.aggregation) {
      return aggregate.value;
    }
  }
  return std::nullopt;
}

void compare_metrics(const results::Store& store, RescoredTask& task) {
  const std::string& primary = task.after.description.primary_metric;
  std::set<std::string> names;
  const std::vector<std::string> before = results::metric_names(store, task.before.id);
  const std::vector<std::string> after = results::metric_names(store, task.after.id);
  names.insert(before.begin(), before.end());
  names.insert(after.begin(), after.end());
  for (const std::string& name : names) {
    RescoredMetric metric;
    metric.metric = name;
    metric.before = headline_of(store, task.before, name);
    metric.after = headline_of(store, task.after, name);
    const bool in_both = std::count(before.begin(), before.end(), name) > 0 &&
                         std::count(after.begin(), after.end(), name) > 0;
    if (in_both) {
      const std::map<int64_t, double> old_values = values_of(store, task.before, name);
      const std::map<int64_t, double> new_values = values_of(store, task.after, name);
      std::set<int64_t> positions;
      for (const auto& [position, value] : old_values) positions.insert(position);
      for (const auto& [position, value] : new_values) positions.insert(position);
      for (const int64_t position : positions) {
        const auto a = old_values.find(position), b = new_values.find(position);
        const bool same = a != old_values.end() && b != new_values.end() && a->second == b->second;
        metric.changed += same ? 0 : 1;
      }
    } else {
      metric.changed = task.documents;
    }
    if (name == primary) {
      task.metrics.insert(task.metrics.begin(), std::move(metric));
    } else if (metric.changed > 0 || metric.before != metric.after) {
      task.metrics.push_back(std::move(metric));
    }
  }
}

std::vector<Again> open_tasks(const results::Store& store, const results::RunSummary& run,
                              const tasks::Catalog& catalog, const RescoreOptions& options,
                              std::vector<std::string>& left_out) {
  std::vector<Again> opened;
  std::set<std::string> known;
  for (const results::EvaluationSummary& evaluation : results::list_evaluations(store, run.id)) {
    known.insert(evaluation.identity.task);
    if (!options.tasks.empty() && std::find(options.tasks.begin(), options.tasks.end(),
                                            evaluation.identity.task) == options.tasks.end()) {
      continue;
    }
    if (!evaluation.finished) {
      left_out.push_back(name_of(evaluation) + ": not finished; the run's own command continues it");
      continue;
    }
    if (evaluation.description.kind == "rolling") {
      left_out.push_back(name_of(evaluation) + ": bits per byte are not judged, they are the outputs");
      continue;
    }
    try {
      opened.push_back({evaluation,
                        tasks::Task::open(catalog, selection_of(evaluation, run.identity.seed, options.data)),
                        identity_of(evaluation)});
    } catch (const datasets::MissingData& error) {
      left_out.push_back(name_of(evaluation) + ": " + error.what());
    }
  }
  for (const std::string& task : options.tasks) {
    if (!known.contains(task)) {
      std::string all;
      for (const std::string& name : known) all += (all.empty() ? "" : ", ") + name;
      throw_usage("run " + run.identity.label + " has no task '" + task + "'", "it has " + all);
    }
  }
  if (opened.empty()) {
    throw_bad_input("no evaluation can be judged again", run.identity.label,
                    left_out.empty() ? "the run has none" : left_out.front());
  }
  return opened;
}

}  // namespace

bool RescoredTask::changed() const {
  return definition_changed ||
         std::any_of(metrics.begin(), metrics.end(), [](const RescoredMetric& metric) {
           return metric.changed > 0 || metric.before != metric.after;
         });
}

Rescored rescore(results::Store& store, const std::string& name, const RescoreOptions& options,
                 ProgressDisplay& display) {
  Rescored out;
  out.from = results::find_run(store, name);
  tasks::Catalog catalog;
  for (const auto& directory : options.task_directories) catalog.add_directory(directory);
  std::vector<Again> again = open_tasks(store, out.from, catalog, options, out.left_out);

  const bool executes = !options.keep_verdicts && std::any_of(again.begin(), again.end(), [](auto& a) {
    return a.task.executes();
  });
  std::unique_ptr<ExecutionPool> pool;
  if (executes) pool = std::make_unique<ExecutionPool>(options.sandbox, options.sandbox_workers, 1);

  // Outputs come from the first run's identity; the new one names it.
  results::RunIdentity identity = out.from.identity;
  identity.label =
      options.label.empty() ? out.from.identity.label + " (rescored)" : options.label;
  json::Writer settings;
  settings.begin_object()
      .member("rescored", out.from.digest)
      .member("scorer_version", tasks::Task::scorer_version())
      .end_object();
  identity.settings = settings.take();
  const results::RunId run =
      store.begin_run(store.put_model(out.from.model), identity, {"assay rescore " + name, "{}"});

  display.begin_model(out.from.identity.label, 1, 1);
  std::vector<TaskRun> runs;
  for (Again& a : again) {
    if (a.task.executes() && pool) a.identity.sandbox_level = pool->level();
    TaskRun& task = runs.emplace_back(a.task);
    task.evaluation =
        store.begin_evaluation(run, evaluation_identity(a.task, a.identity), describe(a.task));
    task.finished_before = store.is_finished(task.evaluation);
    TaskProgress line;
    line.name = name_of(a.before);
    line.total = static_cast<int64_t>(a.task.size());
    line.unit = a.task.aggregation().percent ? "%" : "";
    display.tasks().push_back(line);
    if (task.finished_before) continue;
    store.copy_outputs(a.before.id, task.evaluation, options.keep_verdicts);
    store.commit();
    restore_outputs(task, store.item_states(task.evaluation), options.keep_verdicts);
    // What was dropped from the prompts needs the tokenizer to know: it is taken over.
    const std::vector<std::string> metrics = results::metric_names(store, a.before.id);
    if (std::count(metrics.begin(), metrics.end(), "literal_bos") > 0) {
      task.literal_bos = true;
      for (const auto& [position, value] : values_of(store, a.before, "literal_bos")) {
        task.items.at(static_cast<size_t>(position)).literal_bos = value > 0;
      }
    }
    if (std::count(metrics.begin(), metrics.end(), "shots_dropped") > 0) {
      for (const auto& [position, value] : values_of(store, a.before, "shots_dropped")) {
        task.items.at(static_cast<size_t>(position)).shots_dropped = value > 0;
      }
    }
  }
  const Workload none;
  Collector collector(runs, none, store, pool.get(), display);
  for (size_t k = 0; k < runs.size(); ++k) {
    if (!runs[k].finished_before) collector.grade_restored(k);
  }
  collector.finish_programs();
  display.end_model();
  for (const TaskRun& task : runs) {
    if (!task.finished_before) store.finish_evaluation(task.evaluation, aggregate_rules(task.task));
  }
  store.finish_run(run);

  const std::vector<results::EvaluationSummary> after = results::list_evaluations(store, run);
  for (size_t k = 0; k < again.size(); ++k) {
    const auto found = std::find_if(after.begin(), after.end(), [&](const auto& evaluation) {
      return evaluation.id == runs[k].evaluation;
    });
    RescoredTask task;
    task.before = again[k].before;
    task.after = *found;
    task.documents = task.after.description.documents;
    task.definition_changed = task.before.identity.task_digest != task.after.identity.task_digest;
    compare_metrics(store, task);
    out.tasks.push_back(std::move(task));
  }
  const bool changed = std::any_of(out.tasks.begin(), out.tasks.end(),
                                   [](const RescoredTask& task) { return task.changed(); });
  if (changed) {
    out.run = results::find_run(store, "#" + std::to_string(static_cast<int64_t>(run)));
  } else {
    results::remove_run(store, run);
  }
  return out;
}

}  // namespace assay::harness
