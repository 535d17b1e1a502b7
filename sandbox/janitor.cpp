#include "sandbox/janitor.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "sandbox/embedded.h"
#include "sandbox/spawn.h"

namespace assay::sandbox {

Janitor::Janitor() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    throw_resource(std::string("cannot make a socket pair: ") + std::strerror(errno), "sandbox");
  }
  paths_ = Descriptor(ends[0]);
  const Descriptor theirs = high(Descriptor(ends[1]));
  const Descriptor program = memory_file("janitor", embedded::janitor);
  process_ = spawn(program, {"assay-sandbox-janitor"}, -1, {theirs.get()});
}

Janitor::~Janitor() {
  paths_.reset();
  while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void Janitor::watch(const std::filesystem::path& path) {
  const std::string text = path.string() + '\0';
  if (send(paths_.get(), text.data(), text.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(text.size())) {
    throw_resource("the sandbox's janitor is gone", path.string());
  }
}

}  // namespace assay::sandbox
