// assay sandbox run CASES.jsonl: judges programs without a model or a benchmark.
#include "sandbox/sandbox.h"

#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <future>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "harness/cli/verbs.h"
#include "sandbox/case_file.h"

namespace assay::harness {

namespace {

struct Options {
  std::filesystem::path file;
  std::string level = "auto";
  sandbox::Options sandbox;
};

// Cases may ask for variables in our own environment, to see that programs do not get them.
void set_environment(json::Value line) {
  const json::Value variables = line.find("runner_env");
  if (!variables.exists()) return;
  variables.for_each_member([](std::string_view name, json::Value value) {
    setenv(std::string(name).c_str(), std::string(value.string()).c_str(), 1);
  });
}

std::string read_input(const std::filesystem::path& file) {
  if (file != "-") return read_file(file);
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

std::vector<sandbox::NamedProgram> read_cases(const std::filesystem::path& file) {
  std::vector<sandbox::NamedProgram> programs;
  std::set<std::string> reported;
  const std::string where = file == "-" ? "standard input" : file.string();
  json::for_each_line(read_input(file), where, [&](json::Value line, size_t number) {
    programs.push_back(sandbox::read_case(line));
    for (const std::string& name : programs.back().unknown) {
      if (!reported.insert(name).second) continue;
      const std::string suggestion = sandbox::member_suggestion(name);
      std::cerr << "warning: " << where << ':' << number << ": member \"" << name
                << "\" is not known and has no effect"
                << (suggestion.empty() ? "" : " (" + suggestion + ")") << '\n';
    }
    set_environment(line);
  });
  if (programs.empty()) throw_bad_input("there is no case in it", where, "one JSON object a line");
  return programs;
}

void run(const Options& options, Session& session) {
  sandbox::Options sandbox_options = options.sandbox;
  if (options.level != "auto") {
    const auto minimum = sandbox::parse_level(options.level);
    if (!minimum) {
      throw_usage("--sandbox knows no level \"" + options.level + "\"", "A, B, C or auto");
    }
    sandbox_options.minimum_level = *minimum;
  }
  std::vector<sandbox::NamedProgram> programs = read_cases(options.file);
  sandbox::Sandbox sandbox(sandbox_options);
  std::cerr << "sandbox: " << sandbox.probe().json() << '\n';

  std::vector<std::future<sandbox::Verdict>> verdicts;
  for (sandbox::NamedProgram& named : programs) {
    verdicts.push_back(sandbox.submit(std::move(named.program)));
  }
  std::map<std::string_view, int> counts;
  for (size_t i = 0; i < programs.size(); ++i) {
    const sandbox::Verdict verdict = verdicts[i].get();
    ++counts[sandbox::outcome_name(verdict.outcome)];
    std::cout << sandbox::result_line(programs[i].id, verdict) << std::endl;
  }
  std::cerr << "sandbox:";
  for (const auto& [name, count] : counts) std::cerr << ' ' << count << ' ' << name;
  std::cerr << '\n';
  if (counts.contains(sandbox::outcome_name(sandbox::Outcome::sandbox_error))) {
    session.exit_code = static_cast<int>(ErrorKind::resource);
  }
}

}  // namespace

void add_sandbox(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("sandbox", "Judge Python programs on their own");
  verb->require_subcommand(1);
  CLI::App* run_verb =
      verb->add_subcommand("run", "One line of JSON a case: verdict, reason and evidence");
  run_verb->add_option("CASES", options->file,
                       "JSON lines: program, tests or stdin, limits; - is standard input")
      ->required()
      ->type_name("FILE");
  run_verb->add_option("--sandbox", options->level, "Refuse below this level of isolation")
      ->type_name("A|B|C|auto");
  run_verb->add_option("--workers", options->sandbox.workers, "Programs at the same time; 0: as many as processors")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  run_verb->add_option("--python", options->sandbox.python, "Interpreter inside the sandbox")
      ->type_name("FILE");
  set_examples(*run_verb, {"assay sandbox run cases.jsonl --sandbox A --workers 2 > verdicts.jsonl",
                           "generate | assay sandbox run -"});
  run_verb->callback([options, &session] { run(*options, session); });
}

}  // namespace assay::harness
