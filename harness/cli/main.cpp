// Builds the command line, runs the chosen verb, and turns every failure into one line and a code.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <new>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "engine/processes.h"
#include "harness/cli/verbs.h"
#include "harness/terminal/words.h"

namespace assay::harness {

namespace {

// Help for a terminal of 80 columns. A verb's description may have more than one line; in the list of
// verbs the first one tells enough.
class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_option_desc(const CLI::Option* option) const override {
    return fill_lines(CLI::Formatter::make_option_desc(option), room(), "\n");
  }
  std::string make_subcommand(const CLI::App* verb) const override {
    std::string name = "  " + verb->get_display_name(true);
    name.resize(std::max(name.size() + 2, get_column_width()), ' ');
    const std::string text = verb->get_description();
    return name + fill_lines(text.substr(0, text.find('\n')), room(), "\n" + std::string(get_column_width(), ' ')) +
           "\n";
  }

 private:
  size_t room() const { return 80 - get_column_width(); }  // of the right column
};

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

// CLI11 looks for what is required before it looks at what is unknown, so that a misspelt option is
// reported as a missing one. The first word that no verb on the way knows, with the nearest known one.
std::string unknown_option(const std::vector<const CLI::App*>& verbs, int argc, char** argv) {
  for (int k = 1; k < argc; ++k) {
    const std::string word(argv[k], 0, std::string_view(argv[k]).find('='));
    if (word == "--") break;
    if (word.size() < 3 || !word.starts_with("--")) continue;
    std::vector<std::string> names;
    bool known = false;
    for (const CLI::App* verb : verbs) {
      for (const CLI::Option* option : verb->get_options()) {
        known |= option->check_name(word);
        for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
      }
    }
    if (known) continue;
    const std::vector<std::string_view> views(names.begin(), names.end());
    const std::string nearest = nearest_word(word, views.data(), views.size());
    return "there is no option " + word + (nearest.empty() ? "" : ", did you mean " + nearest + "?");
  }
  return {};
}

void print_parse_error(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  std::string words;
  std::vector<const CLI::App*> verbs = {&app};
  while (!verbs.back()->get_subcommands().empty()) {
    verbs.push_back(verbs.back()->get_subcommands().front());
    words += verbs.back()->get_name() + " ";
  }
  const std::string unknown = unknown_option(verbs, argc, argv);
  print_error(utf8::printable(unknown.empty() ? error.what() : unknown) + " (see assay " + words +
              "--help)");
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
    print_parse_error(app, error, argc, argv);
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

// Descriptors 0 to 2 that the caller closed would be taken by the next files that are opened, and
// results written into those. A standard output that was closed says so when it is written to.
void occupy_standard_descriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) (void)open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY);
  }
}

int run_verb(int argc, char** argv) {
  CLI::App app{
      "Scores language-model checkpoints: loads the weights, runs benchmarks in one\n"
      "planned pass, judges the answers, and keeps every number in SQLite.",
      "assay"};
  app.set_version_flag("--version", "assay " ASSAY_VERSION);
  app.require_subcommand(1);
  app.formatter(std::make_shared<HelpFormatter>());
  app.get_formatter()->column_width(26);
  Session session;
  add_run(app, session);
  add_watch(app, session);
  add_rescore(app, session);
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
  add_runs_and_models(app, session);
  add_data(app, session);
  add_sandbox(app, session);
  add_bench(app, session);
  add_doctor(app, session);
  if (argc == 1) {
    std::cout << app.help();
    return static_cast<int>(ErrorKind::usage);
  }
  const int code = parse_and_run(app, session, argc, argv);
  std::cout.flush();
  if (!std::cout && code == 0) {
    print_error("standard output could not be written (is it closed, or the disk full?)");
    return static_cast<int>(ErrorKind::resource);
  }
  return code;
}

}  // namespace

// Started by mpirun or srun, the first process runs the verb and the others compute for its engines.
int run_command_line(int argc, char** argv) {
  occupy_standard_descriptors();
  try {
    engine::Processes processes;
    if (!processes.first()) return processes.serve();
    const int code = run_verb(argc, argv);
    processes.end(code);
    return code;
  } catch (const Error& error) {
    print_error(error.what());
    return error.exit_code();
  }
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
