// Builds the outer sandbox around a server and starts CPython in it. Usage:
//   launch namespaces PYTHON BOOT PATH...   new user, pid, mount, net, ipc and uts namespace; the
//                                           root is an empty tmpfs with read-only binds of PATHs
//   launch bare UID PYTHON BOOT             no namespaces; UID 0 means: stay who you are
// Descriptors: 3 control socket to the supervisor, 4 guard library, 5 Python sources. A failed step
// is reported on the control socket as "E" + text. BOOT is the Python text that loads the rest.
//
// A program of its own because the supervisor is large and has threads: it is started with vfork
// semantics and works in a clean single-threaded process.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

namespace {

constexpr int kControl = 3, kLibrary = 4, kSources = 5;
// The host directory that the new root is mounted over, in this mount namespace only: it exists on
// every system and nothing that programs need lies below it.
constexpr char kRoot[] = "/proc";

[[noreturn]] void die(const char* step, const char* what) {
  char text[1024];
  const int n =
      snprintf(text, sizeof text, "E%s%s%s: %s", step, *what ? " " : "", what, strerror(errno));
  if (send(kControl, text, n > 0 && n < 1024 ? static_cast<size_t>(n) : 1, 0) < 0) _exit(72);
  _exit(71);
}
void check(bool ok, const char* step, const char* what = "") {
  if (!ok) die(step, what);
}

const char* in_root(const char* path) {
  static char buffer[2][4096];
  static int turn = 0;
  turn ^= 1;
  snprintf(buffer[turn], sizeof buffer[turn], "%s%s", kRoot, path);
  return buffer[turn];
}

// mkdir -p of everything above the last component, below the new root.
void make_parents(const char* path) {
  char text[4096];
  snprintf(text, sizeof text, "%s", in_root(path));
  for (char* slash = strchr(text + strlen(kRoot) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    check(mkdir(text, 0755) == 0 || errno == EEXIST, "mkdir", text);
    *slash = '/';
  }
}

// Makes a mount read-only with everything mounted below it, where the kernel can (5.12); before
// that only its top, and what lies below keeps the flags it has.
void make_read_only(const char* path) {
  struct {  // struct mount_attr
    unsigned long long set, clear, propagation, userns;
  } attributes = {1 /* RDONLY */ | 2 /* NOSUID */, 0, 0, 0};
  if (syscall(442 /* mount_setattr */, AT_FDCWD, path, AT_RECURSIVE, &attributes,
              sizeof attributes) == 0) {
    return;
  }
  struct statvfs info;
  check(statvfs(path, &info) == 0, "statvfs", path);
  unsigned long flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID;
  if (info.f_flag & ST_NODEV) flags |= MS_NODEV;
  if (info.f_flag & ST_NOEXEC) flags |= MS_NOEXEC;
  if (info.f_flag & ST_NOATIME) flags |= MS_NOATIME;
  if (info.f_flag & ST_NODIRATIME) flags |= MS_NODIRATIME;
  if (info.f_flag & ST_RELATIME) flags |= MS_RELATIME;
  check(mount(nullptr, path, nullptr, flags, nullptr) == 0, "remount read-only", path);
}

void bind(const char* path) {
  struct stat info;
  if (lstat(path, &info) != 0) return;  // what the host lacks the sandbox lacks too
  make_parents(path);
  const char* target = in_root(path);
  if (S_ISLNK(info.st_mode)) {  // merged /usr: /bin -> usr/bin
    char link[4096];
    const ssize_t n = readlink(path, link, sizeof link - 1);
    check(n > 0, "readlink", path);
    link[n] = 0;
    check(symlink(link, target) == 0 || errno == EEXIST, "symlink", target);
    return;
  }
  if (S_ISDIR(info.st_mode)) {
    check(mkdir(target, 0755) == 0 || errno == EEXIST, "mkdir", target);
  } else {
    const int fd = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    check(fd >= 0, "create", target);
    close(fd);
  }
  check(mount(path, target, nullptr, MS_BIND | MS_REC, nullptr) == 0, "bind", path);
  make_read_only(target);
}

void copy_library(const char* path) {
  const int out = open(in_root(path), O_CREAT | O_WRONLY | O_CLOEXEC, 0444);
  check(out >= 0, "create", path);
  char buffer[65536];
  off_t at = 0;
  for (ssize_t n; (n = pread(kLibrary, buffer, sizeof buffer, at)) != 0; at += n) {
    check(n > 0 && write(out, buffer, static_cast<size_t>(n)) == n, "copy", path);
  }
  close(out);
}

void make_root(char** paths) {
  check(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make mounts private");
  check(mount("tmpfs", kRoot, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=4m") == 0,
        "mount tmpfs", kRoot);
  for (; *paths; ++paths) bind(*paths);
  // Read-only too: devices can be written all the same, but not their times and modes changed.
  for (const char* device : {"null", "zero", "full", "random", "urandom"}) {
    char path[64];
    snprintf(path, sizeof path, "/dev/%s", device);
    bind(path);
  }
  for (const char* directory : {"/run", "/run/box", "/var", "/assay"}) {
    check(mkdir(in_root(directory), 0755) == 0 || errno == EEXIST, "mkdir", directory);
  }
  check(symlink("/run/box/tmp", in_root("/tmp")) == 0, "symlink", "/tmp");
  check(symlink("/run/box/tmp", in_root("/var/tmp")) == 0, "symlink", "/var/tmp");
  check(symlink("/run/box/shm", in_root("/dev/shm")) == 0, "symlink", "/dev/shm");
  copy_library("/assay/guard.so");

  check(chdir(kRoot) == 0, "chdir", kRoot);
  check(syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
  check(umount2(".", MNT_DETACH) == 0, "detach old root");
  check(chdir("/") == 0, "chdir", "/");
  check(mount(nullptr, "/", nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV,
              nullptr) == 0,
        "remount root read-only");
}

[[noreturn]] void exec_python(char* python, char* boot) {
  char* const arguments[] = {
      python, const_cast<char*>("-s"), const_cast<char*>("-B"), const_cast<char*>("-c"), boot,
      nullptr};
  char* const environment[] = {const_cast<char*>("PATH=/usr/local/bin:/usr/bin:/bin"),
                               const_cast<char*>("LANG=C.UTF-8"),
                               const_cast<char*>("PYTHONHASHSEED=0"),
                               const_cast<char*>("OMP_NUM_THREADS=1"),
                               const_cast<char*>("OPENBLAS_NUM_THREADS=1"),
                               const_cast<char*>("MKL_NUM_THREADS=1"),
                               nullptr};
  for (int fd = kControl; fd <= kSources; ++fd) fcntl(fd, F_SETFD, 0);
  // Python and the C library size themselves by the usual 8 MiB; the guard raises it later.
  const rlimit stack = {8u << 20, RLIM_INFINITY};
  if (setrlimit(RLIMIT_STACK, &stack) != 0) {
    rlimit own;
    if (getrlimit(RLIMIT_STACK, &own) == 0 && own.rlim_cur > (8u << 20)) {
      own.rlim_cur = 8u << 20;
      setrlimit(RLIMIT_STACK, &own);
    }
  }
  execve(python, arguments, environment);
  die("start interpreter", python);
}

int enter_namespaces(char* python, char* boot, char** paths) {
  // Supplementary groups of root would follow into the namespace.
  if (geteuid() == 0) setgroups(0, nullptr);
  check(unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                CLONE_NEWUTS) == 0,
        "create namespaces");
  // The supervisor, outside, writes the id maps.
  char answer = 0;
  check(send(kControl, "U", 1, 0) == 1 && recv(kControl, &answer, 1, 0) == 1 && answer == 'M',
        "map user ids");
  check(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0, "become root of the namespace");
  // Changing ids cleared it; uid maps and pidfds of children need it.
  check(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0, "set dumpable");
  make_root(paths);
  check(sethostname("sandbox", 7) == 0, "sethostname");

  const pid_t child = fork();
  check(child >= 0, "fork");
  if (child == 0) exec_python(python, boot);
  // The supervisor kills process 1 of the namespace by this descriptor, and with it everything.
  const int pidfd = static_cast<int>(syscall(434 /* pidfd_open */, child, 0));
  check(pidfd >= 0, "pidfd_open");
  char tag = 'I';
  iovec io = {&tag, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &pidfd, sizeof pidfd);
  check(sendmsg(kControl, &message, 0) == 1, "send pidfd");
  for (int fd = 0; fd < 64; ++fd) close(fd);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  umask(022);
  setsid();
  // Nothing that the supervisor has open may follow into the sandbox.
  if (syscall(436 /* close_range */, kSources + 1, ~0u, 0) != 0) {
    for (int fd = kSources + 1; fd < 65536; ++fd) close(fd);
  }
  if (argc >= 5 && strcmp(argv[1], "bare") == 0) {
    const unsigned id = static_cast<unsigned>(strtoul(argv[2], nullptr, 10));
    if (id != 0) {
      check(setgroups(0, nullptr) == 0, "setgroups");
      for (int cap = 0; cap < 64; ++cap) prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
      check(setresgid(id, id, id) == 0 && setresuid(id, id, id) == 0, "change user");
    }
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
    check(chdir("/") == 0, "chdir", "/");
    signal(SIGPIPE, SIG_DFL);
    exec_python(argv[3], argv[4]);
  }
  if (argc >= 4 && strcmp(argv[1], "namespaces") == 0) {
    return enter_namespaces(argv[2], argv[3], argv + 4);
  }
  return 2;
}
