#include "sandbox/case_file.h"

#include <algorithm>
#include <iterator>

#include "base/error.h"

namespace assay::sandbox {
namespace {

constexpr std::string_view kMembers[] = {
    "id",     "kind",           "prompt", "completion",      "test",          "entry_point",
    "stdin",  "solution_names", "repeat", "expected_stdout", "limits",        "expect",
    "markers", "attempts",      "arch",   "runner_env",      "check_after_s",
    "time_s", "memory_mb",      "processes", "output_kb"};
constexpr size_t kLimitMembers = 4;  // the last ones

bool known(std::string_view name, bool limit) {
  const auto* begin = std::begin(kMembers);
  const auto* end = std::end(kMembers);
  const auto* split = end - kLimitMembers;
  return limit ? std::find(split, end, name) != end : std::find(begin, split, name) != split;
}

int64_t whole(json::Value object, std::string_view name, int64_t fallback, int64_t most) {
  const int64_t value = object.integer_or(name, fallback);
  if (value < 1 || value > most) {
    object.at(name).fail("must be from 1 to " + std::to_string(most), "leave it out for the default");
  }
  return value;
}

}  // namespace

std::string member_suggestion(const std::string& unknown) {
  const std::string near = nearest_word(unknown, kMembers, std::size(kMembers));
  return near.empty() ? "" : "did you mean \"" + near + "\"?";
}

NamedProgram read_case(json::Value line) {
  NamedProgram named;
  named.id = line.at("id").string();
  line.for_each_member([&](std::string_view name, json::Value) {
    if (!known(name, false)) named.unknown.emplace_back(name);
  });
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
  named.program.repeat = static_cast<int>(whole(line, "repeat", 1, 100'000));
  Limits& limits = named.program.limits;
  if (const json::Value given = line.find("limits"); given.exists() && !given.is_null()) {
    given.for_each_member([&](std::string_view name, json::Value) {
      if (!known(name, true)) named.unknown.emplace_back(name);
    });
    if (given.has("time_s")) {
      limits.cpu_seconds = limits.wall_seconds = given.at("time_s").number();
      if (!(limits.cpu_seconds > 0 && limits.cpu_seconds <= 86400)) {
        given.at("time_s").fail("must be above 0 and at most 86400", "leave it out for the default");
      }
    }
    limits.memory_bytes = whole(given, "memory_mb", limits.memory_bytes >> 20, 1 << 30) << 20;
    limits.processes = static_cast<int>(whole(given, "processes", limits.processes, 1'000'000));
    limits.output_bytes = whole(given, "output_kb", limits.output_bytes >> 10, 1 << 30) << 10;
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
