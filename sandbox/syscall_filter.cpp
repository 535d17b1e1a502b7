#include "sandbox/syscall_filter.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sandbox/descriptor.h"

namespace assay::sandbox {
namespace {

// Namespaces and mounts (old and new interface); other processes; keys, programs for the kernel,
// asynchronous rings, faults and counters; System V and POSIX queues; identities; the machine; who
// uses the host's files (by watching them).
constexpr std::string_view kRefused[] = {
    "umount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount", "fspick",
    "open_tree", "open_tree_attr", "move_mount", "mount_setattr", "statmount", "listmount",
    "listns", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise",
    "process_mrelease", "kcmp", "pidfd_getfd", "pidfd_send_signal", "add_key", "request_key",
    "keyctl", "bpf", "io_uring_setup", "io_uring_enter", "io_uring_register", "io_setup",
    "io_submit", "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "userfaultfd",
    "perf_event_open", "seccomp", "shmget", "shmat", "shmctl", "shmdt", "msgget", "msgsnd",
    "msgrcv", "msgctl", "semget", "semop", "semctl", "semtimedop", "mq_open", "mq_unlink",
    "mq_timedsend", "mq_timedreceive", "mq_notify", "mq_getsetattr", "setuid", "setgid",
    "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid",
    "personality", "socket", "bind", "connect", "listen", "accept", "accept4", "memfd_secret",
    "vmsplice", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load",
    "reboot", "swapon", "swapoff", "acct", "settimeofday", "stime", "clock_settime",
    "clock_adjtime", "clock_settime64", "clock_adjtime64", "adjtimex", "sethostname",
    "setdomainname", "iopl", "ioperm", "modify_ldt", "quotactl", "quotactl_fd", "nfsservctl",
    "syslog", "lookup_dcookie", "vhangup", "open_by_handle_at", "name_to_handle_at",
    "fanotify_init", "fanotify_mark", "inotify_init", "inotify_init1", "inotify_add_watch",
    "_sysctl", "uselib", "sysfs", "ustat", "setpriority", "ioprio_set", "sched_setaffinity",
    "sched_setscheduler", "sched_setparam", "sched_setattr", "migrate_pages", "move_pages",
    "mbind", "set_mempolicy", "set_mempolicy_home_node", "setxattr", "lsetxattr", "fsetxattr",
    "setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat", "mlock",
    "mlock2", "mlockall", "rtas", "s390_runtime_instr", "lsm_set_self_attr", "file_setattr"};

// Of the same kinds, but the servers and the guard need them.
constexpr std::string_view kRefusedToPrograms[] = {
    "unshare", "setns", "mount", "pidfd_open", "landlock_create_ruleset", "landlock_add_rule",
    "landlock_restrict_self", "capset"};

// Landlock says nothing about these, so that they would reach the user's own files.
constexpr std::string_view kRefusedAtC[] = {
    "chmod",     "fchmod",   "fchmodat", "fchmodat2",    "chown",        "lchown",
    "fchown",    "fchownat", "utime",    "utimes",       "utimensat",    "utimensat_time64",
    "futimesat", "truncate", "tkill"};

class Filter {
 public:
  Filter() : context_(seccomp_init(SCMP_ACT_ALLOW)) {
    if (!context_) throw_resource("cannot build a system call filter", "libseccomp");
    // Other calling conventions (x32, 32-bit) would bypass numbers and arguments checked here.
    require(seccomp_attr_set(context_, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
    require(seccomp_attr_set(context_, SCMP_FLTATR_CTL_OPTIMIZE, 2));  // binary tree of numbers
  }
  ~Filter() { seccomp_release(context_); }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  // A name that this architecture or this libseccomp does not know is skipped: newer calls are
  // refused as a whole by refuse_newer_calls().
  void refuse(std::string_view name, int error = EPERM) {
    const int number = resolve(name);
    if (number < 0) return;
    require(seccomp_rule_add(context_, SCMP_ACT_ERRNO(static_cast<uint32_t>(error)), number, 0));
  }
  // Refused if all `comparisons` hold.
  void refuse_if(std::string_view name, std::vector<scmp_arg_cmp> comparisons, int error = EPERM) {
    const int number = resolve(name);
    if (number < 0) return;
    require(seccomp_rule_add_array(context_, SCMP_ACT_ERRNO(static_cast<uint32_t>(error)), number,
                                   static_cast<unsigned>(comparisons.size()), comparisons.data()));
  }

  std::string program() const {
    Descriptor file(memfd_create("filter", MFD_CLOEXEC));
    if (!file || seccomp_export_bpf(context_, file.get()) != 0) {
      throw_resource("cannot export the system call filter", "libseccomp");
    }
    std::string bytes(static_cast<size_t>(lseek(file.get(), 0, SEEK_END)), 0);
    if (pread(file.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
      throw_resource("cannot read the system call filter back", "libseccomp");
    }
    return bytes;
  }

 private:
  static int resolve(std::string_view name) {
    return seccomp_syscall_resolve_name(std::string(name).c_str());
  }
  static void require(int code) {
    if (code != 0 && code != -EEXIST) {
      throw_resource("cannot build a system call filter: error " + std::to_string(-code),
                     "libseccomp");
    }
  }
  scmp_filter_ctx context_;
};

constexpr uint64_t kLow32 = 0xFFFFFFFF;  // the kernel ignores the upper half of int arguments

// Calls that came after set_mempolicy_home_node (Linux 5.17, the newest that libseccomp 2.5.4
// knows; numbers have been the same on all architectures since 424) do not exist here. Goes in
// front of a program: jumps of the rest are relative.
std::string refuse_newer_calls() {
  constexpr uint32_t kNewestKnown = 450;
  const sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, kNewestKnown, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
  };
  return std::string(reinterpret_cast<const char*>(code), sizeof code);
}

scmp_arg_cmp equals(unsigned argument, uint64_t value) {
  return {argument, SCMP_CMP_MASKED_EQ, kLow32, value};
}

// What no process of the sandbox does once its interpreter is warm.
std::string server_filter(Level level) {
  Filter filter;
  for (std::string_view name : kRefused) filter.refuse(name);
  filter.refuse("clone3", ENOSYS);  // its flags cannot be seen; the C library falls back to clone
  for (const uint64_t flag : {CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID,
                              CLONE_NEWNET, CLONE_NEWCGROUP}) {
    filter.refuse_if("clone", {{0, SCMP_CMP_MASKED_EQ, flag, flag}});
  }
  // Pairs of connected streams (asyncio needs them); a datagram socket could name its peer.
  filter.refuse_if("socketpair", {{0, SCMP_CMP_NE, AF_UNIX, 0}});
  for (const uint64_t type : {SOCK_DGRAM, SOCK_RAW, SOCK_RDM, SOCK_SEQPACKET}) {
    filter.refuse_if("socketpair", {{1, SCMP_CMP_MASKED_EQ, 0xF, type}});
  }
  // Signals by way of file ownership; who uses a file.
  for (const uint64_t command :
       {F_SETOWN, 15 /* F_SETOWN_EX */, 10 /* F_SETSIG */, 1024 /* F_SETLEASE */, 1026 /* F_NOTIFY */}) {
    filter.refuse_if("fcntl", {equals(1, command)});
  }
  // Locks would reach whoever locks the same file outside, and let programs meet that run at the same
  // time. They succeed without effect: nobody else has these files.
  filter.refuse("flock", 0);
  for (const uint64_t command : {F_GETLK, F_SETLK, F_SETLKW, 36 /* F_OFD_GETLK */,
                                 37 /* F_OFD_SETLK */, 38 /* F_OFD_SETLKW */}) {
    filter.refuse_if("fcntl", {equals(1, command)}, 0);
  }
  // Terminals; the machine's network interfaces, which any socket shows, and a socket's owner.
  for (const uint64_t request : {0x5412 /* TIOCSTI */, 0x541C /* TIOCLINUX */}) {
    filter.refuse_if("ioctl", {equals(1, request)});
  }
  filter.refuse_if("ioctl", {{1, SCMP_CMP_MASKED_EQ, 0xFF00, 0x8900 /* SIOC... */}});
  for (const uint64_t option :
       {PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, 62 /* PR_SCHED_CORE */}) {
    filter.refuse_if("prctl", {equals(0, option)});
  }
  // Handles on the process at the other end of a socket, which is the supervisor.
  filter.refuse_if("getsockopt", {equals(1, SOL_SOCKET), equals(2, 77 /* SO_PEERPIDFD */)});
  filter.refuse_if("setsockopt", {equals(1, SOL_SOCKET), equals(2, 76 /* SO_PASSPIDFD */)});
  // The machine's huge pages are no control group's; its disks are flushed for nobody here.
  filter.refuse_if("mmap", {{3, SCMP_CMP_MASKED_EQ, MAP_HUGETLB, MAP_HUGETLB}}, ENOMEM);
  filter.refuse_if("memfd_create", {{1, SCMP_CMP_MASKED_EQ, 4 /* MFD_HUGETLB */, 4}}, ENOMEM);
  filter.refuse("sync", 0);
  filter.refuse("syncfs", 0);
  if (level != Level::a) filter.refuse("memfd_create");
  if (level == Level::c) {
    for (std::string_view name : kRefusedAtC) filter.refuse(name);
  }
  return refuse_newer_calls() + filter.program();
}

// What a child's set-up still does itself.
std::string program_filter(Level level) {
  Filter filter;
  for (std::string_view name : kRefusedToPrograms) filter.refuse(name);
  filter.refuse_if("prctl", {equals(0, PR_SET_SECCOMP)});
  // Only one's own limits. The guard's of core dumps means "none at all", which a lower one would not.
  // A lower one of processor time would have the kernel kill the program as if from outside; setting it
  // has no effect.
  filter.refuse_if("prlimit64", {{0, SCMP_CMP_NE, 0, 0}});
  filter.refuse_if("setrlimit", {equals(0, RLIMIT_CORE)});
  filter.refuse_if("prlimit64", {equals(1, RLIMIT_CORE), {2, SCMP_CMP_NE, 0, 0}});
  filter.refuse_if("setrlimit", {equals(0, RLIMIT_CPU)}, 0);
  filter.refuse_if("prlimit64", {{0, SCMP_CMP_EQ, 0, 0}, equals(1, RLIMIT_CPU), {2, SCMP_CMP_NE, 0, 0}}, 0);
  if (level != Level::a) {
    // Without a pid namespace or a control group one process is one kill, and memory is address space.
    for (std::string_view name : {"fork", "vfork"}) filter.refuse(name);
    filter.refuse_if("clone", {{0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0}});
  }
  if (level == Level::c) {
    // Nobody counts the files that the program holds but in its one table of descriptors: not in tables
    // of single threads, nor in messages under way; and that table must be readable.
    filter.refuse_if("clone", {{0, SCMP_CMP_MASKED_EQ, CLONE_FILES, 0}});
    for (std::string_view name : {"sendmsg", "sendmmsg"}) filter.refuse(name);
    filter.refuse_if("prctl", {equals(0, PR_SET_DUMPABLE)});
  }
  return filter.program();
}

}  // namespace

SyscallFilters syscall_filters(Level level) { return {server_filter(level), program_filter(level)}; }

}  // namespace assay::sandbox
