// assay watch DIR: scores checkpoints as they appear.
#include "harness/watch/watch.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "base/utf8.h"
#include "harness/cli/evaluation_flags.h"
#include "harness/cli/stored_runs.h"
#include "harness/cli/verbs.h"
#include "harness/terminal/progress.h"
#include "results/scores.h"
#include "results/series.h"

namespace assay::harness {

namespace {

constexpr size_t kColumns = 3;  // checkpoints shown side by side after each one

struct Options {
  EvaluationFlags flags;
  WatchOptions watch;
  bool json = false, quiet = false;
};

// The new scores beside those of the checkpoints before it.
void print_scores(const RunSummary& summary, const std::string& store_path) {
  StoreFlags flags;
  flags.store = store_path;
  const results::Store store = flags.open();
  const auto place = [](const results::RunSummary& run) {
    return run.model.training_tokens.value_or(run.model.training_step.value_or(-1));
  };
  const results::RunSummary now =
      results::find_run(store, "#" + std::to_string(static_cast<int64_t>(summary.run)));
  std::vector<results::RunSummary> shown;
  for (results::RunSummary& run : results::list_runs(store)) {
    if (run.id != now.id && run.finished && place(run) >= 0 && place(run) < place(now) &&
        results::series_name(run) == results::series_name(now) &&
        run.identity.numerics == now.identity.numerics) {
      shown.push_back(std::move(run));
    }
  }
  std::stable_sort(shown.begin(), shown.end(),
                   [&](const auto& a, const auto& b) { return place(a) < place(b); });
  if (shown.size() >= kColumns) shown.erase(shown.begin(), shown.end() - (kColumns - 1));
  shown.push_back(now);
  results::Table table = results::scores_table(store, shown);
  table.notes.clear();
  flags.print(table);
  std::cout << std::endl;
}

int run(const Options& options) {
  const EvaluationOptions evaluation = options.flags.options();
  ProgressDisplay display(ProgressDisplay::choose(options.quiet));
  const WatchReport report = watch(
      options.watch, evaluation, display,
      [&](const RunSummary& summary, const std::string& line) {
        if (options.json) std::cout << line << std::endl;
        else print_scores(summary, evaluation.store.string());
      },
      [&](const std::string& text) { std::cerr << utf8::printable(text) << std::endl; });
  std::string line = std::to_string(report.scored) + " scored";
  if (report.known > 0) line += ", " + std::to_string(report.known) + " scored before";
  if (report.waiting > 0) line += ", " + std::to_string(report.waiting) + " not there yet";
  if (report.failed > 0) line += ", " + std::to_string(report.failed) + " failed attempts";
  if (!options.watch.once) line += "; the same command goes on";
  std::cerr << line << std::endl;
  return report.exit_code;
}

}  // namespace

void add_watch(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  WatchOptions& watch = options->watch;
  CLI::App* verb = app.add_subcommand("watch", "Score checkpoints as they appear in a folder");
  verb->add_option("DIR", watch.folder, "Folder in which checkpoint directories appear")
      ->required();
  add_evaluation_flags(*verb, options->flags);
  verb->add_option("--match", watch.arrival.match, "Only directories of this name (shell pattern)")
      ->capture_default_str()
      ->type_name("PATTERN");
  verb->add_option("--marker", watch.arrival.marker,
                   "File that a complete checkpoint holds; without:\n"
                   "nothing in it has changed for --settle seconds")
      ->type_name("NAME");
  verb->add_option("--settle", watch.arrival.settle, "Seconds without a change")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--interval", watch.interval, "Seconds between two looks")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  verb->add_option("--tries", watch.tries, "Attempts at a checkpoint that cannot be read")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  verb->add_option("--log", watch.journal,
                   "What was done, one JSON line an attempt; default:\n"
                   "the store's name with .watch.jsonl")
      ->type_name("FILE");
  verb->add_flag("--once", watch.once, "Score what is there and return");
  verb->add_flag("--newest-first", watch.newest_first, "Instead of by training step");
  verb->add_flag("--json", options->json, "Print the journal's lines instead of tables");
  verb->add_flag("--quiet", options->quiet, "No progress");
  set_examples(*verb, {"assay watch checkpoints/ --tasks smoke --data ~/benchmarks",
                       "assay watch checkpoints/ --tasks core-en --marker COMPLETE --json",
                       "assay watch checkpoints/ --tasks mmlu --once --tokens-per-step 4194304"});
  verb->callback([options, &session] {
    options->flags.evaluation.command_line = "assay watch " + options->watch.folder.string() +
                                             " --tasks " + options->flags.evaluation.tasks;
    session.exit_code = run(*options);
  });
}

}  // namespace assay::harness
