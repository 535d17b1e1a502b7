// Builds the command line, runs the chosen verb, and turns every failure into one line and a code.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "harness/cli/verbs.h"

namespace assay::harness {

namespace {

void print_error(std::string_view message) {
  const bool colour = ::isatty(STDERR_FILENO) != 0;
  std::cerr << (colour ? "\x1b[31;1merror:\x1b[0m " : "error: ") << message << '\n';
}

// CLI11 reports an unknown verb as an extra argument; people want to know which one they meant.
[[noreturn]] void unknown_verb(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands({})) names.push_back(verb->get_name());
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::string nearest = nearest_word(word, views.data(), views.size());
  throw_usage("there is no verb \"" + word + "\"",
              nearest.empty() ? "assay --help lists the verbs" : "did you mean \"" + nearest + "\"?");
}

int parse_and_run(CLI::App& app, const Session& session, int argc, char** argv) {
  try {
    if (argc > 1 && argv[1][0] != '-') {
      try {
        (void)app.get_subcommand(argv[1]);
      } catch (const CLI::OptionNotFound&) {
        unknown_verb(app, argv[1]);
      }
    }
    app.parse(argc, argv);
    return session.exit_code;
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help() << std::flush;
    return 0;
  } catch (const CLI::CallForAllHelp&) {
    std::cout << app.help("", CLI::AppFormatMode::All) << std::flush;
    return 0;
  } catch (const CLI::CallForVersion& version) {
    std::cout << version.what() << '\n';
    return 0;
  } catch (const CLI::ParseError& error) {
    const auto verbs = app.get_subcommands();
    print_error(utf8::printable(error.what()) + " (see assay " +
                (verbs.empty() ? std::string() : verbs.front()->get_name() + " ") + "--help)");
    return static_cast<int>(ErrorKind::usage);
  } catch (const Error& error) {
    print_error(error.what());
    return error.exit_code();
  } catch (const std::bad_alloc&) {
    print_error("out of memory (a smaller --memory or --pass-tokens may help)");
    return static_cast<int>(ErrorKind::resource);
  } catch (const std::exception& error) {
    print_error(utf8::printable(error.what()) + " (please report this)");
    return static_cast<int>(ErrorKind::internal);
  }
}

}  // namespace

int run_command_line(int argc, char** argv) {
  CLI::App app{
      "Scores language-model checkpoints: loads the weights, runs benchmarks in one\n"
      "planned pass, judges the answers, and keeps every number in SQLite.",
      "assay"};
  app.set_version_flag("--version", "assay " ASSAY_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(26);
  Session session;
  add_run(app, session);
  add_show(app, session);
  add_compare(app, session);
  add_table(app, session);
  add_report(app, session);
  add_series(app, session);
  add_gate(app, session);
  add_explain(app, session);
  add_export(app, session);
  add_manage_store(app, session);
  add_inspect(app, session);
  add_score(app, session);
  add_generate(app, session);
  add_tokenize(app, session);
  add_show_prompt(app, session);
  add_list(app, session);
  add_data(app, session);
  add_sandbox(app, session);
  add_doctor(app, session);
  if (argc == 1) {
    std::cout << app.help();
    return static_cast<int>(ErrorKind::usage);
  }
  const int code = parse_and_run(app, session, argc, argv);
  std::cout.flush();
  if (!std::cout && code == 0) {
    print_error("standard output could not be written (is the disk full?)");
    return static_cast<int>(ErrorKind::resource);
  }
  return code;
}

void set_examples(CLI::App& verb, std::initializer_list<std::string_view> examples) {
  std::string footer = "Examples:";
  for (const std::string_view example : examples) footer += "\n  " + std::string(example);
  verb.footer(footer);
}

void for_each_stdin_line(const std::function<void(std::string_view, size_t)>& body) {
  std::string line;
  size_t number = 0;
  while (std::getline(std::cin, line)) {
    ++number;
    if (line.find_first_not_of(" \t\r") != std::string::npos) body(line, number);
  }
}

size_t parse_bytes(std::string_view text) {
  size_t used = 0;
  double value = -1;
  try {
    value = std::stod(std::string(text), &used);
  } catch (const std::exception&) {
  }
  std::string unit(text.substr(used));
  for (char& c : unit) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  constexpr std::string_view kUnits[] = {"", "K", "M", "G", "T"};
  double scale = 1;
  for (const std::string_view name : kUnits) {
    const std::string prefix(name);
    if (value > 0 && (unit == prefix || unit == prefix + "B" || unit == prefix + "IB")) {
      return static_cast<size_t>(value * scale);
    }
    scale *= 1024;
  }
  throw_usage("\"" + std::string(text) + "\" is no size", "write 512M, 8G or 1.5G");
}

}  // namespace assay::harness
