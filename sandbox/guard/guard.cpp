#include "sandbox/guard/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

#include "sandbox/guard/landlock.h"

namespace landlock = assay::sandbox::landlock;

namespace {

constexpr int kWire = 3, kLink = 4;  // as in python/server.py

// State of this server, set once and inherited by every child.
struct {
  uint32_t flags = 0;
  sock_fprog filter = {0, nullptr};
  char writable[4096] = "";
  int ruleset = -1;
  int self = -1;  // pidfd of the server
} g;

int failed(const char* step, char* error, size_t error_size) {
  const int code = errno != 0 ? errno : EINVAL;
  snprintf(error, error_size, "%s: %s", step, strerror(code));
  return code;
}

// Lets programs use `path` with `access`; a path that does not exist is no error.
bool allow(int ruleset, const char* path, uint64_t access) {
  const int fd = open(path, O_PATH | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT || errno == EACCES;
  struct stat info;
  if (fstat(fd, &info) == 0 && !S_ISDIR(info.st_mode)) access &= landlock::kFileRights;
  const landlock::PathBeneath rule = {access, fd};
  const bool ok = syscall(landlock::kAddRule, ruleset, landlock::kRulePathBeneath, &rule, 0) == 0;
  const int saved = errno;
  close(fd);
  errno = saved;
  return ok;
}

// The ruleset is built once: the directory below which programs mount or get their files is a
// parent of everything they may write.
int make_ruleset(const char* readable, uint32_t readable_bytes, char* error, size_t error_size) {
  const int abi = landlock::abi();
  if (abi == 0) return 0;
  const uint64_t rights = landlock::file_rights(abi);
  const landlock::RulesetAttributes attributes = {rights, 3 /* bind, connect */,
                                                  3 /* abstract sockets, signals */};
  const size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
  const int low = static_cast<int>(syscall(landlock::kCreateRuleset, &attributes, size, 0));
  if (low >= 0) {  // out of the way of the numbers that children give to their descriptors
    g.ruleset = fcntl(low, F_DUPFD_CLOEXEC, 128);
    close(low);
  }
  if (g.ruleset < 0) return failed("landlock_create_ruleset", error, error_size);
  for (const char* path = readable; path < readable + readable_bytes; path += strlen(path) + 1) {
    if (!allow(g.ruleset, path, landlock::kReadOnly)) {
      return failed("landlock_add_rule (read)", error, error_size);
    }
  }
  const uint64_t device =
      (landlock::kReadFile | landlock::kWriteFile | landlock::kTruncate) & rights;
  for (const char* path : {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}) {
    if (!allow(g.ruleset, path, device)) {
      return failed("landlock_add_rule (device)", error, error_size);
    }
  }
  if (!allow(g.ruleset, g.writable, rights)) {
    return failed("landlock_add_rule (write)", error, error_size);
  }
  return 0;
}

// The writable tree of one program: an empty tmpfs with tmp/ and shm/. /tmp, /var/tmp and /dev/shm
// of the outer root are links into it.
bool mount_box(const GuardLimits& limits, const char** step) {
  *step = "unshare mount namespace";
  if (unshare(CLONE_NEWNS) != 0) return false;
  char box[4200], path[4300], options[128];
  snprintf(box, sizeof box, "%s/box", g.writable);
  snprintf(options, sizeof options, "mode=0700,size=%llu,nr_inodes=%llu",
           static_cast<unsigned long long>(limits.files_bytes),
           static_cast<unsigned long long>(limits.files));
  *step = "mount tmpfs";
  if (mount("tmpfs", box, "tmpfs", MS_NOSUID | MS_NODEV, options) != 0) return false;
  *step = "make directories";
  for (const char* name : {"tmp", "shm"}) {
    snprintf(path, sizeof path, "%s/%s", box, name);
    if (mkdir(path, 0700) != 0) return false;
  }
  *step = "chdir";
  snprintf(path, sizeof path, "%s/tmp", box);
  return chdir(path) == 0;
}

// Or less, where this session of the user has less; that cannot be raised.
bool set_limit(int resource, uint64_t value) {
  const auto which = static_cast<__rlimit_resource>(resource);
  rlimit limit;
  if (getrlimit(which, &limit) != 0) return false;
  limit.rlim_cur = limit.rlim_max = value < limit.rlim_max ? value : limit.rlim_max;
  return setrlimit(which, &limit) == 0;
}

// 1 keeps the kernel from starting a program that is to receive the dump; 0 would not.
constexpr uint64_t kNoCoreDump = 1;

bool set_limits(const GuardLimits& limits) {
  // The main thread's stack may grow further than a thread's (whose size was fixed at start), for
  // programs that raise the recursion limit.
  rlimit stack;
  if (getrlimit(RLIMIT_STACK, &stack) != 0) return false;
  stack.rlim_cur = limits.stack_bytes < stack.rlim_max ? limits.stack_bytes : stack.rlim_max;
  stack.rlim_max = stack.rlim_cur;
  return setrlimit(RLIMIT_STACK, &stack) == 0 && set_limit(RLIMIT_AS, limits.address_space_bytes) &&
         set_limit(RLIMIT_CPU, limits.cpu_seconds) && set_limit(RLIMIT_NPROC, limits.processes) &&
         set_limit(RLIMIT_NOFILE, limits.descriptors) &&
         set_limit(RLIMIT_FSIZE, limits.file_bytes) && set_limit(RLIMIT_CORE, kNoCoreDump) &&
         set_limit(RLIMIT_MEMLOCK, 0) && set_limit(RLIMIT_MSGQUEUE, 0) &&
         set_limit(RLIMIT_SIGPENDING, 256);
}

bool drop_capabilities() {
  if (g.flags & kGuardNamespaces) {
    // Root of the namespace regains nothing by exec, and the bits cannot be changed back.
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) != 0) return false;
    for (int cap = 0; cap < 64; ++cap) {
      if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0) continue;
      if (errno != EINVAL) return false;
      break;  // beyond the last that this kernel knows
    }
  }
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  return syscall(SYS_capset, &header, none) == 0;
}

