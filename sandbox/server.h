// The two warm interpreters, one per side, and the slot servers that they fork for the workers.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/descriptor.h"
#include "sandbox/sandbox.h"
#include "sandbox/syscall_filter.h"

namespace assay::sandbox {

enum class Role { candidate, checker };

// What every server of a sandbox is built from.
struct Environment {
  Level level = Level::c;
  std::string python;
  std::vector<std::string> paths;   // what programs may read: libraries, the interpreter
  SyscallFilters filters;
  unsigned first_user = 0;          // user id of the candidates, +1 of the checkers; 0: our own
  std::filesystem::path directory;  // level c: below it each slot has its directory
};

// Throws Error(resource) if there is no such program.
void check_interpreter(const std::string& python);

// Finds the interpreter's directories and a user id.
Environment make_environment(Level level, const std::string& python);

// Messages on the control sockets; descriptors travel along.
struct Message {
  std::string bytes;
  std::vector<Descriptor> descriptors;
  pid_t sender = 0;  // as seen from here, if the socket asks for credentials
};
bool send_message(int socket, std::string_view bytes, const std::vector<int>& descriptors = {});
// nullopt at end of file, error, or after the timeout.
std::optional<Message> receive_message(int socket, int timeout_ms);

// A process that forks one child per program. Owned by one worker.
struct SlotServer {
  Descriptor control;
  Descriptor pidfd;
  pid_t process = 0;
  std::filesystem::path directory;  // where its programs may write (level c), else empty

  SlotServer() = default;
  SlotServer(SlotServer&&) = default;
  SlotServer& operator=(SlotServer&&) = default;
  ~SlotServer();
};

// Thread-safe. Starts its process when first asked for a slot and again whenever it was lost.
class Server {
 public:
  // With numpy loaded or without: its pages would cost every fork, for programs that do not use it too.
  Server(const Environment& environment, Role role, bool numpy);
  ~Server();  // ends the process and all its descendants
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Throws Error(resource) naming the step that failed.
  SlotServer make_slot();
  std::string python_version();
  bool has_numpy();  // importable, loaded or not

 private:
  void start();
  void stop();
  std::string startup_errors() const;
  SlotServer try_make_slot();

  const Environment& environment_;
  const Role role_;
  const bool numpy_;
  std::mutex mutex_;
  Descriptor control_, init_, errors_;  // init_: pidfd of process 1 of the namespace
  pid_t launcher_ = -1;
  int slots_made_ = 0;
  std::string python_version_;
  bool has_numpy_ = false;
};

}  // namespace assay::sandbox
