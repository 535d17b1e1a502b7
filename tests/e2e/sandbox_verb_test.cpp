// assay sandbox run as a user meets it: exit codes, demanded levels, broken case files,
// interruption, outputs that cannot be written, machines that offer too little.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <thread>

#include "base/file.h"
#include "base/json.h"
#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

const std::string kRight = R"j({"id":"right","kind":"call","completion":"def f(a): return a",)j"
                           R"j("test":"def check(c): assert c(1) == 1","entry_point":"f"})j"
                           "\n";
const std::string kWrong =
    R"j({"id":"wrong","kind":"stdio","completion":"print(1)","expected_stdout":"2\n"})j"
    "\n";

// Starts it with what `prepare` changed in the child; standard error goes to a file.
pid_t start(const std::vector<std::string>& arguments, const fs::path& errors,
            const std::function<void()>& prepare) {
  const pid_t child = fork();
  if (child != 0) return child;
  const int fd = open(errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0 || dup2(fd, 2) < 0) _exit(126);
  prepare();
  std::vector<char*> argv{const_cast<char*>(ASSAY_PROGRAM)};
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(127);
}

int wait_for(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

class SandboxVerb : public ::testing::Test {
 protected:
  void SetUp() override {
    const Outcome trial = assay({"sandbox", "run", "-"}, kRight);
    if (trial.code == 4) GTEST_SKIP() << "SKIPPED: this machine offers no level: " << trial.err;
    ASSERT_EQ(trial.code, 0) << trial.err;
  }
  fs::path file(const std::string& text) {
    write_file_atomically(dir_.path() / "cases.jsonl", text);
    return dir_.path() / "cases.jsonl";
  }
  std::string errors() const {
    const fs::path path = dir_.path() / "errors";
    return fs::exists(path) ? read_file(path) : "";
  }
  const TemporaryDirectory dir_;
};

TEST_F(SandboxVerb, VerdictsInOrderAndStatusZero) {
  const Outcome outcome = assay({"sandbox", "run", file(kRight + kWrong + "\n" + kRight).string()});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  std::string verdicts;
  json::for_each_line(outcome.out, "verdicts", [&](json::Value line, size_t) {
    verdicts += std::string(line.at("id").string()) + "=" +
                std::string(line.at("verdict").string()) + "/" +
                std::string(line.at("reason").string()) + " ";
  });
  EXPECT_EQ(verdicts, "right=pass/ wrong=fail/wrong_answer right=pass/ ");
  EXPECT_NE(outcome.err.find("1 fail 2 pass"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("\"seccomp\":true"), std::string::npos) << outcome.err;
}

TEST_F(SandboxVerb, HelpNamesEveryOption) {
  const Outcome help = assay({"sandbox", "run", "--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* part : {"--sandbox", "A|B|C|auto", "--workers", "--python", "Examples:"}) {
    EXPECT_NE(help.out.find(part), std::string::npos) << part;
  }
}

TEST_F(SandboxVerb, BrokenCasesNameTheLine) {
  const struct {
    std::string text;
    std::vector<std::string> parts;
  } cases[] = {
      {"", {"there is no case"}},
      {kRight + "{\"id\":\n", {":2:", "not valid JSON"}},
      {kRight + "\n" + R"({"kind":"call"})", {":3:", "\"id\""}},
      {R"({"id":"x","kind":"cal"})", {":1:", "unknown kind 'cal'", "call or stdio"}},
      {"[1]", {":1:", "expected an object"}},
      {R"({"id":5,"kind":"stdio"})", {":1:", "id", "expected a string"}},
      {R"({"id":"x","kind":"stdio","limits":{"time_s":0}})", {":1:", "limits.time_s"}},
      {R"({"id":"x","kind":"stdio","limits":{"memory_mb":"a"}})", {":1:", "limits.memory_mb"}},
      {R"({"id":"x","kind":"stdio","limits":{"memory_mb":99999999999999}})",
       {":1:", "limits.memory_mb", "1073741824"}},
      {R"({"id":"x","kind":"stdio","repeat":-5})", {":1:", "repeat"}},
      {"\xff\xfe{}", {":1:", "not valid JSON"}},
  };
  for (const auto& one : cases) {
    const Outcome outcome = assay({"sandbox", "run", file(one.text).string()});
    EXPECT_EQ(outcome.code, 3) << one.text << outcome.err;
    EXPECT_EQ(outcome.out, "") << one.text;
    for (const std::string& part : one.parts) {
      EXPECT_NE(outcome.err.find(part), std::string::npos) << part << " not in " << outcome.err;
    }
  }
  const Outcome typo =
      assay({"sandbox", "run", "-"}, R"({"id":"x","kind":"stdio","expected_stdou":"1"})"
                                     "\n");
  EXPECT_EQ(typo.code, 0);
  EXPECT_NE(typo.err.find(":1: member \"expected_stdou\" is not known"), std::string::npos)
      << typo.err;
  EXPECT_NE(typo.err.find("\"expected_stdout\""), std::string::npos) << typo.err;
}

TEST_F(SandboxVerb, ExitCodes) {
  const std::string cases = file(kRight).string();
  EXPECT_EQ(assay({"sandbox", "run"}).code, 2);
  EXPECT_EQ(assay({"sandbox"}).code, 2);
  EXPECT_EQ(assay({"sandbox", "run", cases, "--sandbox", "D"}).code, 2);
  EXPECT_EQ(assay({"sandbox", "run", cases, "--workers", "-1"}).code, 2);
  EXPECT_EQ(assay({"sandbox", "run", "/nonexistent.jsonl"}).code, 3);
  EXPECT_EQ(assay({"sandbox", "run", cases, "--sandbox", "C"}).code, 0);
  const Outcome no_python = assay({"sandbox", "run", cases, "--python", "/nonexistent/python3"});
  EXPECT_EQ(no_python.code, 4);
  EXPECT_EQ(std::count(no_python.err.begin(), no_python.err.end(), '\n'), 1) << no_python.err;
  EXPECT_EQ(no_python.err.find("level A"), std::string::npos) << no_python.err;
  // A case that could not be judged.
  const Outcome vacuous = assay(
      {"sandbox", "run", "-"},
      R"({"id":"v","kind":"call","completion":"f = len","test":"def check(c): pass","entry_point":"f"})"
      "\n" +
          kRight);
  EXPECT_EQ(vacuous.code, 4) << vacuous.err;
  EXPECT_NE(vacuous.out.find("\"right\",\"verdict\":\"pass\""), std::string::npos) << vacuous.out;
}

// Neither namespaces nor Landlock: exit code 4, the reasons, and no interpreter was started.
TEST_F(SandboxVerb, RefusesWhereNothingIsolates) {
  const fs::path python = dir_.path() / "python3", mark = dir_.path() / "started";
  write_file_atomically(python,
                        "#!/bin/sh\ntouch " + mark.string() + "\nexec /usr/bin/python3 \"$@\"\n");
  chmod(python.c_str(), 0755);
  chmod(dir_.path().c_str(), 0777);  // programs may run under another user id
  const auto run_with = [&](bool forbidden) {
    const pid_t child =
        start({"sandbox", "run", file(kRight).string(), "--python", python.string()},
              dir_.path() / "errors", [&] {
                const sock_filter code[] = {
                    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 1, 0),
                    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 444 /* landlock */, 0, 1),
                    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                };
                const sock_fprog program = {5, const_cast<sock_filter*>(code)};
                if (!forbidden) return;
                prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) _exit(125);
              });
    return wait_for(child);
  };
  EXPECT_EQ(run_with(true), 4) << errors();
  EXPECT_FALSE(fs::exists(mark));
  for (const char* part : {"none was run", "level A", "level B", "level C", "docs/sandbox.md"}) {
    EXPECT_NE(errors().find(part), std::string::npos) << part << " not in " << errors();
  }
  EXPECT_EQ(run_with(false), 0)
      << errors();  // that the mark can appear (at level C: see server.cpp)
  EXPECT_TRUE(fs::exists(mark));
}

