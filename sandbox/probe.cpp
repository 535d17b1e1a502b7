#include "sandbox/probe.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "sandbox/embedded.h"
#include "sandbox/guard/landlock.h"
#include "sandbox/purge.h"

namespace assay::sandbox {
namespace {

constexpr time_t kAbandonedSeconds = 10;  // a janitor at work needs less

std::string describe(const Verdict& verdict) {
  std::string text(outcome_name(verdict.outcome));
  if (!verdict.reason.empty()) text += " (" + verdict.reason + ")";
  if (!verdict.detail.empty()) text += ": " + utf8::printable(verdict.detail);
  if (!verdict.stdout_text.empty()) text += "; " + utf8::printable(verdict.stdout_text);
  if (!verdict.stderr_text.empty()) text += "; " + utf8::printable(verdict.stderr_text);
  return text;
}

// Runs programs through the whole machinery: one that tries to get out, one that must pass and one
// that must not.
void prove(Shared& shared, const std::string& canary) {
  Worker worker(shared, 0);
  const bool forks = shared.environment.level == Level::a;
  Program program;
  program.limits.cpu_seconds = 20;
  program.tests = StdioTests{"CANARY = '" + canary + "'\nFORKS = " + (forks ? "True" : "False") +
                                 "\n" + std::string(embedded::probe),
                             cases({{"", "done\n"}}), nullptr, false};
  const Verdict denied = worker.judge(program);
  if (!denied.passed()) {
    throw_resource("a forbidden act was not refused or a program does not run: " + describe(denied),
                   "sandbox probe");
  }
  CallTests tests;
  tests.solution = "def twice(x):\n    return 2 * x\n";
  tests.tests = "def check(candidate):\n    assert candidate(21) == 42\n";
  tests.entry_point = "twice";
  program.tests = tests;
  const Verdict right = worker.judge(program);
  if (!right.passed()) {
    throw_resource("a correct program does not pass: " + describe(right), "sandbox probe");
  }
  tests.solution = "def twice(x):\n    return x\n";
  program.tests = tests;
  const Verdict wrong = worker.judge(program);
  if (wrong.outcome != Outcome::fail || wrong.reason != "wrong_answer") {
    throw_resource("a wrong program does not fail: " + describe(wrong), "sandbox probe");
  }
}

constexpr std::string_view kDirectory = "assay-sandbox-";

// A supervisor holds a lock on its directory, which ends with it however it ends.
Descriptor lock(const fs::path& directory) {
  Descriptor held(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (held && flock(held.get(), LOCK_EX | LOCK_NB) != 0) held.reset();
  return held;
}

// Directories that a supervisor and its janitor, killed together, could not remove. Only those whose
// process is gone and whose lock is free: the id alone may mean another one's process (containers
// that share a folder), the lock alone may not have been taken yet.
void remove_abandoned(const fs::path& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename();
    if (name.rfind(kDirectory, 0) != 0) continue;
    const pid_t process = std::atoi(name.c_str() + kDirectory.size());
    struct stat info;
    if (process <= 0 || kill(process, 0) == 0 || errno != ESRCH) continue;
    if (lstat(entry.path().c_str(), &info) != 0 || info.st_uid != geteuid()) continue;
    if (time(nullptr) - info.st_ctime < kAbandonedSeconds) continue;
    if (const Descriptor free = lock(entry.path())) {
      purge_directory(entry.path());
      rmdir(entry.path().c_str());
    }
  }
}

Established try_level(Level level, const Options& options) {
  Established made;
  Probe& probe = made.probe;
  probe.level = level;
  made.janitor = std::make_unique<Janitor>();
  made.directory =
      std::make_unique<TemporaryDirectory>(std::string(kDirectory) + std::to_string(getpid()));
  made.lock = lock(made.directory->path());
  made.janitor->watch(made.directory->path());
  // Passable for the user id that programs run under, readable for none but us.
  chmod(made.directory->path().c_str(), 0711);
  const fs::path canary = made.directory->path() / "canary";
  write_file_atomically(canary, "secret");
  chmod(canary.c_str(), 0666);

  made.shared = std::make_unique<Shared>();
  Shared& shared = *made.shared;
  probe.landlock_abi = landlock::abi();
  if (level == Level::a) {
    std::string reason;
    shared.groups = ControlGroups::find(reason);
    if (!shared.groups) throw_resource(reason, "control groups");
    for (const fs::path& path : shared.groups->paths()) made.janitor->watch(path);
    probe.cgroup_version = shared.groups->version();
    probe.cgroup_memory = probe.cgroup_pids = true;
    probe.cgroup_cpu = shared.groups->has_cpu();
  } else if (level == Level::c && probe.landlock_abi == 0) {
    throw_resource("the kernel has no Landlock (needs Linux 5.13 with landlock among its LSMs)",
                   "Landlock");
  }
  shared.environment = make_environment(level, options.python);
  shared.environment.directory = made.directory->path();
  prove(shared, canary);
  fs::remove(canary);
  if (level != Level::c) {
    made.lock.reset();
    made.directory.reset();
  }

  probe.user_namespace = probe.pid_namespace = probe.mount_namespace = probe.network_namespace =
      level != Level::c;
  probe.seccomp = true;
  probe.other_user = shared.environment.first_user != 0;
  probe.forks_refused = level != Level::a;
  probe.numpy = shared.plain.candidates.has_numpy();
  probe.python_version = shared.plain.candidates.python_version();
  return made;
}

}  // namespace

Established establish(const Options& options) {
  // What no level could do without has its own words.
  check_interpreter(options.python);
  {
    const TemporaryDirectory trial("assay-trial");
    write_file_atomically(trial.path() / "file", "x");
    remove_abandoned(trial.path().parent_path());
  }
  if (options.force_level && *options.force_level > options.minimum_level) {
    throw_resource("level " + std::string(level_name(*options.force_level)) +
                       " is below the minimum level " +
                       std::string(level_name(options.minimum_level)) + ", so no program was run",
                   "sandbox");
  }
  std::vector<std::string> missing;
  for (const Level level : {Level::a, Level::b, Level::c}) {
    if (options.force_level ? level != *options.force_level : level > options.minimum_level) {
      continue;
    }
    try {
      Established made = try_level(level, options);
      made.probe.missing = std::move(missing);
      return made;
    } catch (const Error& error) {
      missing.push_back("level " + std::string(level_name(level)) + ": " + error.what());
    }
  }
  std::string all;
  for (const std::string& line : missing) all += (all.empty() ? "" : "; ") + line;
  throw_resource("programs cannot be isolated well enough here, so none was run: " + all, "sandbox",
                 "allow user namespaces or Landlock, or run on another machine; docs/sandbox.md");
}

std::string_view level_name(Level level) {
  return level == Level::a ? "A" : level == Level::b ? "B" : "C";
}

std::optional<Level> parse_level(std::string_view name) {
  if (name == "A" || name == "a") return Level::a;
  if (name == "B" || name == "b") return Level::b;
  if (name == "C" || name == "c") return Level::c;
  return std::nullopt;
}

std::string Probe::json() const {
  json::Writer writer;
  writer.begin_object();
  writer.member("level", level_name(level));
  writer.member("user_namespace", user_namespace).member("pid_namespace", pid_namespace);
  writer.member("mount_namespace", mount_namespace).member("network_namespace", network_namespace);
  writer.member("cgroup_version", cgroup_version).member("cgroup_memory", cgroup_memory);
  writer.member("cgroup_pids", cgroup_pids).member("cgroup_cpu", cgroup_cpu);
  writer.member("landlock_abi", landlock_abi).member("seccomp", seccomp);
  writer.member("other_user", other_user).member("forks_refused", forks_refused);
  writer.member("numpy", numpy).member("python", python_version);
  writer.key("missing").begin_array();
  for (const std::string& line : missing) writer.value(line);
  writer.end_array().end_object();
  return writer.take();
}

}  // namespace assay::sandbox
