// Machines that offer less: each gives the level that its mechanisms allow, or a refusal in which
// nothing has run. The lack is made in a child process, by a system call filter, another user id or
// other mounts, and is inherited by all that the sandbox starts.
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <functional>

#include "tests/sandbox/support.h"

namespace assay::sandbox {
namespace {

using testing::call;
using testing::program;

constexpr char kTests[] = "def check(candidate):\n    assert candidate([1, 2]) == 3\n";

// What the child says: "A landlock=7 user=1 ..." or "refused: ...".
std::string describe(const Options& options) {
  try {
    Sandbox sandbox(options);
    const Probe& probe = sandbox.probe();
    const auto run = [&](const char* body) {
      Program made = program(call(std::string("import os\ndef f(v):\n    ") + body, kTests, "f"));
      const Verdict verdict = sandbox.submit(std::move(made)).get();
      return std::string(outcome_name(verdict.outcome));
    };
    const std::string right = run("return sum(v)\n"), wrong = run("os._exit(0)\n");
    return std::string(level_name(probe.level)) +
           " landlock=" + std::to_string(probe.landlock_abi > 0) +
           " cgroup=" + std::to_string(probe.cgroup_version > 0) +
           " forks=" + std::to_string(!probe.forks_refused) + " " + right + " " + wrong;
  } catch (const Error& error) {
    return std::string("refused: ") + (error.kind() == ErrorKind::resource ? "" : "wrong kind ") +
           error.what();
  }
}

// Runs in a child after `lack`; "no: reason" from `lack` skips.
std::string in_child(const std::function<std::string()>& lack, const Options& options) {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    const std::string problem = lack();
    const std::string text = problem.empty() ? describe(options) : "cannot test: " + problem;
    if (write(pipe_ends[1], text.data(), text.size()) < 0) _exit(1);
    _exit(0);
  }
  close(pipe_ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = read(pipe_ends[0], buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<size_t>(n));
  }
  close(pipe_ends[0]);
  waitpid(child, nullptr, 0);
  return text;
}

#define EXPECT_IN_CHILD(expected, text)                                             \
  do {                                                                              \
    const std::string said = text;                                                  \
    if (said.rfind("cannot test", 0) == 0) GTEST_SKIP() << "SKIPPED: " << said;     \
    EXPECT_EQ(said.substr(0, std::string_view(expected).size()), expected) << said; \
  } while (false)

std::string forbid(bool user_namespaces, bool landlock) {
  const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  int code = 0;
  if (user_namespaces) {
    const scmp_arg_cmp flag = {0, SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER};
    code |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unshare), 1, flag);
    code |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, flag);
    code |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  }
  if (landlock) {
    for (const int number : {444, 445, 446}) {
      code |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), number, 0);
    }
  }
  code |= seccomp_load(filter);
  seccomp_release(filter);
  return code == 0 ? "" : "the filter cannot be installed";
}

std::string become_nobody() {
  if (geteuid() != 0) return "";  // already somebody without privileges
  if (setgid(65534) != 0 || setuid(65534) != 0) return "cannot change the user id";
  if (access("/usr/bin/python3", X_OK) != 0) return "the interpreter is not readable for others";
  return "";
}

// Hides or covers directories, in a mount namespace of the child's own.
std::string cover(const std::vector<std::string>& directories) {
  if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr)) {
    return "no mount namespace";
  }
  for (const std::string& directory : directories) {
    if (mount("tmpfs", directory.c_str(), "tmpfs", 0, nullptr) != 0) {
      return "cannot cover " + directory;
    }
  }
  return "";
}

std::string best_level() {
  static const std::string level = in_child([] { return std::string(); }, {});
  return level.substr(0, 1);
}

// All tests of this room skip where no level is available. That must be the machine's doing: where a
// user namespace or Landlock can be had, so can a level.
TEST(Degradation, SkipsAreTheMachinesDoing) {
  if (best_level() != "r") return;
  const pid_t child = fork();
  if (child == 0) {
    const bool possible = unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET) == 0 ||
                          syscall(444, nullptr, 0, 1) > 0;
    _exit(possible ? 1 : 0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0) << in_child([] { return std::string(); }, {});
}

TEST(Degradation, UserNamespacesForbidden) {
  if (best_level() == "r") GTEST_SKIP() << "SKIPPED: this machine offers no level";
  EXPECT_IN_CHILD("C landlock=1 cgroup=0 forks=0 pass fail",
                  in_child([] { return forbid(true, false); }, {}));
}

TEST(Degradation, NoLandlock) {
  if (best_level() != "A") GTEST_SKIP() << "SKIPPED: this machine does not offer level A";
  EXPECT_IN_CHILD("A landlock=0 cgroup=1 forks=1 pass fail",
                  in_child([] { return forbid(false, true); }, {}));
}

TEST(Degradation, NoControlGroups) {
  if (best_level() != "A") GTEST_SKIP() << "SKIPPED: this machine does not offer level A";
  EXPECT_IN_CHILD("B landlock=1 cgroup=0 forks=0 pass fail",
                  in_child([] { return cover({"/sys/fs/cgroup"}); }, {}));
}

