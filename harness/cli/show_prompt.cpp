// assay show-prompt: the exact prompts of a task, without loading weights.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/utf8.h"
#include "engine/engine.h"
#include "harness/cli/data_root.h"
#include "harness/cli/verbs.h"
#include "tasks/task.h"

namespace assay::harness {

namespace {

struct Options {
  std::string task, variant, data, tokenizer, documents = "0";
  std::vector<std::filesystem::path> task_directories;
  int shots = -1;
  bool json = false, audit = false;
};

// "3", "2-5" or "all" -> [first, last].
std::pair<size_t, size_t> parse_range(const std::string& text, size_t size) {
  if (text == "all") return {0, size - 1};
  const auto number = [&](const std::string& part) -> size_t {
    if (part.empty() || part.find_first_not_of("0123456789") != std::string::npos ||
        part.size() > 12) {
      throw_usage("--doc \"" + text + "\" is no document", "write 3, 2-5 or all");
    }
    return std::stoull(part);
  };
  const size_t dash = text.find('-');
  const size_t first = number(text.substr(0, dash));
  const size_t last = dash == std::string::npos ? first : number(text.substr(dash + 1));
  if (first > last || last >= size) {
    throw_usage("--doc " + text + " is outside 0-" + std::to_string(size - 1));
  }
  return {first, last};
}

void print_text(const tasks::Task& task, size_t i, const tasks::Prompt& prompt,
                const engine::Tokenizer* tokenizer) {
  const auto heading = [](const std::string& text) { std::cout << "\x1b[1m" << text << "\x1b[0m\n"; };
  heading("== " + task.document(i).id + "  (" + task.name() + "@" + task.variant() + ", " +
          std::to_string(prompt.shots_used) + " shots)");
  const auto show = [&](const std::string& name, const std::string& text) {
    std::string title = "-- " + name + ": " + std::to_string(text.size()) + " bytes";
    if (tokenizer) {
      title += ", " + std::to_string(engine::encode_prompt(*tokenizer, text).size()) + " tokens";
    }
    heading(title);
    // Prompts are shown as they are, but never as commands to the terminal.
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      std::cout << utf8::printable(std::string_view(text).substr(begin, end - begin)) << '\n';
      begin = end + 1;
    }
  };
  if (prompt.contexts.empty()) show("context", prompt.context);
  for (size_t k = 0; k < prompt.contexts.size(); ++k) {
    show("context " + std::to_string(k), prompt.contexts[k]);
  }
  for (size_t k = 0; k < prompt.options.size(); ++k) {
    const bool gold = std::find(prompt.gold_options.begin(), prompt.gold_options.end(),
                                static_cast<int>(k)) != prompt.gold_options.end();
    std::cout << (gold ? " * " : "   ") << "\""
              << utf8::printable(prompt.options[k].continuation) << "\"";
    if (tokenizer) {
      const std::string& context =
          prompt.contexts.empty() ? prompt.context : prompt.contexts[k];
      const auto pair = engine::encode_pair(*tokenizer, context, prompt.options[k].continuation,
                                            engine::BoundaryPolicy::joint);
      std::cout << "  ids";
      for (const auto id : pair.continuation_ids) std::cout << ' ' << id;
      if (pair.boundary_merge) std::cout << "  (merges across the boundary)";
    }
    std::cout << '\n';
  }
  if (prompt.kind == tasks::RequestKind::generate) {
    std::cout << "   up to " << prompt.generation.max_new_tokens << " tokens, until";
    for (const auto& stop : prompt.generation.stop) std::cout << " \"" << utf8::printable(stop) << '"';
    std::cout << "\n   gold:";
    for (const auto& gold : prompt.gold_texts) std::cout << " \"" << utf8::printable(gold) << '"';
    std::cout << '\n';
  }
  std::cout << "   exemplars:";
  for (const auto& exemplar : prompt.exemplars) std::cout << ' ' << exemplar;
  std::cout << "\n\n";
}

// How many prompts end where the tokenizer would merge across the boundary.
void audit(const tasks::Task& task, const engine::Tokenizer& tokenizer,
           const tasks::TokenCounter& count) {
  size_t pairs = 0, merges = 0, documents = 0, double_bos = 0;
  std::string first;
  for (size_t i = 0; i < task.size(); ++i) {
    const tasks::Prompt prompt = task.prompt(i, count);
    bool merged = false;
    const auto check = [&](const std::string& context, const std::string& continuation) {
      if (continuation.empty()) return;
      const auto pair = engine::encode_pair(tokenizer, context, continuation,
                                            engine::BoundaryPolicy::joint);
      ++pairs;
      merges += pair.boundary_merge;
      merged |= pair.boundary_merge;
      double_bos += pair.literal_bos;
    };
    for (size_t k = 0; k < prompt.options.size(); ++k) {
      check(prompt.contexts.empty() ? prompt.context : prompt.contexts[k],
            prompt.options[k].continuation);
    }
    if (prompt.kind == tasks::RequestKind::generate) {
      check(prompt.context, prompt.gold_answer.continuation);
    }
    if (merged && documents++ == 0) first = task.document(i).id;
  }
  std::cout << task.name() << '@' << task.variant() << ": " << merges << " of " << pairs
            << " continuations merge across the boundary, in " << documents << " of "
            << task.size() << " documents" << (first.empty() ? "" : "; the first is " + first)
            << '\n';
  if (double_bos > 0) {
    std::cout << double_bos << " prompts begin with the literal begin token: it is not doubled\n";
  }
}

void show_prompt(const Options& options) {
  tasks::Catalog catalog;
  for (const auto& directory : options.task_directories) catalog.add_directory(directory);
  const std::vector<tasks::TaskChoice> choices = catalog.expand(options.task, options.variant);
  if (choices.size() != 1) throw_usage("show-prompt takes one task", "assay list tasks names them");
  tasks::Selection selection;
  selection.task = choices.front().task;
  selection.variant = choices.front().variant;
  selection.group = choices.front().group;
  selection.data_root = data_root(options.data);
  if (options.shots >= 0) selection.shots = options.shots;
  const tasks::Task task = tasks::Task::open(catalog, selection);
  std::unique_ptr<engine::Tokenizer> tokenizer;
  tasks::TokenCounter count;
  if (!options.tokenizer.empty()) {
    tokenizer = engine::Tokenizer::load(options.tokenizer);
    count = [&](std::string_view text) {
      return static_cast<int64_t>(engine::encode_prompt(*tokenizer, text).size());
    };
  }
  if (options.audit) {
    if (!tokenizer) throw_usage("--audit needs --tokenizer");
    return audit(task, *tokenizer, count);
  }
  const auto [first, last] = parse_range(options.documents, task.size());
  for (size_t i = first; i <= last; ++i) {
    const tasks::Prompt prompt = task.prompt(i, count);
    if (options.json) {
      std::cout << tasks::prompt_json(task, i, prompt) << '\n';
    } else {
      print_text(task, i, prompt, tokenizer.get());
    }
  }
}

}  // namespace

