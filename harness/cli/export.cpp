// assay export KIND [RUN ...]
#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>

#include "base/error.h"
#include "harness/cli/stored_runs.h"
#include "harness/cli/verbs.h"
#include "results/manage.h"

namespace assay::harness {

namespace {

struct Options {
  StoreFlags store;
  std::string kind, format = "csv", out;
  std::vector<std::string> runs;
};

void export_to(const Options& options) {
  const results::ExportKind kind = results::parse_export_kind(options.kind);
  const results::ExportFormat format = results::parse_export_format(options.format);
  const results::Store store = options.store.open();
  const auto runs = options.store.runs(store, options.runs);
  if (options.out.empty() || options.out == "-") {
    results::export_rows(store, runs, kind, format, std::cout);
    return;
  }
  // Written beside and renamed, so that nobody reads half a file; streamed, since it may be large.
  const std::string partial = options.out + ".partial";
  try {
    std::ofstream out(partial, std::ios::binary);
    if (!out) throw_resource("cannot be written", options.out, "check the folder");
    results::export_rows(store, runs, kind, format, out);
    out.close();
    if (!out) throw_resource("could not be written whole", options.out, "is the disk full?");
    std::filesystem::rename(partial, options.out);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(partial, ignored);
    throw;
  }
}

}  // namespace

void add_export(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("export", "Rows of the store as CSV or JSON lines");
  verb->add_option("KIND", options->kind, "scores, documents, options, generations or experts")
      ->required();
  verb->add_option("RUN", options->runs, "Runs; none: all");
  add_store_flags(*verb, options->store, false);
  verb->add_option("--format", options->format, "csv or jsonl");
  verb->add_option("--out", options->out, "Write to a file")->type_name("FILE");
  set_examples(*verb, {"assay export documents base-step-001201 --format jsonl --out items.jsonl"});
  verb->callback([options] { export_to(*options); });
}

}  // namespace assay::harness
