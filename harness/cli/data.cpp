// assay data list|verify|fetch
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "datasets/fetch.h"
#include "datasets/registry.h"
#include "harness/cli/data_root.h"
#include "harness/cli/verbs.h"
#include "harness/evaluation/collector.h"
#include "tasks/catalog.h"
#include "tasks/task_file.h"

namespace assay::harness {

namespace {

namespace fs = std::filesystem;

struct Options {
  std::string tasks, data, mirror;
  std::vector<fs::path> task_directories;
  bool verbose = false, json = false, dry_run = false, quiet = false;
};

// The data sets of the asked tasks (all of the catalog where none is named), each once.
std::vector<datasets::DatasetSpec> asked_specs(const Options& options) {
  tasks::Catalog catalog;
  for (const auto& directory : options.task_directories) catalog.add_directory(directory);
  std::vector<std::string> names;
  if (options.tasks.empty()) {
    for (const auto& task : catalog.tasks()) names.push_back(task.name);
  } else {
    for (const auto& choice : catalog.expand(options.tasks)) {
      if (std::find(names.begin(), names.end(), choice.task) == names.end()) {
        names.push_back(choice.task);
      }
    }
  }
  std::vector<datasets::DatasetSpec> specs;
  for (const std::string& name : names) {
    const auto file = catalog.file(name, "");
    if (!file->haystack) specs.push_back(file->data.value());
  }
  if (specs.empty()) throw_usage("the documents of " + options.tasks + " are made by the program");
  return specs;
}

std::string rows_text(int64_t rows) { return rows < 0 ? "?" : std::to_string(rows); }

void list_json(const std::vector<datasets::DatasetSpec>& specs, const fs::path& root) {
  json::Writer out;
  out.begin_array();
  for (const auto& spec : specs) {
    const datasets::DatasetStatus now = datasets::status(spec, root);
    out.begin_object().member("task", now.task).member("home", now.home);
    out.member("licence", now.licence).member("note", now.note).key("files").begin_array();
    for (const auto& file : now.files) {
      out.begin_object().member("url", file.url).member("to", file.to);
      out.member("sha256", file.sha256).member("present", file.present).end_object();
    }
    out.end_array().key("splits").begin_array();
    for (const auto& split : now.splits) {
      out.begin_object().member("split", split.name).member("rows", split.expected_rows);
      out.member("present", split.present).end_object();
    }
    out.end_array().end_object();
  }
  std::cout << out.end_array().take() << '\n';
}

void list(const Options& options) {
  const fs::path root = data_root(options.data);
  const auto specs = asked_specs(options);
  if (options.json) return list_json(specs, root);
  for (const auto& spec : specs) {
    const datasets::DatasetStatus now = datasets::status(spec, root);
    std::string splits;
    for (const auto& split : now.splits) {
      splits += (splits.empty() ? "" : "  ") + std::string(split.present ? "+" : "-") + split.name +
                " " + rows_text(split.expected_rows);
    }
    std::cout << utf8::padded(now.task, 16) << utf8::padded(now.licence, 30) << splits << '\n';
    if (!options.verbose) continue;
    std::cout << "    from " << now.home << '\n';
    if (!now.note.empty()) std::cout << "    " << now.note << '\n';
    for (const auto& file : now.files) {
      std::cout << "    " << (file.present ? "+ " : "- ") << file.to << "  " << file.url
                << (file.sha256.empty() ? "" : "  sha256 " + file.sha256) << '\n';
    }
  }
  std::cout << "\n+ present, - missing below " << root.string() << "; rows as published\n";
}

void verify(const Options& options, Session& session) {
  using State = datasets::Verified::State;
  const fs::path root = data_root(options.data);
  for (const auto& spec : asked_specs(options)) {
    for (const auto& result : datasets::verify(spec, root)) {
      const char* word = result.state == State::good      ? "good"
                         : result.state == State::unknown ? "unknown"
                         : result.state == State::missing ? "missing"
                                                          : "BAD";
      if (result.state == State::missing && !options.verbose) continue;
      if (result.state == State::bad) session.exit_code = static_cast<int>(ErrorKind::bad_input);
      std::cout << utf8::padded(word, 9) << utf8::padded(spec.task(), 16) << result.what
                << (result.detail.empty() ? "" : ": " + result.detail) << '\n';
    }
  }
}

void show_progress(const datasets::FetchProgress& progress) {
  const double mib = 1024 * 1024;
  std::fprintf(stderr, "\r\x1b[K%s  %.1f MiB", utf8::printable(progress.file).c_str(),
               static_cast<double>(progress.done) / mib);
  if (progress.total > 0) {
    std::fprintf(stderr, " of %.1f (%.0f %%)", static_cast<double>(progress.total) / mib,
                 100 * static_cast<double>(progress.done) / static_cast<double>(progress.total));
  }
}

void fetch(const Options& options) {
  using State = datasets::Fetched::State;
  // Unlike the verbs that read, this one may make the folder.
  const fs::path root = options.data.empty() || options.data == "sample" ? data_root(options.data)
                                                                         : fs::path(options.data);
  if (options.data == "sample")
    throw_usage("the bundled sample needs no fetching", "give --data DIR");
  datasets::FetchOptions how;
  how.mirror = options.mirror;
  how.dry_run = options.dry_run;
  const bool show = !options.quiet && ::isatty(STDERR_FILENO) != 0;
  install_interrupt_handler();
  how.progress = [show](const datasets::FetchProgress& progress) {
    if (show) show_progress(progress);
    return !interrupted();
  };
  const auto specs = asked_specs(options);
  // One data set that cannot be had does not keep the others from coming.
  std::string failed;
  for (const auto& spec : specs) {
    std::vector<datasets::Fetched> files;
    try {
      files = datasets::fetch(spec, root, how);
    } catch (const Error& error) {
      if (show) std::fprintf(stderr, "\r\x1b[K");
      if (specs.size() == 1 || interrupted()) throw;
      std::cerr << "not fetched: " << spec.task() << ": " << error.what() << '\n';
      failed += (failed.empty() ? "" : ", ") + spec.task();
      continue;
    }
    if (show) std::fprintf(stderr, "\r\x1b[K");
    for (const auto& file : files) {
      std::cout << utf8::padded(file.state == State::present   ? "present"
                          : file.state == State::fetched ? "fetched"
                                                         : "would fetch",
                          13)
                << file.to << (file.state == State::present ? "" : "  from " + file.url);
      if (!file.sha256.empty()) {
        std::cout << "  sha256 " << file.sha256 << (file.verified ? "" : " (no published digest)");
      }
      std::cout << '\n';
    }
    const std::string note = datasets::status(spec, root).note;
    if (!note.empty()) std::cerr << spec.task() << ": " << note << '\n';
  }
  if (!failed.empty() && !options.dry_run) throw_bad_input("not everything was fetched", failed);
}

}  // namespace

void add_data(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("data", "Benchmark data: what is needed, what is there, fetching");
  verb->require_subcommand(1);
  CLI::App* list_verb =
      verb->add_subcommand("list", "Where each data set comes from, rows, presence");
  CLI::App* verify_verb =
      verb->add_subcommand("verify", "Digests and numbers of rows of what is there");
  CLI::App* fetch_verb =
      verb->add_subcommand("fetch", "Download the publishers' files that are missing");
  for (CLI::App* kind : {list_verb, verify_verb, fetch_verb}) {
    auto* tasks = kind->add_option("tasks", options->tasks, "Tasks or suites, separated by commas");
    if (kind == fetch_verb) tasks->required();
    kind->add_option("--data", options->data, kDataHelp)->type_name("DIR");
    kind->add_option("--tasks-dir", options->task_directories, "Folder with task files of your own")
        ->type_name("DIR");
  }
  list_verb->add_flag("--verbose,-v", options->verbose, "With addresses, files and digests");
  list_verb->add_flag("--json", options->json, "Print one JSON array");
  verify_verb->add_flag("--verbose,-v", options->verbose, "Name what is missing too");
  fetch_verb->add_flag("--dry-run", options->dry_run, "Only say what would be fetched");
  fetch_verb
      ->add_option("--mirror", options->mirror, "Ask MIRROR/host/path instead of the publishers")
      ->type_name("URL");
  fetch_verb->add_flag("--quiet,-q", options->quiet, "No progress");
  set_examples(*verb,
               {"assay data list --data DIR", "assay data fetch mmlu,gsm8k --data DIR --dry-run",
                "assay data verify --data DIR"});
  list_verb->callback([options] { list(*options); });
  verify_verb->callback([options, &session] { verify(*options, session); });
  fetch_verb->callback([options] { fetch(*options); });
}

}  // namespace assay::harness
