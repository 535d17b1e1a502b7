// The verbs of the command line: one add_<verb>() per file of this folder.
//
// A verb adds its subcommand with options, examples and a callback. The callback does the work and
// throws assay::Error; an exit code other than 0 that is no error (a failed gate) goes to
// Session::exit_code. Standard output carries results only; progress and notes go to standard error.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace assay::harness {

struct Session {
  int exit_code = 0;
};

int run_command_line(int argc, char** argv);

// Appends "Examples:" with one command a line to a verb's help.
void set_examples(CLI::App& verb, std::initializer_list<std::string_view> examples);

// Reads a whole stream of JSON lines, one call per value, with errors naming "<stdin>:line".
void for_each_stdin_line(const std::function<void(std::string_view line, size_t number)>& body);

// Sizes such as 512M, 8G, 1.5GiB (powers of 1024). Throws usage.
size_t parse_bytes(std::string_view text);

void add_run(CLI::App& app, Session& session);
void add_rescore(CLI::App& app, Session& session);
void add_score(CLI::App& app, Session& session);
void add_generate(CLI::App& app, Session& session);
void add_tokenize(CLI::App& app, Session& session);
void add_inspect(CLI::App& app, Session& session);
void add_show_prompt(CLI::App& app, Session& session);
void add_list(CLI::App& app, Session& session);
void add_sandbox(CLI::App& app, Session& session);
void add_show(CLI::App& app, Session& session);
void add_compare(CLI::App& app, Session& session);
void add_table(CLI::App& app, Session& session);
void add_report(CLI::App& app, Session& session);
void add_data(CLI::App& app, Session& session);
void add_series(CLI::App& app, Session& session);
void add_gate(CLI::App& app, Session& session);
void add_explain(CLI::App& app, Session& session);
void add_export(CLI::App& app, Session& session);
void add_manage_store(CLI::App& app, Session& session);  // merge, import, rm, vacuum
void add_bench(CLI::App& app, Session& session);
void add_doctor(CLI::App& app, Session& session);
void add_watch(CLI::App& app, Session& session);
void add_runs_and_models(CLI::App& app, Session& session);

}  // namespace assay::harness
