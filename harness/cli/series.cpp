// assay series [RUN ...]
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "harness/cli/stored_runs.h"
#include "harness/cli/verbs.h"
#include "results/series.h"

namespace assay::harness {

namespace {

struct Options {
  StoreFlags store;
  std::vector<std::string> runs;
  results::SeriesOptions series;
};

void series(const Options& options) {
  const results::Store store = options.store.open();
  const auto all = results::build_series(store, options.store.runs(store, options.runs), options.series);
  if (options.store.json) std::cout << results::series_json(all) << '\n';
  else options.store.print(results::series_table(all));
}

}  // namespace

void add_series(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("series", "Scores over training, with the noise between checkpoints");
  verb->add_option("RUN", options->runs, "Checkpoints of one or more runs; none: all");
  add_store_flags(*verb, options->store, true);
  verb->add_option("--last", options->series.last, "Checkpoints for noise and averaging (5)");
  verb->add_option("--window", options->series.window, "Neighbours of the smoothing (2)");
  verb->add_flag("--json", options->store.json, "Print one JSON array with all points");
  set_examples(*verb, {"assay series base-step-000040 base-step-000600 base-step-001201"});
  verb->callback([options] { series(*options); });
}

}  // namespace assay::harness
