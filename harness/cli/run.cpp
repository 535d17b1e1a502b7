// assay run: evaluates checkpoints on benchmarks.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "base/error.h"
#include "base/json.h"
#include "harness/cli/evaluation_flags.h"
#include "harness/cli/verbs.h"
#include "harness/evaluation/dry_run.h"
#include "harness/evaluation/evaluation.h"
#include "harness/terminal/dry_run_report.h"
#include "harness/terminal/progress.h"
#include "harness/terminal/summary.h"

namespace assay::harness {

namespace {

struct Options {
  std::vector<std::string> models, directories;
  EvaluationFlags flags;
  bool json = false, quiet = false, dry_run = false;
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
    out.end_array().key("largest").begin_array();
    for (const LargestOf& best : run.largest) {
      out.begin_object().member("task", best.task).member("name", best.name);
      out.member("variant", best.variant).member("value", best.value).end_object();
    }
    out.end_array().key("left_out").begin_array();
    for (const SkippedTask& task : run.skipped) {
      out.begin_object()
          .member("task", task.task)
          .member("variant", task.variant)
          .member("reason", task.reason)
          .end_object();
    }
    out.end_array().end_object();
  }
  return out.end_array().end_object().take();
}

void run(const Options& options) {
  const EvaluationOptions evaluation = options.flags.options();
  if (options.models.size() > 1 && (evaluation.training_step || evaluation.training_tokens)) {
    throw_usage("--step and --tokens are for one checkpoint", "run the checkpoints one by one");
  }
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
    std::cout << to_json(summaries, evaluation.store.string()) << '\n';
  } else {
    print_summary(summaries, evaluation.store.string());
  }
}

}  // namespace

void add_run(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("run", "Evaluate checkpoints on benchmarks");
  verb->add_option("DIR", options->directories,
                   "Checkpoint directory (Hugging Face layout), or several")
      ->type_name("");
  verb->add_option("--model", options->models, "The same; repeat for several")
      ->type_name("DIR")
      ->allow_extra_args(false);
  add_evaluation_flags(*verb, options->flags);
  verb->add_option("--name", options->flags.evaluation.label,
                   "Label of the run; default: the folder's name")
      ->type_name("LABEL");
  verb->add_option("--step", options->flags.evaluation.training_step,
                   "Training step of the checkpoint, where it does not say it")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--tokens", options->flags.evaluation.training_tokens,
                   "Training tokens it has seen, likewise")
      ->check(CLI::NonNegativeNumber);
  verb->add_flag("--dry-run", options->dry_run,
                 "Compute nothing: print tokens, passes, memory and time that\n"
                 "the run would take (needs no weights)");
  verb->add_flag("--json", options->json, "End with one JSON object on standard output");
  verb->add_flag("--quiet", options->quiet, "No progress");
  set_examples(*verb, {"assay run DIR --tasks mmlu,hellaswag --data ~/benchmarks",
                       "assay run DIR --tasks gsm8k --limit 100 --shots 4 --json",
                       "assay run DIR --tasks table3 --dry-run",
                       "assay run A B --tasks smoke --data sample",
                       "assay run DIR --tasks mmlu --device cuda:all --parallel expert",
                       "assay run DIR --text held-out.jsonl --text notes/"});
  verb->callback([options] {
    options->models.insert(options->models.begin(), options->directories.begin(),
                           options->directories.end());
    if (options->models.empty()) {
      throw_usage("which checkpoint?", "assay run DIR --tasks LIST, or --model DIR");
    }
    std::string line = "assay run";
    for (const auto& model : options->models) line += " --model " + model;
    EvaluationOptions& evaluation = options->flags.evaluation;
    if (!evaluation.tasks.empty()) line += " --tasks " + evaluation.tasks;
    for (const auto& text : evaluation.texts) line += " --text " + text;
    evaluation.command_line = line;
    run(*options);
  });
}

}  // namespace assay::harness
