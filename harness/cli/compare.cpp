// assay compare: two runs, item by item.
#include "results/compare.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "base/workers.h"
#include "harness/cli/stored_runs.h"
#include "harness/cli/verbs.h"

namespace assay::harness {

namespace {

struct Options {
  StoreFlags store;
  std::string a, b, by;
  results::CompareOptions compare;
};

void compare(const Options& options) {
  const results::Store store = options.store.open();
  const auto runs = options.store.runs(store, {options.a, options.b});
  const Workers workers;
  const results::Comparison comparison =
      results::compare(store, runs[0], runs[1], options.compare, workers);
  if (options.store.json) {
    std::cout << results::comparison_json(comparison) << '\n';
    return;
  }
  options.store.print(results::comparison_table(comparison));
  if (options.store.format == "terminal") {
    std::cout << results::comparison_details(store, comparison, output_width());
  }
}

}  // namespace

void add_compare(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("compare", "Is the difference between two runs real?");
  verb->add_option("A", options->a, "Run number, label or digest")->required();
  verb->add_option("B", options->b, "The run that is judged against A")->required();
  add_store_flags(*verb, options->store, true);
  verb->add_option("--tasks", options->compare.tasks, "Only these, comma-separated")
      ->delimiter(',');
  verb->add_option("--metric", options->compare.metric, "Instead of each task's primary metric");
  verb->add_flag("--flips", options->compare.flips,
                 "Documents that changed, with prompts and scores");
  verb->add_option("--most-flips", options->compare.most_flips, "Documents listed a task")
      ->capture_default_str();
  verb->add_option("--by", options->by, "subject: subjects below their task")
      ->check(CLI::IsMember({"subject", "group"}));
  verb->add_flag("--force", options->compare.force, "Compare unlike runs all the same (marked)");
  verb->add_flag("--json", options->store.json, "Print one JSON object");
  set_examples(*verb, {"assay compare base-step-000600 base-step-001201",
                       "assay compare 1 2 --tasks mmlu --by subject",
                       "assay compare 1 2 --flips --most-flips 5"});
  verb->callback([options] {
    options->compare.by_group = !options->by.empty();
    compare(*options);
  });
}

}  // namespace assay::harness
