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
#include "harness/terminal/words.h"
#include "tasks/catalog.h"
#include "tasks/task_file.h"

namespace assay::harness {

namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> tasks;
  std::string data, mirror;
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
    std::string asked;
    for (const std::string& tasks : options.tasks) asked += (asked.empty() ? "" : ",") + tasks;
    for (const auto& choice : catalog.expand(asked)) {
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
  if (specs.empty()) throw_usage("the documents of " + options.tasks.front() + " are made by the program");
  return specs;
}

constexpr size_t kWidth = 79;

// Prints `heading`, which has `column` columns, and the items behind it, in as many lines as they need.
void print_filled(const std::string& heading, size_t column, const std::vector<std::string>& items) {
  std::cout << heading << fill_lines(items, kWidth - column, "\n" + std::string(column, ' '), "  ") << '\n';
}

void print_words(const std::string& heading, size_t column, const std::string& text) {
  std::cout << heading << fill_lines(text, kWidth - column, "\n" + std::string(column, ' ')) << '\n';
}

std::string mebibytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

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
    std::vector<std::string> splits;
    for (const auto& split : now.splits) {
      splits.push_back((split.present ? "+" : "-") + split.name +
                       (split.expected_rows < 0 ? "" : " " + std::to_string(split.expected_rows)));
    }
    print_filled(utf8::padded(now.task, 16) + utf8::padded(now.licence, 30), 46, splits);
    if (!options.verbose) continue;
    std::cout << "    from " << now.home << '\n';
    if (!now.note.empty()) print_words("    ", 4, now.note);
    for (const auto& file : now.files) {
      std::cout << "    " << (file.present ? "+ " : "- ") << file.to << "\n        " << file.url << '\n';
      if (!file.sha256.empty()) std::cout << "        sha256 " << file.sha256 << '\n';
    }
  }
  std::cout << "\n+ present, - missing below " << root.string() << "; rows as published\n";
  if (!options.verbose) std::cout << "--verbose: where each comes from, files and digests\n";
}

void verify(const Options& options, Session& session) {
  using State = datasets::Verified::State;
  const fs::path root = data_root(options.data);
  constexpr size_t kColumn = 25;
  std::vector<std::string> absent;
  for (const auto& spec : asked_specs(options)) {
    const auto print = [&](const char* word, const std::string& text) {
      print_words(utf8::padded(word, 9) + utf8::padded(spec.task(), 16), kColumn, text);
    };
    const std::vector<datasets::Verified> results = datasets::verify(spec, root);
    if (std::ranges::all_of(results, [](const auto& r) { return r.state == State::missing; })) {
      absent.push_back(spec.task());
      if (!options.verbose) continue;
    }
    size_t files = 0;
    std::string rows;
    for (const auto& result : results) {
      const bool file = result.what.starts_with("file ");
      const char* word = result.state == State::good      ? "good"
                         : result.state == State::unknown ? "unknown"
                         : result.state == State::missing ? "missing"
                                                          : "BAD";
      if (result.state == State::bad) session.exit_code = static_cast<int>(ErrorKind::bad_input);
      if (options.verbose || result.state == State::bad || result.state == State::unknown) {
        if (result.state != State::missing || options.verbose) {
          print(word, result.what + (result.detail.empty() ? "" : ": " + result.detail));
        }
      } else if (result.state == State::good && file) {
        ++files;
      } else if (result.state == State::good) {
        rows += (rows.empty() ? "" : ", ") + result.what.substr(6) + " " + result.detail;
      }
    }
    if (files > 0) rows = std::to_string(files) + (files == 1 ? " file" : " files") + " as published" + (rows.empty() ? "" : "; ") + rows;
    if (!rows.empty()) print("good", rows);
  }
  if (absent.empty() || options.verbose) return;
  std::string names;
  for (const std::string& name : absent) names += (names.empty() ? "" : ", ") + name;
  print_words("", 0, "nothing below " + root.string() + " of " + names + " (assay data fetch TASK --data DIR)");
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
  size_t planned = 0, unknown = 0;
  uint64_t total = 0;
  for (const auto& spec : specs) {
    std::vector<datasets::Fetched> files;
    try {
      files = datasets::fetch(spec, root, how);
    } catch (const Error& error) {
      if (show) std::fprintf(stderr, "\r\x1b[K");
      if (specs.size() == 1 || interrupted()) throw;
      std::cerr << fill_lines("not fetched: " + spec.task() + ": " + error.what(), kWidth, "\n  ") << '\n';
      failed += (failed.empty() ? "" : ", ") + spec.task();
      continue;
    }
    if (show) std::fprintf(stderr, "\r\x1b[K");
    for (const auto& file : files) {
      std::cout << utf8::padded(file.state == State::present   ? "present"
                          : file.state == State::fetched ? "fetched"
                                                         : "would fetch",
                          13)
                << file.to;
      if (file.state == State::would_fetch) {
        std::cout << "  " << (file.bytes == 0 ? "size not published" : mebibytes(file.bytes));
        ++planned;
        unknown += file.bytes == 0;
        total += file.bytes;
      }
      std::cout << '\n';
      const std::string margin(13, ' ');
      if (file.state != State::present) std::cout << margin << file.url << '\n';
      if (!file.sha256.empty()) {
        std::cout << margin << "sha256 " << file.sha256 << '\n';
        if (!file.verified) std::cout << margin << "(no published digest)\n";
      }
    }
    const std::string note = datasets::status(spec, root).note;
    if (!note.empty()) print_words(spec.task() + ": ", spec.task().size() + 2, note);
  }
  if (options.dry_run && planned > 0) {
    std::cout << planned << (planned == 1 ? " file" : " files") << " to fetch";
    if (unknown < planned) std::cout << ", " << mebibytes(total);
    if (unknown > 0 && unknown < planned) std::cout << " and " << unknown << " of unknown size";
    std::cout << "; nothing was fetched\n";
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
    auto* tasks = kind->add_option("tasks", options->tasks, "Tasks or suites (all: none)");
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
