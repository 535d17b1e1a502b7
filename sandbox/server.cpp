#include "sandbox/server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>

#include "base/error.h"
#include "base/utf8.h"
#include "sandbox/embedded.h"
#include "sandbox/frames.h"
#include "sandbox/guard/guard.h"
#include "sandbox/purge.h"
#include "sandbox/spawn.h"

namespace assay::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr int kStartTimeoutMs = 60'000;  // many servers may start at once on a busy machine

// What programs commonly import, loaded once. The checkers need it too: tests import, and prompts
// and preambles run there.
constexpr char kWarmModules[] =
    "math cmath re sys os copy datetime itertools collections heapq functools hashlib string "
    "typing random bisect statistics operator io json time decimal fractions struct array queue "
    "threading abc enum dataclasses textwrap unicodedata calendar types contextlib inspect "
    "traceback linecache warnings numbers ast atexit zoneinfo _strptime";

// Runs the sources that were handed over as descriptor 5: name NUL size NUL text, repeated; the
// last one is the role.
constexpr char kBoot[] =
    "import os,sys,types\n"
    "def boot():\n"
    " data=os.pread(5,os.fstat(5).st_size,0);os.close(5);at=0\n"
    " sys.path[:]=[p for p in sys.path if p]\n"
    " while at<len(data):\n"
    "  n=data.index(b'\\0',at);m=data.index(b'\\0',n+1);end=m+1+int(data[n+1:m])\n"
    "  name=data[at:n].decode();module=types.ModuleType(name);sys.modules[name]=module\n"
    "  exec(compile(data[m+1:end],name+'.py','exec'),module.__dict__);at=end\n"
    " sys.modules['assay_server'].main(module)\n"
    "boot()\n";

std::string system_error() { return std::strerror(errno); }

std::string sources(Role role) {
  std::string out;
  const auto add = [&](std::string_view name, std::string_view text) {
    out.append(name).push_back('\0');
    out.append(std::to_string(text.size())).push_back('\0');
    out.append(text);
  };
  add("assay_plain", embedded::plain);
  add("assay_server", embedded::server);
  if (role == Role::candidate) {
    add("assay_candidate", embedded::candidate);
  } else {
    add("assay_checker", embedded::checker);
  }
  return out;
}

void write_map(pid_t process, const char* file, const std::string& text, bool required) {
  const std::string path = "/proc/" + std::to_string(process) + "/" + file;
  Descriptor map(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if ((!map || write(map.get(), text.data(), text.size()) < 0) && required) {
    throw_resource("cannot map user ids: " + system_error(), path);
  }
}

// Whether the ids [id, id+1] exist in this user namespace.
bool ids_exist(const char* map, unsigned id) {
  std::ifstream file(map);
  for (uint64_t inside, outside, count; file >> inside >> outside >> count;) {
    if (id >= inside && uint64_t{id} + 2 <= inside + count) return true;
  }
  return false;
}

}  // namespace

void check_interpreter(const std::string& python) {
  if (access(python.c_str(), X_OK) != 0) {
    throw_resource("the Python interpreter for the sandbox cannot be run: " + system_error(),
                   python, "install python3, or name another interpreter");
  }
}

Environment make_environment(Level level, const std::string& python) {
  Environment environment;
  environment.level = level;
  std::error_code error;
  environment.python = python;
  environment.filters = syscall_filters(level);
  std::set<std::string> paths = {"/usr",
                                 "/bin",
                                 "/sbin",
                                 "/lib",
                                 "/lib32",
                                 "/lib64",
                                 "/etc/alternatives",
                                 "/etc/ld.so.cache",
                                 "/etc/localtime"};
  // An interpreter elsewhere brings its prefix: the directory above its bin/, real and as named
  // (a virtual environment is both).
  for (const fs::path& path : {fs::path(python), fs::canonical(python, error)}) {
    fs::path prefix = path.parent_path();
    if (prefix.filename() == "bin") prefix = prefix.parent_path();
    if (path.empty() || prefix == "/usr" || prefix == "/" || !prefix.string().rfind("/usr/", 0)) {
      continue;
    }
    for (const char* taken : {"/tmp", "/var/tmp", "/dev", "/run", "/proc"}) {
      if (level != Level::c && (prefix.string() + "/").rfind(taken + std::string("/"), 0) == 0) {
        throw_resource("programs have a " + std::string(taken) +
                           " of their own, so that an interpreter there cannot be seen",
                       prefix.string(), "use one that lies elsewhere");
      }
    }
    paths.insert(prefix);
  }
  environment.paths.assign(paths.begin(), paths.end());
  if (geteuid() == 0) {
    // Ids that nobody has, where they can be had; else the traditional nobody; else our own.
    const unsigned free_id = 2'000'000'000u + 2 * static_cast<unsigned>(getpid() % 1'000'000);
    for (const unsigned id : {free_id, 65533u}) {
      if (ids_exist("/proc/self/uid_map", id) && ids_exist("/proc/self/gid_map", id)) {
        environment.first_user = id;
        break;
      }
    }
  }
  return environment;
}