// Interrupted, terminated or killed in the middle: nothing is left, and the next start works.
TEST_F(SandboxVerb, InterruptedLeavesNothing) {
  std::string cases;
  for (int i = 0; i < 4; ++i) {
    cases += R"j({"id":"s","kind":"stdio","completion":"import time\ntime.sleep(60)"})j";
    cases += "\n";
  }
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);  // orphans become ours
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGKILL}) {
    const pid_t child = start({"sandbox", "run", file(cases).string(), "--workers", "3"},
                              dir_.path() / "errors", [] {});
    for (int i = 0; i < 400 && errors().find("\"level\"") == std::string::npos; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    kill(child, number);
    EXPECT_EQ(wait_for(child), 128 + number) << errors();
    pid_t ended = 0;
    for (int i = 0; i < 1000 && ended >= 0; ++i) {
      ended = waitpid(-1, nullptr, WNOHANG);
      if (ended == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    EXPECT_EQ(ended, -1) << "processes are left after signal " << number;
    std::error_code error;
    const std::string directory = "assay-sandbox-" + std::to_string(child);
    const std::string group = "assay-" + std::to_string(child) + "-";
    for (const auto& entry : fs::directory_iterator(fs::temp_directory_path())) {
      EXPECT_NE(entry.path().filename().string().rfind(directory, 0), 0u) << entry.path();
    }
    for (auto entry = fs::recursive_directory_iterator(
             "/sys/fs/cgroup", fs::directory_options::skip_permission_denied, error);
         !error && entry != fs::end(entry); entry.increment(error)) {
      EXPECT_NE(entry->path().filename().string().rfind(group, 0), 0u) << entry->path();
    }
  }
  prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
  EXPECT_EQ(assay({"sandbox", "run", "-"}, kRight).code, 0);
}

TEST_F(SandboxVerb, OutputsThatCannotBeWritten) {
  const std::string cases = file(kRight).string();
  const fs::path log = dir_.path() / "errors";
  EXPECT_EQ(
      wait_for(start({"sandbox", "run", cases}, log, [] { dup2(open("/dev/full", O_WRONLY), 1); })),
      4);
  EXPECT_NE(errors().find("standard output could not be written"), std::string::npos) << errors();
  EXPECT_EQ(wait_for(start({"sandbox", "run", cases}, log, [] { close(1); })), 4);
  EXPECT_NE(errors().find("standard output could not be written"), std::string::npos) << errors();
  EXPECT_EQ(wait_for(start({"sandbox", "run", cases}, log,
                           [] {  // nobody reads: ends like others
                             int ends[2];
                             if (pipe(ends) != 0) _exit(125);
                             dup2(ends[1], 1);
                             close(ends[0]);
                           })),
            128 + SIGPIPE);
  EXPECT_EQ(wait_for(start({"sandbox", "run", cases}, log,
                           [] {
                             for (int fd = 0; fd < 3; ++fd) close(fd);
                           })),
            4);
}

TEST_F(SandboxVerb, TemporaryFilesThatCannotBeMade) {
  const std::string cases = file(kRight).string();
  const fs::path log = dir_.path() / "errors";
  EXPECT_EQ(wait_for(start({"sandbox", "run", cases}, log,
                           [] { setenv("TMPDIR", "/nonexistent/folder", 1); })),
            4);
  EXPECT_NE(errors().find("/nonexistent/folder"), std::string::npos) << errors();
  EXPECT_NE(errors().find("TMPDIR"), std::string::npos) << errors();
}

}  // namespace
}  // namespace assay::e2e
