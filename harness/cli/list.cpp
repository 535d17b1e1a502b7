// assay list tasks|suites|runs|models
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>

#include "base/json.h"
#include "base/utf8.h"
#include "harness/cli/stored_runs.h"
#include "harness/cli/verbs.h"
#include "harness/terminal/words.h"
#include "results/scores.h"
#include "tasks/catalog.h"

namespace assay::harness {

namespace {

struct Options {
  StoreFlags store;
  std::vector<std::filesystem::path> task_directories;
  bool verbose = false, json = false;
};

tasks::Catalog open_catalog(const Options& options) {
  tasks::Catalog catalog;
  for (const auto& directory : options.task_directories) catalog.add_directory(directory);
  return catalog;
}

// In as many lines of 79 columns as they need, each from `column` on; the first has begun there.
void print_words(const std::string& words, size_t column) {
  std::cout << fill_lines(words, 79 - column, "\n" + std::string(column, ' ')) << '\n';
}

void print_card(const tasks::VariantInfo& variant) {
  const auto part = [](const char* name, const std::vector<std::string>& lines) {
    for (const auto& text : lines) {
      std::cout << "      " << utf8::padded(name, 11);
      print_words(text, 17);
    }
  };
  std::cout << "    " << utf8::padded(variant.name, 12) << ' ';
  print_words(variant.summary, 17);
  part("published", variant.card.published);
  part("inferred", variant.card.inferred);
  part("default", variant.card.defaults);
}

void list_tasks(const Options& options) {
  const tasks::Catalog catalog = open_catalog(options);
  if (options.json) {
    json::Writer out;
    out.begin_array();
    for (const tasks::TaskInfo& task : catalog.tasks()) {
      out.begin_object()
          .member("task", task.name)
          .member("title", task.title)
          .member("section", task.section)
          .member("origin", task.origin)
          .key("variants")
          .begin_array();
      for (const auto& variant : task.variants) out.value(variant.name);
      out.end_array().key("together").begin_object();
      for (const auto& set : task.sets) {
        out.key(set.name).begin_array();
        for (const auto& variant : set.variants) out.value(variant);
        out.end_array();
      }
      out.end_object().end_object();
    }
    std::cout << out.end_array().take() << '\n';
    return;
  }
  std::string section;
  for (const tasks::TaskInfo& task : catalog.tasks()) {
    if (task.section != section) {
      if (!section.empty()) std::cout << '\n';
      section = task.section;
      std::cout << section << '\n';
    }
    std::string names;
    for (const auto& variant : task.variants) names += variant.name + " ";
    for (const auto& set : task.sets) {
      std::string members;
      for (const auto& member : set.variants) members += (members.empty() ? "=" : "+") + member;
      names += set.name + members + " ";
    }
    // Variants in a column of their own.
    std::cout << "  " << utf8::padded(task.name, 16) << utf8::padded(task.title, 24);
    print_words(names, 42);
    if (options.verbose) {
      for (const auto& variant : task.variants) print_card(variant);
    }
  }
}

void list_suites(const Options& options) {
  const tasks::Catalog catalog = open_catalog(options);
  const std::vector<tasks::TaskInfo> known = catalog.tasks();
  for (const tasks::SuiteInfo& suite : catalog.suites()) {
    // A name that a task has too is the task's (tasks/catalog.h).
    const bool shared = std::any_of(known.begin(), known.end(),
                                    [&](const tasks::TaskInfo& task) { return task.name == suite.name; });
    std::cout << utf8::padded((shared ? "suite:" : "") + suite.name, 16) << suite.title;
    if (suite.limit > 0) std::cout << " (at most " << suite.limit << " documents a task, the same every time)";
    std::cout << '\n';
    if (options.verbose) {
      std::string members;
      for (const std::string& member : suite.members) members += member + " ";
      std::cout << "    ";
      print_words(members, 4);
      std::cout << '\n';
    }
  }
}

// `runs` or `models` below `parent`: of the whole program, or of `list`.
void add_stored(CLI::App& parent, const char* name, const char* help,
                results::Table (*table)(std::span<const results::RunSummary>),
                std::string (*json)(std::span<const results::RunSummary>)) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = parent.add_subcommand(name, help);
  add_store_flags(*verb, options->store, true);
  verb->add_flag("--json", options->json, "Print one JSON array");
  verb->callback([options, table, json] {
    const results::Store store = options->store.open();
    const auto runs = results::list_runs(store);
    if (options->json) std::cout << json(runs) << '\n';
    else options->store.print(table(runs));
  });
}

void add_stored_verbs(CLI::App& parent) {
  add_stored(parent, "runs", "Runs of a store", results::runs_list, results::runs_json);
  add_stored(parent, "models", "Checkpoints of a store", results::models_list,
             results::models_json);
}

}  // namespace

void add_runs_and_models(CLI::App& app, Session&) { add_stored_verbs(app); }

void add_list(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("list", "Tasks and suites, runs and checkpoints");
  verb->require_subcommand(1);
  CLI::App* tasks = verb->add_subcommand("tasks", "Benchmarks and their variants");
  CLI::App* suites = verb->add_subcommand("suites", "Named lists of tasks");
  for (CLI::App* kind : {tasks, suites}) {
    kind->add_option("--tasks-dir", options->task_directories,
                     "Folder with task files of your own")
        ->type_name("DIR");
    kind->add_flag("--verbose,-v", options->verbose,
                   "With what is published, inferred and by default");
  }
  tasks->add_flag("--json", options->json, "Print one JSON array");
  add_stored_verbs(*verb);
  set_examples(*verb, {"assay list tasks --verbose", "assay list suites",
                       "assay list runs --store assay.sqlite"});
  tasks->callback([options] { list_tasks(*options); });
  suites->callback([options] { list_suites(*options); });
}

}  // namespace assay::harness
