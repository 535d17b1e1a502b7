// assay merge, import, rm, vacuum: stores kept for years.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>

#include "base/error.h"
#include "base/utf8.h"
#include "harness/cli/stored_runs.h"
#include "harness/cli/verbs.h"
#include "results/manage.h"

namespace assay::harness {

namespace {

struct Options {
  StoreFlags store;
  std::string name;
  std::vector<std::string> arguments;
};

// merge and import may make a store; these need one that is there.
results::Store open_to_change(const StoreFlags& flags) {
  if (!std::filesystem::exists(flags.store))
    throw_bad_input("there is no such store", flags.store, "--store names it");
  return results::Store::open(flags.store, results::Store::Access::write);
}

void merge(const Options& options) {
  results::Store store = results::Store::open(options.store.store, results::Store::Access::write);
  for (const std::string& source : options.arguments) {
    const results::MergeReport report = results::merge(store, source);
    std::cout << utf8::printable(source) << ": " << report.evaluations << " evaluations of "
              << report.runs << " new runs added, " << report.completed << " completed, "
              << report.present << " were there already\n";
  }
}

void import_logs(const Options& options) {
  results::Store store = results::Store::open(options.store.store, results::Store::Access::write);
  const results::ImportReport report =
      results::import_logs(store, options.arguments.front(), options.name);
  std::cout << utf8::printable(options.name) << ": " << report.documents << " documents of "
            << report.files << " logs of " << report.harness << '\n';
}

void remove_runs(const Options& options) {
  results::Store store = open_to_change(options.store);
  // All names are looked up before anything is removed.
  for (const results::RunSummary& run : options.store.runs(store, options.arguments)) {
    results::remove_run(store, run.id);
    std::cout << "removed #" << static_cast<int64_t>(run.id) << ' '
              << utf8::printable(run.identity.label) << '\n';
  }
}

void vacuum(const Options& options) {
  results::Store store = open_to_change(options.store);
  const results::VacuumReport report = results::vacuum(store);
  std::cout << report.texts << " texts, " << report.documents << " documents and "
            << report.models << " checkpoints removed; " << report.bytes_before / 1024 << " KiB to "
            << report.bytes_after / 1024 << " KiB\n";
}

}  // namespace

void add_manage_store(CLI::App& app, Session&) {
  const auto add = [&](const char* name, const char* what, void (*body)(const Options&)) {
    auto options = std::make_shared<Options>();
    CLI::App* verb = app.add_subcommand(name, what);
    add_store_flags(*verb, options->store, false);
    verb->callback([options, body] { body(*options); });
    return std::pair(verb, options);
  };
  {
    auto [verb, options] = add("merge", "Copy what other stores have into this one", merge);
    verb->add_option("SOURCE", options->arguments, "Stores to copy from")->required();
    set_examples(*verb, {"assay merge --store all.sqlite node1.sqlite node2.sqlite"});
  }
  {
    auto [verb, options] =
        add("import", "Logs of another harness as a run, item by item", import_logs);
    verb->add_option("PATH", options->arguments,
                     "A log or a folder of logs: lm-evaluation-harness\n"
                     "(samples_TASK_DATE.jsonl), OLMES (task-NNN-TASK-\n"
                     "predictions.jsonl), OpenCompass (predictions/MODEL/),\n"
                     "simple-evals (*_allresults.json or its HTML), HELM\n"
                     "(display_predictions.json)")
        ->required()
        ->expected(1);
    verb->add_option("--name", options->name, "Label of the run")->required();
    set_examples(*verb, {"assay import logs/ --name their-run"});
  }
  {
    auto [verb, options] = add("rm", "Remove runs from the store", remove_runs);
    verb->add_option("RUN", options->arguments, "Runs to remove")->required();
    set_examples(*verb, {"assay rm \"#3\"", "assay vacuum"});
  }
  add("vacuum", "Give unused space back; migrates an older store", vacuum);
}

}  // namespace assay::harness