bool send_message(int socket, std::string_view bytes, const std::vector<int>& descriptors) {
  iovec io = {const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size() * sizeof(int));
  }
  ssize_t n;
  do {
    n = sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  return n == static_cast<ssize_t>(bytes.size());
}

std::optional<Message> receive_message(int socket, int timeout_ms) {
  pollfd ready = {socket, POLLIN, 0};
  int n;
  do {
    n = poll(&ready, 1, timeout_ms);
  } while (n < 0 && errno == EINTR);
  if (n <= 0) return std::nullopt;
  char bytes[8192];
  iovec io = {bytes, sizeof bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int)) + CMSG_SPACE(sizeof(ucred))];
  msghdr header = {};
  header.msg_iov = &io;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t size;
  do {
    size = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  Message message;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); size >= 0 && part != nullptr;
       part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET) continue;
    if (part->cmsg_type == SCM_RIGHTS) {
      const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; ++i) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
        message.descriptors.emplace_back(fd);
      }
    } else if (part->cmsg_type == SCM_CREDENTIALS) {
      ucred sender;
      std::memcpy(&sender, CMSG_DATA(part), sizeof sender);
      message.sender = sender.pid;
    }
  }
  if (size <= 0) return std::nullopt;
  message.bytes.assign(bytes, static_cast<size_t>(size));
  return message;
}

SlotServer::~SlotServer() {
  if (pidfd) {
    syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
    pollfd ended = {pidfd.get(), POLLIN, 0};
    poll(&ended, 1, 5000);
  }
  if (!directory.empty()) {
    purge_directory(directory);
    rmdir(directory.c_str());
  }
}

Server::Server(const Environment& environment, Role role, bool numpy)
    : environment_(environment), role_(role), numpy_(numpy) {}

Server::~Server() { stop(); }

void Server::start() {
  const bool namespaces = environment_.level != Level::c;
  const unsigned user =
      environment_.first_user == 0 ? 0 : environment_.first_user + (role_ == Role::checker);
  const Descriptor launch = memory_file("launch", embedded::launch);
  const Descriptor library = memory_file("guard", embedded::guard);
  const Descriptor python_sources = memory_file("sources", sources(role_));
  errors_ = memory_file("errors", "");
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
    throw_resource("cannot make a socket pair: " + system_error(), "sandbox");
  }
  control_ = Descriptor(sockets[0]);
  Descriptor theirs = high(Descriptor(sockets[1]));

  std::vector<std::string> arguments = {"assay-sandbox"};
  if (namespaces) {
    arguments.insert(arguments.end(), {"namespaces", environment_.python, kBoot});
    arguments.insert(arguments.end(), environment_.paths.begin(), environment_.paths.end());
  } else {
    arguments.insert(arguments.end(), {"bare", std::to_string(user), environment_.python, kBoot});
  }
  launcher_ = spawn(launch, arguments, errors_.get(),
                    {theirs.get(), library.get(), python_sources.get()});
  theirs.reset();

  const auto expect = [&](char tag) {
    std::optional<Message> message = receive_message(control_.get(), kStartTimeoutMs);
    if (message && message->bytes[0] == 'E') {
      throw_resource(message->bytes.substr(1), "sandbox", "docs/sandbox.md lists what is needed");
    }
    if (!message || message->bytes[0] != tag) {
      throw_resource("the sandbox did not start: " + startup_errors(), environment_.python,
                     "docs/sandbox.md lists what is needed");
    }
    return std::move(*message);
  };
  if (namespaces) {
    expect('U');
    const unsigned uid = user == 0 ? geteuid() : user, gid = user == 0 ? getegid() : user;
    write_map(launcher_, "setgroups", "deny", false);
    write_map(launcher_, "gid_map", "0 " + std::to_string(gid) + " 1", true);
    write_map(launcher_, "uid_map", "0 " + std::to_string(uid) + " 1", true);
    send_message(control_.get(), "M");
    Message started = expect('I');
    if (started.descriptors.empty()) throw_resource("no handle on the sandbox", "sandbox");
    init_ = std::move(started.descriptors[0]);
  }
  std::string readable;
  if (namespaces) {
    readable = std::string("/") + '\0';  // all that there is
  } else {
    for (const std::string& path : environment_.paths) readable += path + '\0';
  }
  const uint32_t flags = namespaces ? kGuardNamespaces : kGuardOwnSignals;
  send_message(control_.get(),
               pack_fields({namespaces ? "/assay/guard.so" : "/proc/self/fd/4",
                            std::to_string(flags), environment_.filters.server,
                            environment_.filters.program, readable,
                            std::string(kWarmModules) + (numpy_ ? " numpy" : "")}));
  const Message hello = expect('H');
  const auto fields = unpack_fields(std::string_view(hello.bytes).substr(1), 2);
  if (!fields) throw_resource("the fork server did not introduce itself", environment_.python);
  python_version_ = utf8::printable((*fields)[0]);
  has_numpy_ = (*fields)[1] == "1";
}

