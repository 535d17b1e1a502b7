// assay report: one self-contained HTML file.
#include "results/report.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>

#include "base/file.h"
#include "base/workers.h"
#include "harness/cli/stored_runs.h"
#include "harness/cli/verbs.h"

namespace assay::harness {

namespace {

struct Options {
  StoreFlags store;
  std::vector<std::string> runs;
  std::string out;
  results::ReportOptions report;
};

void report(const Options& options) {
  const results::Store store = options.store.open();
  const Workers workers;
  write_file_atomically(options.out,
                        results::html_report(store, options.store.runs(store, options.runs),
                                             options.report, workers));
  std::cout << "Report: " << std::filesystem::absolute(options.out).string() << '\n';
}

}  // namespace

void add_report(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("report", "One HTML file with everything in it");
  verb->add_option("RUN", options->runs, "Run numbers, labels or digests; none: all runs");
  verb->add_option("--out", options->out, "The file to write")->required()->type_name("FILE.html");
  add_store_flags(*verb, options->store, false);
  verb->add_option("--title", options->report.title, "Of the page")->capture_default_str();
  verb->add_option("--most-items", options->report.most_items, "Documents embedded at most")
      ->capture_default_str();
  set_examples(*verb, {"assay report --out report.html",
                       "assay report 1 3 --out two.html --title \"Ablation 7\""});
  verb->callback([options] { report(*options); });
}

}  // namespace assay::harness