// kill and its relatives only with the own process id; the id is only known here, so that this
// filter is made by hand and stacks on the prepared one.
bool own_signals_only() {
  const uint32_t self = static_cast<uint32_t>(getpid());
  const sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_kill, 4, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigqueueinfo, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_tgsigqueueinfo, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, self, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
  };
  const sock_fprog program = {sizeof code / sizeof code[0], const_cast<sock_filter*>(code)};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

void close_from(unsigned first) {
  if (syscall(436 /* close_range */, first, ~0u, 0) == 0) return;
  const long last = sysconf(_SC_OPEN_MAX);
  for (long fd = first; fd < (last > 0 ? last : 1024); ++fd) close(static_cast<int>(fd));
}

// Moves the descriptors that came with the job to their numbers.
bool place(const int* descriptors, uint32_t count, bool has_link) {
  // Out of the way of the targets first, so that none overwrites one that is still needed.
  int high[8];
  if (count == 0 || count > 8) return false;
  for (uint32_t i = 0; i < count; ++i) {
    high[i] = fcntl(descriptors[i], F_DUPFD, 64);
    if (high[i] < 0) return false;
  }
  uint32_t next = 0;
  if (dup2(high[next++], kWire) < 0) return false;
  if (has_link && (next == count || dup2(high[next++], kLink) < 0)) return false;
  for (int target = 0; next < count; ++target) {
    if (dup2(high[next++], target) < 0) return false;
  }
  return true;
}

// A frame of frames.h on the wire.
void report(char tag, const char* text) {
  char frame[600];
  const size_t size = strlen(text) < 512 ? strlen(text) : 512;
  const uint8_t header[5] = {static_cast<uint8_t>(tag), static_cast<uint8_t>(size & 0xFF),
                             static_cast<uint8_t>(size >> 8), 0, 0};
  memcpy(frame, header, sizeof header);
  memcpy(frame + sizeof header, text, size);
  if (write(kWire, frame, sizeof header + size) < 0) _exit(71);
}