// As containers do it; afterwards the kernel lets no user namespace mount proc.
TEST(Degradation, MaskedProc) {
  if (best_level() != "A") GTEST_SKIP() << "SKIPPED: this machine does not offer level A";
  EXPECT_IN_CHILD("A landlock=1 cgroup=1 forks=1 pass fail",
                  in_child(
                      [] {
                        return cover({"/proc/acpi", "/proc/sys"});
                      },
                      {}));
}

TEST(Degradation, OrdinaryUser) {
  if (best_level() == "r") GTEST_SKIP() << "SKIPPED: this machine offers no level";
  const std::string said = in_child(become_nobody, {});
  if (said.rfind("cannot test", 0) == 0) GTEST_SKIP() << "SKIPPED: " << said;
  // B with user namespaces for everyone, C where they are kept for root.
  EXPECT_TRUE(said == "B landlock=1 cgroup=0 forks=0 pass fail" ||
              said == "C landlock=1 cgroup=0 forks=0 pass fail")
      << said;
}

TEST(Degradation, OrdinaryUserWithoutNamespaces) {
  if (best_level() == "r") GTEST_SKIP() << "SKIPPED: this machine offers no level";
  EXPECT_IN_CHILD("C landlock=1 cgroup=0 forks=0 pass fail",
                  in_child(
                      [] {
                        const std::string problem = become_nobody();
                        return problem.empty() ? forbid(true, false) : problem;
                      },
                      {}));
}

// `ulimit -H` of a shell or a container below what the sandbox would set.
TEST(Degradation, LowHardLimits) {
  if (best_level() == "r") GTEST_SKIP() << "SKIPPED: this machine offers no level";
  EXPECT_IN_CHILD(best_level() == "C" ? "C landlock=1" : best_level(),
                  in_child(
                      [] {
                        for (const auto& [which, value] :
                             {std::pair(RLIMIT_CORE, 0), std::pair(RLIMIT_NOFILE, 200),
                              std::pair(RLIMIT_MEMLOCK, 0), std::pair(RLIMIT_MSGQUEUE, 0),
                              std::pair(RLIMIT_SIGPENDING, 100), std::pair(RLIMIT_FSIZE, 8 << 20)}) {
                          const rlimit limit = {rlim_t(value), rlim_t(value)};
                          if (setrlimit(which, &limit) != 0) return std::string("cannot set limits");
                        }
                        return std::string();
                      },
                      {}));
}

// An interpreter that leaves a mark when it starts, in a folder anybody may write.
class MarkingInterpreter {
 public:
  MarkingInterpreter() : directory_("assay-degradation") {
    chmod(directory_.path().c_str(), 0777);
    write_file_atomically(
        path(), "#!/bin/sh\ntouch " + mark().string() + "\nexec /usr/bin/python3 \"$@\"\n");
    chmod(path().c_str(), 0755);
  }
  std::filesystem::path path() const { return directory_.path() / "python3"; }
  std::filesystem::path mark() const { return directory_.path() / "started"; }

 private:
  TemporaryDirectory directory_;
};

TEST(Degradation, RefusesAndRunsNothing) {
  const MarkingInterpreter interpreter;
  Options options;
  options.python = interpreter.path();
  const auto without_all = [] { return forbid(true, true); };
  EXPECT_IN_CHILD("refused: ", in_child(without_all, options));
  EXPECT_FALSE(std::filesystem::exists(interpreter.mark())) << "the interpreter was started";
  // The refusal names what is missing and the way out.
  const std::string said = in_child(without_all, options);
  for (const char* word : {"namespaces", "Landlock", "docs/sandbox.md"}) {
    EXPECT_NE(said.find(word), std::string::npos) << said;
  }
  // That the mark can appear: the same interpreter where Landlock is left.
  const std::string control = in_child([] { return forbid(true, false); }, options);
  if (control[0] == 'C') {
    EXPECT_TRUE(std::filesystem::exists(interpreter.mark()));
  }
}

TEST(Degradation, MinimumLevelIsDemanded) {
  const MarkingInterpreter interpreter;
  Options options;
  options.python = interpreter.path();
  options.minimum_level = Level::a;
  EXPECT_IN_CHILD("refused: ", in_child([] { return forbid(true, false); }, options));
  EXPECT_FALSE(std::filesystem::exists(interpreter.mark()));
  options.force_level = Level::c;
  EXPECT_THROW(Sandbox{options}, Error);
}

TEST(Degradation, MissingInterpreterIsNamed) {
  Options options;
  options.python = "/nonexistent/python3";
  try {
    const Sandbox sandbox(options);
    FAIL() << "started without an interpreter";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::resource);
    EXPECT_NE(std::string(error.what()).find("/nonexistent/python3"), std::string::npos);
  }
}

}  // namespace
}  // namespace assay::sandbox
