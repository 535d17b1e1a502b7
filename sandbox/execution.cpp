#include "sandbox/execution.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>

#include "base/utf8.h"
#include "sandbox/guard/guard.h"
#include "sandbox/process_usage.h"
#include "sandbox/purge.h"

namespace assay::sandbox {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kSetupSeconds = 60;  // for fork and locking up, on a machine that is overloaded
constexpr double kEndSeconds = 20;    // for a killed process to be gone
constexpr double kLostSeconds = 0.3;  // for a process that is ending to be seen to end
constexpr double kWatchSeconds = 0.05;
constexpr int kDrainMs = 500;  // for the end of file after the end of a program
constexpr size_t kFrameBytes = 16 * 1024;    // what the processes may tell the supervisor at once,
constexpr size_t kStreamBytes = 256 * 1024;  // and in all
constexpr int64_t kSharedBytes = int64_t{96} << 20;  // pages a candidate has from its server

// A clock that stands still while this process does: a supervisor that was stopped, or that had no
// processor for so long, cannot say that a program was slow.
class PatientClock {
 public:
  Clock::time_point now() const { return Clock::now() - paused_; }
  double seconds_since(Clock::time_point start) const {
    return std::chrono::duration<double>(now() - start).count();
  }
  // To be called whenever something was waited for, with how long that should have taken at most.
  void waited(double at_most_seconds) {
    const Clock::time_point now = Clock::now();
    const Clock::duration gap =
        now - last_ - std::chrono::duration_cast<Clock::duration>(
                          std::chrono::duration<double>(at_most_seconds));
    if (gap > kStall) paused_ += gap;
    last_ = now;
  }

 private:
  static constexpr Clock::duration kStall = std::chrono::milliseconds(250);
  Clock::duration paused_{};
  Clock::time_point last_ = Clock::now();
};

bool set_nonblocking(int fd) { return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0; }

std::string limits_bytes(const Limits& limits, bool namespaces, int64_t address_space) {
  const uint64_t values[8] = {
      static_cast<uint64_t>(address_space),
      // The supervisor stops a program at the limit itself; this one is for what it cannot see. Far
      // off, because the kernel enforces it by ticks: where programs take turns it sees up to a
      // quarter more than was used, and ended programs before their time.
      static_cast<uint64_t>(std::ceil(2 * limits.cpu_seconds)) + 5,
      // With namespaces a program's processes are counted apart; else with all of this user.
      namespaces ? static_cast<uint64_t>(limits.processes) : 4096u,
      static_cast<uint64_t>(limits.files_bytes),
      static_cast<uint64_t>(limits.file_bytes),
      static_cast<uint64_t>(limits.files),
      256u,
      uint64_t{256} << 20,
  };
  static_assert(sizeof values == sizeof(GuardLimits));
  return std::string(reinterpret_cast<const char*>(values), sizeof values);
}

// One process in the sandbox: its server, its wire, and how it ended.
struct Side {
  SlotServer* server = nullptr;
  Descriptor wire;
  FrameReader frames{kFrameBytes, kStreamBytes};
  std::string to_send;  // the job; its rest goes out as the process reads it
  size_t sent = 0;
  bool ready = false;
  pid_t process = 0;
  Descriptor pidfd;
  Exit exit;

  void kill() const {
    if (pidfd && !exit.known) syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  }
};

struct Output {
  Descriptor pipe;
  std::string* text = nullptr;
};

class Execution {
 public:
  Execution(Slot& slot, const Job& job, const Limits& limits, Level level, bool patient)
      : slot_(slot),
        job_(job),
        limits_(limits),
        level_(level),
        patient_(patient),
        has_checker_(!job.checker_fields.empty()) {}

  Observation run() {
    seen_.level = level_;
    if (prepare()) loop();
    finish();
    return std::move(seen_);
  }

 private:
  void broken(std::string why) {
    if (seen_.broken.empty()) seen_.broken = std::move(why);
  }
  void stop(Stop why) {
    if (seen_.stop == Stop::none) seen_.stop = why;
    candidate_.kill();
    checker_.kill();
    ending_ = true;
    ending_since_ = clock_.now();
  }