void add_show_prompt(CLI::App& app, Session&) {
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("show-prompt", "The exact prompts of a task, without loading weights");
  verb->add_option("TASK", options->task, "Task, or TASK:SUBJECT")->required();
  verb->add_option("--doc", options->documents, "Document number, a range A-B, or all")
      ->capture_default_str();
  verb->add_option("--variant", options->variant, "ds, lmeval, ...");
  verb->add_option("--shots", options->shots, "Exemplars instead of the task's number")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--data", options->data, kDataHelp)->type_name("DIR");
  verb->add_option("--tokenizer", options->tokenizer,
                   "Show token counts and boundaries for this tokenizer")
      ->type_name("FILE|DIR");
  verb->add_option("--tasks-dir", options->task_directories, "Folder with task files of your own")
      ->type_name("DIR");
  verb->add_flag("--audit", options->audit,
                 "Count prompts that end where the tokenizer would merge");
  verb->add_flag("--json", options->json, "One JSON object a document");
  set_examples(*verb, {"assay show-prompt mmlu:anatomy --doc 0 --data sample",
                       "assay show-prompt gsm8k --variant lmeval --doc all --json",
                       "assay show-prompt humaneval --audit --tokenizer MODEL_DIR"});
  verb->callback([options] { show_prompt(*options); });
}

}  // namespace assay::harness