int lock_up(const GuardLimits& limits, unsigned keep_below, char* error, size_t error_size) {
  // Signals to a process group must not reach the server, which may have the same user id.
  if (setsid() < 0) return failed("setsid", error, error_size);
  if (g.flags & kGuardNamespaces) {
    const char* step = "";
    if (!mount_box(limits, &step)) return failed(step, error, error_size);
  } else if (chdir(g.writable) != 0) {
    return failed("chdir", error, error_size);
  }
  // A namespace without a mapping: no capability over anything, and a process count of its own.
  if ((g.flags & kGuardNamespaces) && unshare(CLONE_NEWUSER) != 0) {
    return failed("unshare user namespace", error, error_size);
  }
  if (!set_limits(limits)) return failed("setrlimit", error, error_size);
  if (!drop_capabilities()) return failed("drop capabilities", error, error_size);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return failed("no_new_privs", error, error_size);
  }
  if (g.ruleset >= 0 && syscall(landlock::kRestrictSelf, g.ruleset, 0) != 0) {
    return failed("landlock_restrict_self", error, error_size);
  }
  close_from(keep_below);
  if ((g.flags & kGuardOwnSignals) && !own_signals_only()) {
    return failed("seccomp (signals)", error, error_size);
  }
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &g.filter, 0, 0) != 0) {
    return failed("seccomp", error, error_size);
  }
  return 0;
}

void enter(const GuardLimits& limits, const int* descriptors, uint32_t count, bool has_link) {
  errno = 0;
  char error[512];
  const bool placed = place(descriptors, count, has_link);
  const int code = !placed ? failed("descriptors", error, sizeof error)
                           : lock_up(limits, has_link ? kLink + 1 : kWire + 1, error, sizeof error);
  report(code == 0 ? 'R' : 'F', code == 0 ? "" : error);
  if (code != 0) _exit(70);
}

}  // namespace

int guard_filter_server(const void* filter, uint32_t filter_bytes) {
  const sock_fprog program = {static_cast<unsigned short>(filter_bytes / sizeof(sock_filter)),
                              const_cast<sock_filter*>(static_cast<const sock_filter*>(filter))};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0) {
    return errno;
  }
  return 0;
}

int guard_configure(uint32_t flags, const void* filter, uint32_t filter_bytes,
                    const char* writable_directory, const char* readable, uint32_t readable_bytes,
                    char* error, size_t error_size) {
  g.flags = flags;
  snprintf(g.writable, sizeof g.writable, "%s", writable_directory);
  g.filter.len = static_cast<unsigned short>(filter_bytes / sizeof(sock_filter));
  g.filter.filter = static_cast<sock_filter*>(malloc(filter_bytes));
  if (g.filter.filter == nullptr) return failed("allocate filter", error, error_size);
  memcpy(g.filter.filter, filter, filter_bytes);
  if (flags & kGuardNamespaces) {
    g.self = static_cast<int>(syscall(434 /* pidfd_open */, getpid(), 0));
    if (g.self < 0) return failed("pidfd_open", error, error_size);
  }
  return make_ruleset(readable, readable_bytes, error, error_size);
}

int guard_fork(const GuardLimits* limits, const int* descriptors, uint32_t count,
               uint32_t has_link) {
  const bool namespaces = (g.flags & kGuardNamespaces) != 0;
  if (namespaces && unshare(CLONE_NEWPID) != 0) return -errno;
  const pid_t child = fork();
  if (child == 0) {
    enter(*limits, descriptors, count, has_link != 0);
    return 0;
  }
  const int fork_error = errno;
  // Further children are wanted in the server's own namespace again.
  if (namespaces && setns(g.self, CLONE_NEWPID) != 0) {
    const int code = errno;
    if (child > 0) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
    return -code;
  }
  return child > 0 ? child : -fork_error;
}