std::string Server::startup_errors() const {
  std::string text(4096, 0);
  const off_t size = lseek(errors_.get(), 0, SEEK_END);
  const ssize_t n = pread(errors_.get(), text.data(), text.size(), size > 4096 ? size - 4096 : 0);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text.empty() ? "it ended without a word" : utf8::printable(text);
}

void Server::stop() {
  control_.reset();
  if (init_) syscall(SYS_pidfd_send_signal, init_.get(), SIGKILL, nullptr, 0);
  init_.reset();
  if (launcher_ > 0) {
    kill(launcher_, SIGKILL);
    while (waitpid(launcher_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  launcher_ = -1;
  errors_.reset();
}

SlotServer Server::try_make_slot() {
  if (!control_) start();
  SlotServer slot;
  std::string writable = "/run";
  if (environment_.level == Level::c) {
    slot.directory =
        environment_.directory /
        ((role_ == Role::candidate ? "candidate-" : "checker-") + std::string(numpy_ ? "numpy-" : "") +
         std::to_string(slots_made_));
    writable = slot.directory;
    fs::create_directory(slot.directory);
    chmod(slot.directory.c_str(), 0700);
    if (environment_.first_user != 0) {
      const unsigned user = environment_.first_user + (role_ == Role::checker);
      if (chown(slot.directory.c_str(), user, user) != 0) {
        throw_resource("cannot give the directory to the sandbox: " + system_error(), writable);
      }
    }
  }
  ++slots_made_;
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
    throw_resource("cannot make a socket pair: " + system_error(), "sandbox");
  }
  slot.control = Descriptor(sockets[0]);
  Descriptor theirs(sockets[1]);
  const int on = 1;
  setsockopt(slot.control.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  if (!send_message(control_.get(), "S" + writable, {theirs.get()})) {
    throw_resource("the fork server is gone", environment_.python);
  }
  theirs.reset();
  const std::optional<Message> hello = receive_message(slot.control.get(), kStartTimeoutMs);
  if (!hello || hello->bytes != "H" || hello->sender <= 0) {
    throw_resource("a slot server did not start: " +
                       (hello ? utf8::printable(hello->bytes) : startup_errors()),
                   environment_.python);
  }
  slot.process = hello->sender;
  slot.pidfd = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, slot.process, 0)));
  return slot;
}

SlotServer Server::make_slot() {
  const std::lock_guard lock(mutex_);
  const bool was_running = static_cast<bool>(control_);
  try {
    return try_make_slot();
  } catch (const Error&) {
    stop();
    if (!was_running) throw;
  }
  return try_make_slot();  // it had been lost; a fresh one
}

std::string Server::python_version() {
  const std::lock_guard lock(mutex_);
  return python_version_;
}

bool Server::has_numpy() {
  const std::lock_guard lock(mutex_);
  return has_numpy_;
}

}  // namespace assay::sandbox
