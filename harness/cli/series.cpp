// assay series [RUN ...]
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>

#include "base/error.h"
#include "harness/cli/stored_runs.h"
#include "harness/cli/verbs.h"
#include "results/series.h"

namespace assay::harness {

namespace {

struct Options {
  StoreFlags store;
  std::vector<std::string> runs;
  std::vector<std::string> tasks;
  results::SeriesOptions series;
  bool no_plot = false;
};

void series(const Options& options) {
  const results::Store store = options.store.open();
  auto all = results::build_series(store, options.store.runs(store, options.runs), options.series);
  for (const std::string& task : options.tasks) {
    const auto named = [&](const results::Series& s) { return s.task == task; };
    if (std::none_of(all.begin(), all.end(), named)) {
      std::vector<std::string> known;
      for (const results::Series& s : all)
        if (std::find(known.begin(), known.end(), s.task) == known.end()) known.push_back(s.task);
      std::string names;
      for (const std::string& name : known) names += (names.empty() ? "" : ", ") + name;
      throw_usage("no series of the task " + task, "there are " + names);
    }
  }
  if (!options.tasks.empty()) {
    std::erase_if(all, [&](const results::Series& s) {
      return std::find(options.tasks.begin(), options.tasks.end(), s.task) == options.tasks.end();
    });
  }
  if (options.store.json) {
    std::cout << results::series_json(all) << '\n';
    return;
  }
  if (!options.no_plot &&
      results::parse_format(options.store.format) == results::Format::terminal) {
    results::PlotOptions plot;
    plot.width = output_width();
    plot.rows = options.tasks.size() == 1 ? 12 : 4;
    plot.unicode = utf8_output();
    plot.color = coloured_output();
    if (const std::string drawn = results::series_plot(all, plot); !drawn.empty())
      std::cout << drawn << '\n';
  }
  options.store.print(results::series_table(all));
}

}  // namespace

void add_series(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("series", "Scores over training, with the noise between checkpoints");
  verb->add_option("RUN", options->runs, "Checkpoints of one or more runs; none: all");
  add_store_flags(*verb, options->store, true);
  verb->add_option("--task", options->tasks, "Only this task, drawn large; repeat for several")
      ->type_name("TASK")
      ->allow_extra_args(false);
  verb->add_flag("--no-plot", options->no_plot, "The table alone");
  verb->add_option("--last", options->series.last, "Checkpoints for noise and averaging (5)");
  verb->add_option("--window", options->series.window, "Neighbours of the smoothing (2)");
  verb->add_flag("--json", options->store.json, "Print one JSON array with all points");
  set_examples(*verb, {"assay series base-step-000040 base-step-000600 base-step-001201",
                       "assay series --task hellaswag"});
  verb->callback([options] { series(*options); });
}

}  // namespace assay::harness
