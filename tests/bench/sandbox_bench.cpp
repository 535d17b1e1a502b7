// Bars of the sandbox room: processor time and rate per program, beside a plain start of the
// interpreter; ten thousand programs in a row. A target, never a test: timings belong to a quiet
// machine.
//
// Processor time is that of this process and all its descendants, live and reaped, so that servers
// and supervisor count. Work that the kernel puts off (freeing namespaces) is nobody's.
#include <benchmark/benchmark.h>
#include <dirent.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "sandbox/sandbox.h"
#include "tests/support/paths.h"

namespace assay::sandbox {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

struct Process {
  pid_t parent = 0;
  double cpu_seconds = 0;  // its own and that of children it has waited for
};

std::map<pid_t, Process> processes() {
  std::map<pid_t, Process> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream file(entry.path() / "stat");
    std::string line;
    if (!std::getline(file, line)) continue;
    std::istringstream fields(line.substr(line.rfind(')') + 1));
    std::string skip;
    Process process;
    double ticks = 0;
    fields >> skip >> process.parent;
    for (int i = 5; i <= 13; ++i) fields >> skip;
    for (int i = 14; i <= 17; ++i) {
      double value = 0;
      fields >> value;
      ticks += value;
    }
    process.cpu_seconds = ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
    found[static_cast<pid_t>(std::stol(name))] = process;
  }
  return found;
}

std::vector<Process> descendants() {
  std::vector<Process> found;
  const std::map<pid_t, Process> all = processes();
  for (const auto& [id, process] : all) {
    for (pid_t up = process.parent; up > 1;) {
      if (up == getpid()) {
        found.push_back(process);
        break;
      }
      const auto parent = all.find(up);
      up = parent == all.end() ? 0 : parent->second.parent;
    }
  }
  return found;
}

// Of this process and of everything below it.
double cpu_seconds() {
  rusage own;
  getrusage(RUSAGE_SELF, &own);
  double sum = seconds(own.ru_utime) + seconds(own.ru_stime);
  for (const Process& process : descendants()) sum += process.cpu_seconds;
  return sum;
}

// HumanEval's reference solutions where the shared folder is there, else one function.
std::vector<Program> call_programs() {
  std::vector<Program> programs;
  const std::filesystem::path path = test_paths::shared() / "datasets/humaneval/HumanEval.jsonl";
  const auto add = [&](const std::string& prompt, const std::string& body, const std::string& tests,
                       const std::string& entry_point) {
    CallTests made;
    made.solution = prompt + body;
    made.context = prompt;
    made.tests = tests;
    made.entry_point = entry_point;
    Program program;
    program.tests = std::move(made);
    programs.push_back(std::move(program));
  };
  if (std::filesystem::exists(path)) {
    json::for_each_line(read_file(path), path, [&](json::Value line, size_t) {
      add(std::string(line.at("prompt").string()),
          std::string(line.at("canonical_solution").string()),
          std::string(line.at("test").string()), std::string(line.at("entry_point").string()));
    });
  } else {
    add("def add(a, b):\n    \"\"\"The sum.\"\"\"\n", "    return a + b\n",
        "def check(candidate):\n    assert candidate(2, 3) == 5\n    assert candidate(-1, 1) == "
        "0\n",
        "add");
  }
  return programs;
}

std::vector<Program> stdio_programs() {
  StdioTests tests;
  tests.solution = "n = int(input())\nprint(sum(map(int, input().split())))\n";
  tests.source = cases({{"3\n1 2 3\n", "6\n"}});
  Program program;
  program.tests = std::move(tests);
  return {program};
}

// `count` programs, all of which must pass; false if one did not.
bool run(Sandbox& sandbox, const std::vector<Program>& programs, int count,
         benchmark::State& state) {
  std::vector<Program> batch;
  for (int i = 0; i < count; ++i)
    batch.push_back(programs[static_cast<size_t>(i) % programs.size()]);
  for (const Verdict& verdict : sandbox.run_all(std::move(batch))) {
    if (verdict.passed()) continue;
    state.SkipWithError(("a correct program did not pass: " + verdict.json()).c_str());
    return false;
  }
  return true;
}

std::unique_ptr<Sandbox> open(benchmark::State& state, Level level, int workers) {
  Options options;
  options.force_level = level;
  options.workers = workers;
  try {
    auto sandbox = std::make_unique<Sandbox>(options);
    state.SetLabel("level " + std::string(level_name(sandbox->probe().level)));
    return sandbox;
  } catch (const Error& error) {
    state.SkipWithError(error.what());
    return nullptr;
  }
}

