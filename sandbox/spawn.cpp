#include "sandbox/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace assay::sandbox {

Descriptor high(Descriptor low) { return Descriptor(fcntl(low.get(), F_DUPFD_CLOEXEC, 16)); }

Descriptor memory_file(const char* name, std::string_view content) {
  constexpr unsigned kExecutable = 0x10;  // MFD_EXEC, Linux 6.3
  int fd = memfd_create(name, MFD_CLOEXEC | kExecutable);
  if (fd < 0) fd = memfd_create(name, MFD_CLOEXEC);
  Descriptor file(fd);
  while (file && !content.empty()) {
    const ssize_t n = write(file.get(), content.data(), content.size());
    if (n <= 0) break;
    content.remove_prefix(static_cast<size_t>(n));
  }
  if (!file || !content.empty()) {
    throw_resource(std::string("cannot make a file in memory: ") + std::strerror(errno), name);
  }
  return high(std::move(file));
}

pid_t spawn(const Descriptor& program, const std::vector<std::string>& arguments, int errors,
            const std::vector<int>& descriptors) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  char* const environment[] = {nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  if (errors >= 0) {
    posix_spawn_file_actions_adddup2(&actions, errors, 2);
  } else {
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  }
  for (size_t i = 0; i < descriptors.size(); ++i) {
    posix_spawn_file_actions_adddup2(&actions, descriptors[i], 3 + static_cast<int>(i));
  }
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const std::string path = "/proc/self/fd/" + std::to_string(program.get());
  pid_t process = -1;
  const int code =
      posix_spawn(&process, path.c_str(), &actions, &attributes, argv.data(), environment);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (code != 0) {
    throw_resource(std::string("cannot start a helper of the sandbox: ") + std::strerror(code),
                   path);
  }
  return process;
}

}  // namespace assay::sandbox
