// assay explain A B TASK
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "harness/cli/stored_runs.h"
#include "harness/cli/verbs.h"
#include "results/explain.h"

namespace assay::harness {

namespace {

struct Options {
  StoreFlags store;
  std::string a, b, task;
};

}  // namespace

void add_explain(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("explain", "Why do two numbers of one task differ");
  verb->add_option("A", options->a, "A run")->required();
  verb->add_option("B", options->b, "Another, or the same with two variants")->required();
  verb->add_option("TASK", options->task, "TASK, TASK@VARIANT, or one for each side with a comma")
      ->required();
  add_store_flags(*verb, options->store, true);
  verb->add_flag("--json", options->store.json, "Print one JSON object");
  set_examples(*verb, {"assay explain A B mmlu", "assay explain A A mmlu@ds,mmlu@lmeval"});
  verb->callback([options] {
    const results::Store store = options->store.open();
    const auto explanation = results::explain(store, results::find_run(store, options->a),
                                              results::find_run(store, options->b), options->task);
    if (options->store.json) std::cout << results::explanation_json(explanation) << '\n';
    else options->store.print(results::explanation_table(explanation));
  });
}

}  // namespace assay::harness