  bool prepare();
  bool start_side(Side& side, SlotServer& server, bool link, std::vector<int> extra);
  void loop();
  void on_wire(Side& side);
  void on_frame(Side& side, const Frame& frame);
  void on_control(Side& side);
  void on_output(Output& output);
  void drain(Output& output);
  void on_input();
  void send_job(Side& side);
  void begin(Side& side);
  void watch();
  bool all_ready() const { return candidate_.ready && (!has_checker_ || checker_.ready); }
  double wall_limit() const;
  bool done() const;
  void finish();

  Slot& slot_;
  const Job& job_;
  const Limits& limits_;
  const Level level_;
  const bool patient_;
  const bool has_checker_;
  Observation seen_;
  Side candidate_, checker_;
  Output out_, err_;
  Descriptor input_;
  size_t input_sent_ = 0;
  std::string nonce_;
  bool ending_ = false;  // decided; waiting for processes to be gone
  bool lost_ = false;    // the checker saw the link end, and the candidate has not ended yet
  double cpu_at_start_ = 0;
  PatientClock clock_;
  Clock::time_point created_ = clock_.now(), started_{}, ending_since_{}, watched_{};
};

bool Execution::start_side(Side& side, SlotServer& server, bool link, std::vector<int> extra) {
  side.server = &server;
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return false;
  side.wire = Descriptor(sockets[0]);
  const Descriptor theirs(sockets[1]);
  const int on = 1;
  setsockopt(sockets[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  set_nonblocking(sockets[0]);
  extra.insert(extra.begin(), theirs.get());
  // Virtual memory only guards against absurd requests where a control group counts the real.
  const int64_t address_space = std::max<int64_t>(4 * limits_.memory_bytes, int64_t{2} << 30);
  const std::string message = std::string("J") + (link ? 'L' : '-') +
                              limits_bytes(limits_, level_ != Level::c, address_space);
  return send_message(server.control.get(), message, extra);
}

bool Execution::prepare() {
  int out[2], err[2], in[2] = {-1, -1}, link[2] = {-1, -1};
  if (pipe2(out, O_CLOEXEC) != 0) return broken("no descriptors"), false;
  out_ = {Descriptor(out[0]), &seen_.output};
  const Descriptor out_theirs(out[1]);
  if (pipe2(err, O_CLOEXEC) != 0) return broken("no descriptors"), false;
  err_ = {Descriptor(err[0]), &seen_.errors};
  const Descriptor err_theirs(err[1]);
  if (job_.input ? pipe2(in, O_CLOEXEC) != 0
                 : (in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0) {
    return broken("no descriptors"), false;
  }
  const Descriptor in_theirs(in[0]);
  input_ = Descriptor(in[1]);
  if (has_checker_ && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) != 0) {
    return broken("no descriptors"), false;
  }
  const Descriptor link_candidate(link[0]), link_checker(link[1]);
  for (int fd : {out[0], err[0], in[1]}) {
    if (fd >= 0 && !set_nonblocking(fd)) return broken("pipe"), false;
  }

  if (slot_.group) {
    if (!slot_.group->set_limits(limits_.memory_bytes + slot_.server_bytes,
                                 limits_.processes + 1)) {
      return broken("control group limits"), false;
    }
    slot_.group->reset_peak();
    cpu_at_start_ = slot_.group->cpu_seconds().value_or(0);
  }
  candidate_.to_send = make_frame('J', job_.candidate_fields);
  if (has_checker_) {
    unsigned char random[16];
    if (getrandom(random, sizeof random, 0) != sizeof random) return broken("getrandom"), false;
    for (unsigned char byte : random) {
      nonce_ += "0123456789abcdef"[byte >> 4];
      nonce_ += "0123456789abcdef"[byte & 15];
    }
    // The fields of the job with the nonce in front.
    const std::string rest = job_.checker_fields.substr(4);
    std::string fields = pack_fields({nonce_});
    fields[0] = static_cast<char>(job_.checker_fields[0] + 1);
    checker_.to_send = make_frame('J', fields + rest);
  }
  std::vector<int> extra;
  if (has_checker_) extra.push_back(link_candidate.get());
  extra.insert(extra.end(), {in_theirs.get(), out_theirs.get(), err_theirs.get()});
  if (!start_side(candidate_, slot_.candidate, has_checker_, extra)) {
    return broken("the candidate's fork server is gone"), false;
  }
  if (has_checker_ && !start_side(checker_, slot_.checker, true, {link_checker.get()})) {
    return broken("the checker's fork server is gone"), false;
  }
  return true;
}

void Execution::send_job(Side& side) {
  if (!side.ready || !side.wire || (&side == &checker_ && !candidate_.ready)) return;
  while (side.sent < side.to_send.size()) {
    const ssize_t n = send(side.wire.get(), side.to_send.data() + side.sent,
                           side.to_send.size() - side.sent, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) side.sent = side.to_send.size();  // it is gone; its exit will say so
      return;
    }
    side.sent += static_cast<size_t>(n);
  }
}

// The process is locked up: its job may go in. The checker gets its own only when there is a program
// to ask, so that no verdict can come before.
void Execution::begin(Side& side) {
  side.ready = true;
  if (&side == &candidate_) {
    if (slot_.group) {
      // The kernel shall pick the program, not its server, when the group's memory is exhausted.
      const std::string path = "/proc/" + std::to_string(candidate_.process) + "/oom_score_adj";
      const Descriptor file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
      if (!file || write(file.get(), "1000", 4) != 4) return broken("oom_score_adj");
    }
    watched_ = clock_.now();
    send_job(candidate_);
  }
  if (all_ready()) {
    started_ = clock_.now();
    if (has_checker_) send_job(checker_);
  }
}

void Execution::on_frame(Side& side, const Frame& frame) {
  if (!side.ready) {
    // Written by the guard, before any byte of the program was there.
    if (frame.tag == 'R') return begin(side);
    return broken("set-up of a process: " + utf8::printable(frame.payload));
  }
  if (&side == &checker_ && frame.tag == 'V') {
    const auto fields = unpack_fields(frame.payload, 4);
    if (!fields || (*fields)[0] != nonce_) return broken("the checker spoke without its nonce");
    seen_.checker_spoke = true;
    seen_.outcome = (*fields)[1];
    seen_.reason = (*fields)[2];
    seen_.detail = (*fields)[3];
    return;
  }
  if (&side == &candidate_ && frame.tag == 'E' && seen_.error_type.empty()) {
    if (const auto fields = unpack_fields(frame.payload, 2)) {
      seen_.error_type = (*fields)[0];
      seen_.error_text = (*fields)[1];
    }
  }
}

// The handlers check first: an earlier one of the same round may have closed their descriptor.

void Execution::on_wire(Side& side) {
  if (!side.wire) return;
  char bytes[16384];
  iovec io = {bytes, sizeof bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
  for (;;) {
    msghdr header = {};
    header.msg_iov = &io;
    header.msg_iovlen = 1;
    // Room for credentials only: descriptors that a program sends are closed by the kernel.
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const ssize_t n = recvmsg(side.wire.get(), &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      side.wire.reset();
      return;
    }
    if (!side.ready) {
      for (cmsghdr* part = CMSG_FIRSTHDR(&header); part; part = CMSG_NXTHDR(&header, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_CREDENTIALS) {
          ucred sender;
          std::memcpy(&sender, CMSG_DATA(part), sizeof sender);
          side.process = sender.pid;
        }
      }
    }
    side.frames.feed({bytes, static_cast<size_t>(n)});
    while (const std::optional<Frame> frame = side.frames.next()) on_frame(side, *frame);
    if (side.frames.broken()) {
      // Only the candidate's program can have done this; it gains nothing and is not heard again.
      if (&side == &checker_) broken("malformed frame from the checker");
      side.wire.reset();
      return;
    }
  }
}

void Execution::on_control(Side& side) {
  if (side.exit.known) return;
  std::optional<Message> message = receive_message(side.server->control.get(), 0);
  if (!message) return broken("a fork server died");
  const std::string_view bytes = message->bytes;
  if (bytes[0] == 'P' && message->descriptors.size() == 1) {
    side.pidfd = std::move(message->descriptors[0]);
    if (ending_ && !lost_) side.kill();
    return;
  }
  struct {
    int status;
    double user, system;
    int64_t peak;
  } exit;
  if (bytes[0] != 'X' || bytes.size() != 1 + 4 + 8 + 8 + 8) {
    return broken("a fork server failed: " + utf8::printable(bytes));
  }
  std::memcpy(&exit.status, bytes.data() + 1, 4);
  std::memcpy(&exit.user, bytes.data() + 5, 8);
  std::memcpy(&exit.system, bytes.data() + 13, 8);
  std::memcpy(&exit.peak, bytes.data() + 21, 8);
  on_wire(side);  // what it said last
  side.exit = {true, exit.status, exit.user + exit.system, exit.peak};
  if (!side.ready) broken("a process ended during set-up");
}

void Execution::on_output(Output& output) {
  if (!output.pipe) return;
  char bytes[65536];
  const ssize_t n = read(output.pipe.get(), bytes, sizeof bytes);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    output.pipe.reset();
    return;
  }
  const size_t room = static_cast<size_t>(limits_.output_bytes) - output.text->size();
  output.text->append(bytes, std::min(room, static_cast<size_t>(n)));
  if (static_cast<size_t>(n) > room) {
    output.pipe.reset();
    stop(Stop::output_limit);
  }
}

// Reads what a program wrote last. All writers are gone, unless the program left a descriptor behind
// in a message that nobody received; then there is no end of file to wait for.
void Execution::drain(Output& output) {
  while (output.pipe) {
    pollfd ready = {output.pipe.get(), POLLIN, 0};
    if (poll(&ready, 1, kDrainMs) == 0) output.pipe.reset();
    on_output(output);
  }
}

void Execution::on_input() {
  if (!input_) return;
  const std::string_view rest = job_.input->substr(input_sent_);
  const ssize_t n = rest.empty() ? 0 : write(input_.get(), rest.data(), rest.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    input_.reset();  // all written, or nobody reads any more
    return;
  }
  input_sent_ += static_cast<size_t>(n);
  if (input_sent_ == job_.input->size()) input_.reset();
}

// Looks at what no descriptor reports: processor time, the checker's memory (which the program's
// answers may fill), and without a control group the program's memory, threads and files.
void Execution::watch() {
  watched_ = clock_.now();
  const double wall = clock_.seconds_since(started_);
  const ProcessUsage candidate = process_usage(candidate_.process);
  const ProcessUsage checker = process_usage(checker_.process);
  const int64_t memory = limits_.memory_bytes + kSharedBytes;
  double cpu = candidate.cpu_seconds;
  if (slot_.group) {
    if (const auto total = slot_.group->cpu_seconds()) cpu = std::max(cpu, *total - cpu_at_start_);
  } else {
    if (candidate.resident_bytes > memory) return stop(Stop::memory);
    if (candidate.threads > limits_.processes) return stop(Stop::processes);
  }
  if (checker.resident_bytes > memory) return stop(Stop::memory);
  seen_.starved_seconds = std::max(seen_.starved_seconds, starved_seconds(candidate_.process));
  if (std::max(cpu, checker.cpu_seconds) > limits_.cpu_seconds) return stop(Stop::cpu_limit);
  if (all_ready() && wall > wall_limit()) return stop(Stop::wall_limit);
  if (!slot_.candidate.directory.empty()) {
    Usage usage = directory_usage(slot_.candidate.directory, limits_.files);
    usage.bytes +=
        unnamed_bytes(candidate_.process, slot_.candidate.directory, limits_.file_bytes);
    if (usage.bytes > limits_.files_bytes || usage.entries > limits_.files) {
      return stop(Stop::files);
    }
  }
}

double Execution::wall_limit() const {
  const double limit = limits_.wall();
  return patient_ ? limit + std::min(seen_.starved_seconds, 20 * limit) : limit;
}

bool Execution::done() const {
  return candidate_.exit.known && (!has_checker_ || checker_.exit.known);
}

void Execution::loop() {
  while (seen_.broken.empty()) {
    if (done()) {
      drain(out_);
      drain(err_);
      return;
    }
    if (!ending_ && has_checker_ && (seen_.checker_spoke || checker_.exit.known)) {
      // Decided; whatever the candidate still does is of no interest. Only if the checker lost it,
      // how it ended is: it gets a moment to end by itself.
      lost_ = seen_.reason == "candidate_exit" && !candidate_.exit.known;
      if (!lost_) candidate_.kill();
      ending_ = true;
      ending_since_ = clock_.now();
    }
    if (lost_ && !candidate_.exit.known && clock_.seconds_since(ending_since_) > kLostSeconds) {
      lost_ = false;
      seen_.link_closed = true;
      candidate_.kill();
    }
    std::vector<pollfd> ready;
    std::vector<void (*)(Execution&)> actions;
    const auto add = [&](int fd, short events, void (*action)(Execution&)) {
      ready.push_back({fd, events, 0});
      actions.push_back(action);
    };
    const auto wire_events = [](const Side& side) {
      return static_cast<short>(POLLIN |
                                (side.sent > 0 && side.sent < side.to_send.size() ? POLLOUT : 0));
    };
    if (!candidate_.exit.known) {
      add(slot_.candidate.control.get(), POLLIN, [](Execution& e) { e.on_control(e.candidate_); });
    }
    if (candidate_.wire) {
      add(candidate_.wire.get(), wire_events(candidate_), [](Execution& e) {
        e.send_job(e.candidate_);
        e.on_wire(e.candidate_);
      });
    }
    if (has_checker_ && !checker_.exit.known) {
      add(slot_.checker.control.get(), POLLIN, [](Execution& e) { e.on_control(e.checker_); });
    }
    if (has_checker_ && checker_.wire) {
      add(checker_.wire.get(), wire_events(checker_), [](Execution& e) {
        e.send_job(e.checker_);
        e.on_wire(e.checker_);
      });
    }
    if (out_.pipe) add(out_.pipe.get(), POLLIN, [](Execution& e) { e.on_output(e.out_); });
    if (err_.pipe) add(err_.pipe.get(), POLLIN, [](Execution& e) { e.on_output(e.err_); });
    if (input_ && candidate_.ready) add(input_.get(), POLLOUT, [](Execution& e) { e.on_input(); });

    double wait;
    if (ending_) {
      wait = kEndSeconds - clock_.seconds_since(ending_since_);
      if (wait <= 0) return broken("a killed process does not end");
      if (lost_) wait = std::max(0.0, kLostSeconds - clock_.seconds_since(ending_since_));
    } else {
      wait = kSetupSeconds - clock_.seconds_since(created_);
      if (all_ready()) {
        wait = wall_limit() - clock_.seconds_since(started_);
      } else if (wait <= 0) {
        return broken("set-up takes too long");
      }
      if (candidate_.ready) wait = std::min(wait, kWatchSeconds - clock_.seconds_since(watched_));
      if (wait <= 0) {
        watch();
        continue;
      }
    }
    const int n = poll(ready.data(), ready.size(), static_cast<int>(wait * 1000) + 1);
    clock_.waited(wait);
    if (n < 0 && errno != EINTR) return broken("poll");
    for (size_t i = 0; n > 0 && i < ready.size() && seen_.broken.empty(); ++i) {
      if (ready[i].revents != 0) actions[i](*this);
    }
  }
}

void Execution::finish() {
  if (all_ready()) seen_.wall_seconds = clock_.seconds_since(started_);
  candidate_.kill();
  checker_.kill();
  seen_.candidate = candidate_.exit;
  seen_.checker = checker_.exit;
  seen_.cpu_seconds = candidate_.exit.cpu_seconds + checker_.exit.cpu_seconds;
  seen_.peak_kib = candidate_.exit.peak_kib;
  if (!seen_.broken.empty()) return;
  if (slot_.group) {
    if (const auto peak = slot_.group->peak_bytes()) {
      seen_.peak_kib = std::max(seen_.peak_kib, *peak >> 10);
    }
    if (seen_.outcome != "passed") {
      const int64_t kills = slot_.group->oom_kills();
      seen_.oom_killed = kills > slot_.oom_kills;
      slot_.oom_kills = kills;
    }
  }
  for (const SlotServer* server : {&slot_.candidate, &slot_.checker}) {
    if (!server->directory.empty() && !purge_directory(server->directory)) {
      return broken("files of the program cannot be removed");
    }
  }
}

}  // namespace

Observation execute(Slot& slot, const Job& job, const Limits& limits, Level level, bool patient) {
  return Execution(slot, job, limits, level, patient).run();
}

}  // namespace assay::sandbox