// What `subprocess` per program costs before any isolation. Beside it the sandbox is measured.
void BM_InterpreterStart(benchmark::State& state) {
  char* const arguments[] = {const_cast<char*>("python3"), const_cast<char*>("-I"),
                             const_cast<char*>("-c"), const_cast<char*>("pass"), nullptr};
  double cpu = 0;
  for (auto _ : state) {
    pid_t child = 0;
    rusage usage = {};
    if (posix_spawn(&child, "/usr/bin/python3", nullptr, nullptr, arguments, environ) != 0 ||
        wait4(child, nullptr, 0, &usage) != child) {
      state.SkipWithError("/usr/bin/python3 does not start");
      break;
    }
    cpu += seconds(usage.ru_utime) + seconds(usage.ru_stime);
  }
  state.counters["cpu_ms"] = 1e3 * cpu / static_cast<double>(state.iterations());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_InterpreterStart)->Unit(benchmark::kMillisecond)->UseRealTime();

constexpr int kPrograms = 328;

// Arguments: level (0: A), workers. Bars on two idle cores: calls 8 CPU-ms and 200/s, whole
// programs 5 CPU-ms and 350/s.
void measure(benchmark::State& state, const std::vector<Program>& programs) {
  const auto sandbox =
      open(state, static_cast<Level>(state.range(0)), static_cast<int>(state.range(1)));
  // Every worker gets its servers.
  if (!sandbox || !run(*sandbox, programs, 8 * static_cast<int>(state.range(1)), state)) return;
  const double before = cpu_seconds();
  for (auto _ : state) {
    if (!run(*sandbox, programs, kPrograms, state)) return;
  }
  const double count = static_cast<double>(state.iterations() * kPrograms);
  state.counters["cpu_ms"] = 1e3 * (cpu_seconds() - before) / count;
  state.SetItemsProcessed(state.iterations() * kPrograms);
}
void BM_Call(benchmark::State& state) { measure(state, call_programs()); }
void BM_Stdio(benchmark::State& state) { measure(state, stdio_programs()); }
void levels_and_workers(benchmark::internal::Benchmark* benchmark) {
  for (int level = 0; level < 3; ++level) {
    for (const int workers : {1, 2, 4}) benchmark->Args({level, workers});
  }
}
BENCHMARK(BM_Call)
    ->Apply(levels_and_workers)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->Iterations(3);
BENCHMARK(BM_Stdio)
    ->Apply(levels_and_workers)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->Iterations(3);

size_t entries(const char* directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> all(opendir(directory), closedir);
  size_t count = 0;
  while (all && readdir(all.get())) ++count;
  return count;
}
size_t lines(const char* path) {
  std::ifstream file(path);
  size_t count = 0;
  for (std::string line; std::getline(file, line);) ++count;
  return count;
}
size_t control_groups() {
  std::error_code error;
  size_t count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(
           "/sys/fs/cgroup", std::filesystem::directory_options::skip_permission_denied, error)) {
    if (entry.path().filename().string().rfind("slot-", 0) == 0) ++count;
  }
  return count;
}
double resident_kib() {
  std::ifstream file("/proc/self/statm");
  double total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1024;
}

// Bars: no growth, and the last thousand at least at 90 % of the rate of the first. A thousand programs
// and their verdicts are in memory at once, so that one round comes before the first look: memory that
// the allocator keeps for the next round is no growth. What grows with the programs grows in both halves.
void BM_TenThousand(benchmark::State& state) {
  const std::vector<Program> programs = call_programs();
  const auto sandbox = open(state, static_cast<Level>(state.range(0)), 2);
  if (!sandbox || !run(*sandbox, programs, 1000, state)) return;
  for (auto _ : state) {
    double first = 0, last = 0;
    const double resident = resident_kib();
    double resident_half = resident;
    const size_t descriptors = entries("/proc/self/fd"), mounts = lines("/proc/self/mountinfo"),
                 groups = control_groups(), alive = descendants().size();
    for (int thousand = 0; thousand < 10; ++thousand) {
      const auto start = Clock::now();
      if (!run(*sandbox, programs, 1000, state)) return;
      last = 1000 / seconds_since(start);
      if (thousand == 0) first = last;
      if (thousand == 4) resident_half = resident_kib();
    }
    const auto growth = [](size_t after, size_t before) {
      return static_cast<double>(after) - static_cast<double>(before);
    };
    state.counters["first_per_s"] = first;
    state.counters["last_per_s"] = last;
    state.counters["rss_growth_kib_1st_half"] = resident_half - resident;
    state.counters["rss_growth_kib_2nd_half"] = resident_kib() - resident_half;
    state.counters["fd_growth"] = growth(entries("/proc/self/fd"), descriptors);
    state.counters["mount_growth"] = growth(lines("/proc/self/mountinfo"), mounts);
    state.counters["cgroup_growth"] = growth(control_groups(), groups);
    state.counters["process_growth"] = growth(descendants().size(), alive);
  }
  state.SetItemsProcessed(10'000 * state.iterations());
}
BENCHMARK(BM_TenThousand)->DenseRange(0, 2)->Unit(benchmark::kSecond)->UseRealTime()->Iterations(1);

}  // namespace
}  // namespace assay::sandbox
