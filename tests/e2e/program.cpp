#include "tests/e2e/program.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/file.h"
#include "tests/support/paths.h"

namespace assay::e2e {

namespace {

pid_t start(const std::vector<std::string>& words, const fs::path& in, const fs::path& out,
            const fs::path& err) {
  std::vector<char*> argv;
  for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child != 0) return child;
  const auto redirect = [](const fs::path& path, int flags, int to) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
    if (fd < 0 || ::dup2(fd, to) < 0) ::_exit(126);
  };
  redirect(in, O_RDONLY, STDIN_FILENO);
  redirect(out, O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
  redirect(err, O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

std::vector<std::string> with_program(std::vector<std::string> words, const std::vector<std::string>& arguments) {
  words.push_back(ASSAY_PROGRAM);
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

Outcome run(const std::vector<std::string>& words, const std::string& input) {
  const TemporaryDirectory dir;
  write_file_atomically(dir.path() / "in", input);
  const pid_t child = start(words, dir.path() / "in", dir.path() / "out", dir.path() / "err");
  int status = 0;
  ::waitpid(child, &status, 0);
  return {code_of(status), read_file(dir.path() / "out"), read_file(dir.path() / "err")};
}

}  // namespace

Outcome assay(const std::vector<std::string>& arguments, const std::string& input) {
  return run(with_program({}, arguments), input);
}

Outcome assay_of(int processes, const std::vector<std::string>& arguments, const std::string& input) {
  // (as root, and with more processes than processors: both refused unless asked for)
  return run(with_program({"mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n",
                           std::to_string(processes)},
                          arguments),
             input);
}

bool has_mpi() {
  return run({"mpirun", "--version"}, {}).code == 0 &&
         assay({"doctor"}).out.find("MPI was not found") == std::string::npos;
}

bool assay_killed_after(const std::vector<std::string>& arguments, double seconds) {
  const pid_t child = start(with_program({}, arguments), "/dev/null", "/dev/null", "/dev/null");
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  int status = 0;
  const bool ended = ::waitpid(child, &status, WNOHANG) == child;
  if (ended) return false;
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  return true;
}

std::string sample_checkpoint(const std::string& name) {
  return test_paths::source().string() + "/sample/checkpoints/" + name;
}

}  // namespace assay::e2e
