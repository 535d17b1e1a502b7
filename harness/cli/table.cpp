// assay table: the base-model comparison table, own runs beside published columns.
#include <CLI/CLI.hpp>
#include <memory>

#include "harness/cli/stored_runs.h"
#include "harness/cli/verbs.h"
#include "results/base_table.h"

namespace assay::harness {

namespace {

struct Options {
  StoreFlags store;
  std::vector<std::string> runs, with;
  std::string layout = "base";
  results::BaseTableOptions table;
};

void table(Options& options) {
  const results::Store store = options.store.open();
  for (const std::string& name : options.with) {
    for (auto& column : results::published_columns(name)) {
      options.table.published.push_back(std::move(column));
    }
  }
  options.table.footnotes = options.store.format != "csv";
  if (options.layout == "ablation") options.table.layout = results::TableLayout::ablation;
  options.store.print(
      results::base_table(store, options.store.runs(store, options.runs), options.table));
}

}  // namespace

void add_table(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("table", "Comparison table with published columns");
  verb->add_option("RUN", options->runs, "Run numbers, labels or digests; none: all runs");
  add_store_flags(*verb, options->store, true);
  verb->add_option("--with", options->with,
                   "published, one published model, mtp, aux-loss-free, or a\n"
                   "CSV file of baselines; may be repeated")
      ->type_name("NAME|FILE")
      ->allow_extra_args(false);
  verb->add_option("--variant", options->table.variant, "Where a run has several")
      ->capture_default_str();
  verb->add_option("--layout", options->layout,
                   "base, or ablation: columns in pairs of baseline and variant")
      ->capture_default_str()
      ->check(CLI::IsMember({"base", "ablation"}));
  verb->add_flag("--only-measured", options->table.only_measured,
                 "Leave out benchmarks that no run has");
  set_examples(*verb, {"assay table --with published",
                       "assay table 1 2 --with published --format latex > table.tex",
                       "assay table 1 2 --with baselines.csv --format markdown"});
  verb->callback([options] { table(*options); });
}

}  // namespace assay::harness
