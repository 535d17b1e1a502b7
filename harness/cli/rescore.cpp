// assay rescore: judges a stored run again, without a model.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "harness/cli/data_root.h"
#include "harness/cli/stored_runs.h"
#include "harness/cli/verbs.h"
#include "harness/evaluation/rescore.h"
#include "harness/terminal/progress.h"
#include "results/scores.h"

namespace assay::harness {

namespace {

struct Options {
  StoreFlags store;
  std::string run, data;
  RescoreOptions rescore;
  bool quiet = false;
};

std::string value_text(const std::optional<double>& value, const std::string& metric,
                       const results::EvaluationSummary& evaluation) {
  if (!value) return "-";
  // Companions have units of their own; only what is a share is shown in percent.
  const bool share = *value >= 0 && *value <= 1 && metric != "margin" && metric != "gold_bpb";
  return results::score_text(*value, share ? evaluation.description.unit : "raw");
}

results::Table table_of(const Rescored& rescored) {
  results::Table table;
  table.columns = {{"Task", results::Align::left}, {"Metric", results::Align::left}, {"Before"},
                   {"Now"}, {"Changed"}, {"Documents"}};
  for (const RescoredTask& task : rescored.tasks) {
    bool first = true;
    for (const RescoredMetric& metric : task.metrics) {
      results::TableRow row;
      const std::string name = results::evaluation_name(task.after);
      row.cells = {{first ? name : ""},
                   {metric.metric},
                   {value_text(metric.before, metric.metric, task.before)},
                   {value_text(metric.after, metric.metric, task.after)},
                   {std::to_string(metric.changed)},
                   {std::to_string(task.documents)}};
      if (metric.changed == 0) row.cells[4].tone = results::Tone::dim;
      table.rows.push_back(std::move(row));
      first = false;
    }
    if (task.definition_changed) {
      table.notes.push_back(results::evaluation_name(task.after) +
                            ": the task file is not the one of the run");
    }
  }
  for (const std::string& line : rescored.left_out) table.notes.push_back("left out: " + line);
  return table;
}

std::string json_of(const Rescored& rescored) {
  json::Writer out;
  out.begin_object().member("from", static_cast<int64_t>(rescored.from.id));
  out.member("run",
             rescored.run ? std::optional(static_cast<int64_t>(rescored.run->id)) : std::nullopt);
  out.key("tasks").begin_array();
  for (const RescoredTask& task : rescored.tasks) {
    out.begin_object()
        .member("task", task.after.identity.task)
        .member("variant", task.after.identity.variant)
        .member("documents", task.documents)
        .member("definition_changed", task.definition_changed)
        .key("metrics")
        .begin_object();
    for (const RescoredMetric& metric : task.metrics) {
      out.key(metric.metric).begin_object();
      if (metric.before) out.member("before", *metric.before);
      if (metric.after) out.member("after", *metric.after);
      out.member("changed", metric.changed).end_object();
    }
    out.end_object().end_object();
  }
  out.end_array().key("left_out").begin_array();
  for (const std::string& line : rescored.left_out) out.value(line);
  return out.end_array().end_object().take();
}

void run(Options& options) {
  if (!std::filesystem::exists(options.store.store)) {
    throw_bad_input("there is no such store", options.store.store, "--store names it");
  }
  results::Store store =
      results::Store::open(options.store.store, results::Store::Access::write);
  options.rescore.data = data_root(options.data);
  ProgressDisplay display(ProgressDisplay::choose(options.quiet));
  const Rescored rescored = rescore(store, options.run, options.rescore, display);
  if (options.store.json) {
    std::cout << json_of(rescored) << '\n';
    return;
  }
  options.store.print(table_of(rescored));
  if (options.store.format != "terminal") return;
  const std::string before = "#" + std::to_string(static_cast<int64_t>(rescored.from.id));
  if (rescored.run) {
    const std::string after = "#" + std::to_string(static_cast<int64_t>(rescored.run->id));
    std::cout << "\nThe new scores are run " << after << ", "
              << utf8::printable(rescored.run->identity.label) << "; " << before
              << " keeps its own. Which documents changed:\n  assay compare '" << before << "' '"
              << after << "' --flips --force\n";
  } else {
    std::cout << "\nNothing changed: every stored score of " << before
              << " comes out of its outputs again. No new run is kept.\n";
  }
}

}  // namespace

void add_rescore(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand(
      "rescore", "Judge a run again from its stored outputs, without a model");
  verb->add_option("RUN", options->run, "Run number, label or digest")->required();
  add_store_flags(*verb, options->store, true);
  verb->add_option("--data", options->data, kDataHelp)->type_name("DIR");
  verb->add_option("--tasks", options->rescore.tasks, "Only these tasks of the run")
      ->delimiter(',')
      ->type_name("LIST");
  verb->add_option("--tasks-dir", options->rescore.task_directories,
                   "Folder with task files of your own")
      ->type_name("DIR");
  verb->add_option("--name", options->rescore.label,
                   "Label of the new run; default: \"LABEL (rescored)\"")
      ->type_name("LABEL");
  verb->add_flag("--keep-verdicts", options->rescore.keep_verdicts,
                 "Do not run programs again; their stored verdicts stand");
  verb->add_option("--sandbox", options->rescore.sandbox,
                   "Least isolation for model-written code: A, B, C or auto")
      ->capture_default_str();
  verb->add_option("--sandbox-workers", options->rescore.sandbox_workers,
                   "Programs judged at once; 0: as many as processors");
  verb->add_flag("--json", options->store.json, "Print one JSON object");
  verb->add_flag("--quiet", options->quiet, "No progress");
  set_examples(*verb, {"assay rescore base-step-001201 --data ~/benchmarks",
                       "assay rescore 3 --tasks math,gsm8k --tasks-dir my-tasks"});
  verb->callback([options] { run(*options); });
}

}  // namespace assay::harness
