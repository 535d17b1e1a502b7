#include "sandbox/case_file.h"

namespace assay::sandbox {

NamedProgram read_case(json::Value line) {
  NamedProgram named;
  named.id = line.at("id").string();
  const std::string prompt = line.string_or("prompt", "");
  const std::string solution = prompt + line.string_or("completion", "");
  const std::string kind(line.at("kind").string());
  if (kind == "call") {
    CallTests tests;
    tests.solution = solution;
    tests.context = prompt;
    tests.tests = line.at("test").string();
    tests.entry_point = line.string_or("entry_point", "");
    if (line.has("solution_names")) tests.solution_names = line.at("solution_names").strings();
    named.program.tests = std::move(tests);
  } else if (kind == "stdio") {
    StdioTests tests;
    tests.solution = solution;
    tests.source = cases({{line.string_or("stdin", ""), line.string_or("expected_stdout", "")}});
    named.program.tests = std::move(tests);
  } else {
    line.at("kind").fail("unknown kind '" + kind + "'", "use call or stdio");
  }
  named.program.repeat = static_cast<int>(line.integer_or("repeat", 1));
  Limits& limits = named.program.limits;
  if (const json::Value given = line.find("limits"); given.exists() && !given.is_null()) {
    if (given.has("time_s")) {
      limits.cpu_seconds = limits.wall_seconds = given.at("time_s").number();
    }
    limits.memory_bytes = given.integer_or("memory_mb", limits.memory_bytes >> 20) << 20;
    limits.processes = static_cast<int>(given.integer_or("processes", limits.processes));
    limits.output_bytes = given.integer_or("output_kb", limits.output_bytes >> 10) << 10;
    if (!(limits.cpu_seconds > 0 && limits.cpu_seconds <= 86400) || limits.memory_bytes <= 0 ||
        limits.processes <= 0 || limits.output_bytes <= 0) {
      given.fail("a limit is not positive", "leave it out for the default");
    }
  }
  return named;
}

std::string result_line(const std::string& id, const Verdict& verdict) {
  json::Writer writer;
  writer.begin_object().member("id", id).end_object();
  std::string line = writer.take();
  line.back() = ',';
  return line + verdict.json().substr(1);
}

}  // namespace assay::sandbox
