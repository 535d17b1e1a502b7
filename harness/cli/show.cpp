// assay show: scores of the runs of a store.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "base/error.h"
#include "harness/cli/stored_runs.h"
#include "harness/cli/verbs.h"
#include "results/diagnostics.h"
#include "results/experts.h"
#include "results/scores.h"

namespace assay::harness {

namespace {

struct Options {
  StoreFlags store;
  std::vector<std::string> runs;
  results::ShowOptions show;
  bool experts = false;
};

void show(const Options& options) {
  const results::Store store = options.store.open();
  const auto runs = options.store.runs(store, options.runs);
  if (options.experts) {
    if (runs.size() != 1) {
      throw_usage("--experts shows one run", "name it: assay show RUN --experts");
    }
    if (options.store.json) {
      std::cout << results::experts_json(store, runs.front()) << '\n';
    } else {
      options.store.print(results::experts_table(store, runs.front()));
    }
  } else if (options.store.json) {
    std::cout << results::scores_json(store, runs) << '\n';
  } else if (options.runs.size() == 1) {
    if (options.store.format == "terminal") std::cout << results::run_card(runs.front()) << '\n';
    results::Table table = results::run_table(store, runs.front(), options.show);
    for (std::string& line : results::diagnostic_lines(store, runs.front())) {
      table.notes.push_back(std::move(line));
    }
    options.store.print(table);
    if (options.store.format == "terminal") print_heat_maps(store, runs.front());
  } else {
    options.store.print(results::scores_table(store, runs));
  }
}

}  // namespace

void add_show(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("show", "Scores of runs, with intervals");
  verb->add_option("RUN", options->runs, "Run number, label or digest; none: all runs");
  add_store_flags(*verb, options->store, true);
  verb->add_flag("--all-metrics", options->show.all_metrics, "Every metric of each task");
  verb->add_flag("--by-group", options->show.by_group, "Subjects below their task");
  verb->add_flag("--experts", options->experts,
                 "Load of the routed experts, per task and layer of one run");
  verb->add_flag("--json", options->store.json, "Print one JSON object");
  set_examples(*verb, {"assay show", "assay show base-step-001201 --all-metrics",
                       "assay show 2 --by-group --format csv",
                       "assay show 2 --experts"});
  verb->callback([options] { show(*options); });
}

}  // namespace assay::harness
