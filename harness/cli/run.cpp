// assay run: evaluates checkpoints on benchmarks.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "base/error.h"
#include "base/json.h"
#include "harness/cli/data_root.h"
#include "harness/cli/engine_options.h"
#include "harness/cli/verbs.h"
#include "harness/evaluation/dry_run.h"
#include "harness/evaluation/evaluation.h"
#include "harness/terminal/dry_run_report.h"
#include "harness/terminal/progress.h"
#include "harness/terminal/summary.h"

namespace assay::harness {

namespace {

struct Options {
  std::vector<std::string> models;
  std::string data, store = "assay.sqlite";
  EngineFlags engine;
  EvaluationOptions evaluation;
  int shots = -1;
  int64_t max_length = 0;
  bool json = false, quiet = false, no_gold = false, dry_run = false;
};

void write_aggregate(json::Writer& out, const results::AggregateRecord& aggregate) {
  out.member("value", aggregate.value).member("n", aggregate.n);
  if (aggregate.standard_error) out.member("standard_error", *aggregate.standard_error);
  if (aggregate.low && aggregate.high) {
    out.key("interval").begin_array().value(*aggregate.low).value(*aggregate.high).end_array();
    out.member("interval_method", aggregate.interval);
  }
}

std::string to_json(const std::vector<RunSummary>& summaries, const std::string& store) {
  json::Writer out;
  out.begin_object().member("store", store).key("runs").begin_array();
  for (const RunSummary& run : summaries) {
    out.begin_object()
        .member("run", static_cast<int64_t>(run.run))
        .member("model", run.model)
        .member("label", run.label)
        .member("profile", run.profile)
        .member("tokens_asked", run.engine.tokens_asked)
        .member("tokens_computed", run.engine.tokens_computed)
        .member("tokens_generated", run.engine.tokens_generated)
        .member("seconds", run.seconds);
    if (run.engine.drafted > 0) {
      out.member("drafted", run.engine.drafted)
          .member("accepted", run.engine.accepted)
          .member("acceptance_rate", run.engine.acceptance_rate())
          .member("accepted_length", run.engine.accepted_length());
    }
    out.key("tasks").begin_array();
    for (const TaskSummary& task : run.tasks) {
      out.begin_object()
          .member("task", task.task)
          .member("variant", task.variant)
          .member("metric", task.metric)
          .member("unit", task.unit);
      if (task.headline) write_aggregate(out, *task.headline);
      out.key("metrics").begin_object();
      for (const auto& aggregate : task.aggregates) {
        if (aggregate.name.starts_with("group:")) continue;
        out.key(aggregate.metric + "/" + aggregate.name).begin_object();
        write_aggregate(out, aggregate);
        out.end_object();
      }
      out.end_object();
      out.member("documents", task.documents)
          .member("errors", task.errors)
          .member("requests", task.requests)
          .member("tokens_asked", task.tokens_asked)
          .member("tokens_computed", task.tokens_computed)
          .member("tokens_generated", task.tokens_generated)
          .member("seconds", task.seconds)
          .member("resumed", task.resumed);
      out.key("warnings").begin_array();
      for (const auto& warning : task.warnings) out.value(warning);
      out.end_array().end_object();
    }
    out.end_array().end_object();
  }
  return out.end_array().end_object().take();
}

void run(Options& options) {
  EvaluationOptions& evaluation = options.evaluation;
  evaluation.data = data_root(options.data);
  evaluation.store = options.store;
  if (options.shots >= 0) evaluation.shots = options.shots;
  if (options.max_length > 0) evaluation.max_length = options.max_length;
  evaluation.gold_answers = !options.no_gold;
  evaluation.engine = options.engine.options("");
  ProgressDisplay display(ProgressDisplay::choose(options.quiet));
  if (options.dry_run) {
    const std::vector<DryRun> plans = plan_evaluations(options.models, evaluation, display);
    if (options.json) {
      std::cout << plan_json(plans) << '\n';
    } else {
      print_plan(plans);
    }
    return;
  }
  const std::vector<RunSummary> summaries = evaluate(options.models, evaluation, display);
  if (options.json) {
    std::cout << to_json(summaries, options.store) << '\n';
  } else {
    print_summary(summaries, options.store);
  }
}

}  // namespace

void add_run(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  EvaluationOptions& evaluation = options->evaluation;
  CLI::App* verb = app.add_subcommand("run", "Evaluate checkpoints on benchmarks");
  verb->add_option("--model", options->models,
                   "Checkpoint directory (Hugging Face layout); repeat for\n"
                   "several")
      ->required()
      ->type_name("DIR")
      ->allow_extra_args(false);
  verb->add_option("--tasks", evaluation.tasks,
                   "Tasks and suites, comma-separated; TASK:SUBJECT for one\n"
                   "subject, TASK@VARIANT for one variant")
      ->required()
      ->type_name("LIST");
  verb->add_option("--variant", evaluation.variants,
                   "ds, lmeval, ...; comma-separated for several (prompts\n"
                   "that variants share are computed once)")
      ->delimiter(',');
  verb->add_option("--data", options->data, kDataHelp)->type_name("DIR");
  verb->add_option("--store", options->store, "SQLite file with all results")
      ->capture_default_str()
      ->type_name("FILE");
  verb->add_option("--limit", evaluation.limit,
                   "Documents a task, a fixed unbiased sample; 0: all")
      ->check(CLI::NonNegativeNumber);
  verb->add_flag("--limit-first", evaluation.limit_first,
                 "With --limit: the first documents in file order");
  verb->add_option("--shots", options->shots, "Exemplars instead of the task's number")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--max-length", options->max_length,
                   "Context budget in tokens instead of the task's")
      ->check(CLI::PositiveNumber);
  add_engine_flags(*verb, options->engine, true);
  verb->add_option("--boundary", evaluation.boundary, "Token boundary policy: joint or split")
      ->capture_default_str();
  verb->add_flag("--token-healing", evaluation.token_healing,
                 "Generation may replace the last token of a prompt by one\n"
                 "that begins with its text (part of the identity)");
  verb->add_option("--sandbox", evaluation.sandbox,
                   "Least isolation for model-written code: A, B, C or auto")
      ->capture_default_str();
  verb->add_option("--sandbox-workers", evaluation.sandbox_workers,
                   "Programs judged at once; 0: as many as the engine leaves\n"
                   "processors, and all when it is done");
  verb->add_option("--seed", evaluation.seed, "Of hash order, sampling and samples");
  verb->add_option("--tasks-dir", evaluation.task_directories, "Folder with task files of your own")
      ->type_name("DIR");
  verb->add_flag("--strict", evaluation.strict, "Data that differ from the official counts are errors");
  verb->add_flag("--no-gold-answers", options->no_gold,
                 "Do not score the reference answers of generative tasks");
  verb->add_option("--name", evaluation.label, "Label of the run; default: the folder's name")
      ->type_name("LABEL");
  verb->add_flag("--dry-run", options->dry_run,
                 "Compute nothing: print tokens, passes, memory and time that\n"
                 "the run would take (needs no weights)");
  verb->add_flag("--json", options->json, "End with one JSON object on standard output");
  verb->add_flag("--quiet", options->quiet, "No progress");
  set_examples(*verb, {"assay run --model DIR --tasks mmlu,hellaswag --data ~/benchmarks",
                       "assay run --model DIR --tasks gsm8k --limit 100 --shots 4 --json",
                       "assay run --model DIR --tasks table3 --dry-run",
                       "assay run --model A --model B --tasks smoke --data sample"});
  verb->callback([options] {
    std::string line = "assay run";
    for (const auto& model : options->models) line += " --model " + model;
    line += " --tasks " + options->evaluation.tasks;
    options->evaluation.command_line = line;
    run(*options);
  });
}

}  // namespace assay::harness
