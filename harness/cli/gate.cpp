// assay gate --baseline A --candidate B [--rules FILE]
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "harness/cli/stored_runs.h"
#include "harness/cli/verbs.h"
#include "results/gate.h"
#include "results/series.h"

namespace assay::harness {

namespace {

struct Options {
  StoreFlags store;
  std::string baseline, candidate, rules, junit;
  std::vector<std::string> noise_runs, tasks;
  int threads = 0;
  bool force = false;
};

int gate(const Options& options) {
  const results::GateRules rules =
      options.rules.empty() ? results::GateRules{} : results::load_gate_rules(options.rules);
  const results::Store store = options.store.open();
  results::CompareOptions compare;
  compare.force = options.force;
  compare.flips = true;
  compare.tasks = options.tasks;
  const results::Comparison comparison =
      results::compare(store, results::find_run(store, options.baseline),
                       results::find_run(store, options.candidate), compare,
                       Workers(options.threads));
  std::map<std::string, results::CheckpointNoise> noise;
  if (!options.noise_runs.empty()) {
    noise = results::checkpoint_noise(
        results::build_series(store, options.store.runs(store, options.noise_runs)));
    // Judging without it would answer another question than the one that was asked.
    if (noise.empty())
      throw_usage("the noise between checkpoints cannot be told from the runs of --noise-from",
                  "it needs four checkpoints or more of one series, on the same task");
  }
  const results::GateResult result = results::judge_gate(comparison, rules, noise);
  if (!options.junit.empty()) write_file_atomically(options.junit, results::gate_junit(result));
  if (options.store.json) std::cout << results::gate_json(result, comparison) << '\n';
  else options.store.print(results::gate_table(result));
  return result.exit_code();
}

}  // namespace

void add_gate(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand(
      "gate", "May this checkpoint pass?\n\n"
              "Exit code: 0 pass, 1 regression, 10 inconclusive.");
  verb->add_option("--baseline", options->baseline, "Run to hold against")->required();
  verb->add_option("--candidate", options->candidate, "Run to judge")->required();
  add_store_flags(*verb, options->store, true);
  verb->add_option("--rules", options->rules, "Margins, floors, exceptions (JSON)")
      ->type_name("FILE");
  verb->add_option("--tasks", options->tasks, "Only these tasks")->delimiter(',');
  verb->add_option("--noise-from", options->noise_runs,
                   "Four or more runs of a series: counts the noise between\n"
                   "checkpoints")
      ->delimiter(',');
  verb->add_option("--junit", options->junit, "Write JUnit XML")->type_name("FILE");
  verb->add_option("--threads", options->threads, "Worker threads (all processors)");
  verb->add_flag("--force", options->force, "Judge unlike runs; the result is marked");
  verb->add_flag("--json", options->store.json, "Print one JSON object");
  set_examples(*verb, {"assay gate --baseline base --candidate quantised --rules gate.json"});
  verb->callback([options, &session] { session.exit_code = gate(*options); });
}

}  // namespace assay::harness
