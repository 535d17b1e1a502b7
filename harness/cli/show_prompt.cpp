// assay show-prompt: the exact prompts of a task, without loading weights.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "engine/engine.h"
#include "harness/cli/data_root.h"
#include "harness/cli/verbs.h"
#include "harness/terminal/words.h"
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
  constexpr std::string_view kExemplars = "   exemplars: ";
  std::cout << kExemplars
            << fill_lines(prompt.exemplars, 79 - kExemplars.size(), "\n" + std::string(kExemplars.size(), ' '), " ")
            << "\n\n";
}

// What a tokenizer does at the ends of a task's prompts. A prompt is a distinct context of a
// document; its continuations are the options or the reference answer.
struct Audit {
  size_t documents = 0, prompts = 0, continuations = 0;
  size_t merging_documents = 0, merging_prompts = 0, merging_continuations = 0;
  size_t literal_bos = 0;       // prompts that begin with the literal begin token
  size_t without_answer = 0;    // prompts that nothing could be tried behind
  std::vector<std::string> first;  // ids of the first merging documents

  void add(const tasks::Task& task, size_t document, const tasks::Prompt& prompt,
           const engine::Tokenizer& tokenizer);
};

void Audit::add(const tasks::Task& task, size_t document, const tasks::Prompt& prompt,
                const engine::Tokenizer& tokenizer) {
  constexpr size_t kNamed = 3;
  bool document_merges = false;
  const auto check = [&](const std::string& context, std::span<const std::string_view> tried) {
    const engine::ContextEncoder encoder(tokenizer, context, engine::BoundaryPolicy::joint);
    bool merges = false, any = false;
    for (const std::string_view continuation : tried) {
      if (continuation.empty()) continue;
      any = true;
      ++continuations;
      const bool merge = encoder.with(continuation).boundary_merge;
      merging_continuations += merge;
      merges |= merge;
    }
    ++prompts;
    merging_prompts += merges;
    without_answer += !any;
    literal_bos += encoder.literal_bos();
    document_merges |= merges;
  };
  std::vector<std::string_view> all;
  for (const auto& option : prompt.options) all.push_back(option.continuation);
  if (prompt.kind == tasks::RequestKind::generate) all = {prompt.gold_answer.continuation};
  if (prompt.contexts.empty()) {
    check(prompt.context, all);
  } else {
    for (size_t k = 0; k < prompt.contexts.size(); ++k) {
      check(prompt.contexts[k], std::span(all).subspan(k, 1));
    }
  }
  ++documents;
  merging_documents += document_merges;
  if (document_merges && first.size() < kNamed) first.push_back(task.document(document).id);
}

void print_audit(const tasks::Task& task, const Audit& audit, bool as_json) {
  if (as_json) {
    json::Writer out;
    out.begin_object()
        .member("task", task.name())
        .member("variant", task.variant())
        .member("documents", audit.documents)
        .member("prompts", audit.prompts)
        .member("continuations", audit.continuations)
        .member("merging_documents", audit.merging_documents)
        .member("merging_prompts", audit.merging_prompts)
        .member("merging_continuations", audit.merging_continuations)
        .member("prompts_without_answer", audit.without_answer)
        .member("literal_bos", audit.literal_bos)
        .key("first")
        .begin_array();
    for (const std::string& id : audit.first) out.value(id);
    std::cout << out.end_array().end_object().take() << '\n';
    return;
  }
  std::cout << task.name() << '@' << task.variant() << ": " << audit.merging_prompts << " of "
            << audit.prompts << " prompts end where the tokenizer merges across the boundary\n  "
            << audit.merging_continuations << " of " << audit.continuations
            << " continuations, in " << audit.merging_documents << " of " << audit.documents
            << " documents\n";
  if (!audit.first.empty()) {
    std::cout << "  first:";
    for (const std::string& id : audit.first) std::cout << ' ' << utf8::printable(id);
    std::cout << '\n';
  }
  if (audit.without_answer > 0) {
    std::cout << "  " << audit.without_answer
              << " prompts have no continuation to try (no options, no reference answer)\n";
  }
  if (audit.literal_bos > 0) {
    std::cout << "  " << audit.literal_bos
              << " prompts begin with the literal begin token: it is not doubled\n";
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
    if (!tokenizer) {
      throw_usage("--audit needs a tokenizer", "name a tokenizer.json or its folder: --tokenizer");
    }
    if (task.kind() == tasks::RequestKind::rolling) {
      throw_usage("--audit: " + task.name() + " scores whole texts, which have no boundary");
    }
    Audit audit;
    for (size_t i = 0; i < task.size(); ++i) audit.add(task, i, task.prompt(i, count), *tokenizer);
    return print_audit(task, audit, options.json);
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
                 "Count prompts of all documents that end where the\n"
                 "tokenizer would merge");
  verb->add_flag("--json", options->json, "One JSON object a document");
  set_examples(*verb, {"assay show-prompt mmlu:miscellaneous --doc 0 --data sample",
                       "assay show-prompt gsm8k --variant lmeval --doc all --json",
                       "assay show-prompt humaneval --audit --tokenizer MODEL_DIR"});
  verb->callback([options] { show_prompt(*options); });
}

}  // namespace assay::harness
