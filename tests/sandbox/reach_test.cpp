// What lies outside, and the programs that run at the same time: files by every path, sockets of
// every family, system calls that reach past the sandbox, meeting another program. Complements the
// first collection in hostile_test.cpp.
#include "tests/sandbox/attacks.h"

namespace assay::sandbox {
namespace {

using testing::Attack;
using testing::program;
using testing::script;
using testing::summary;

const Attack kReaching[] = {
    {"every_socket_family", R"py(
import ctypes, socket
libc = ctypes.CDLL(None, use_errno=True)
for family in range(64):
    for kind in (1, 2, 3, 4, 5, 6, 10):
        for flags in (0, 0o4000, 0o2000000):
            if libc.socket(family, kind | flags, 0) >= 0: print("ESCAPED", family, kind)
            pair = (ctypes.c_int * 2)()
            if (family, kind) != (1, 1) and libc.socketpair(family, kind | flags, 0, pair) == 0: print("ESCAPED pair", family, kind)
)py"},
    {"names_and_mail", R"py(
import socket, urllib.request, smtplib, ftplib, ssl, asyncio
for act in (lambda: socket.getaddrinfo("example.org", 80), lambda: socket.create_connection(("127.0.0.1", 22), 1), lambda: socket.create_server(("", 0)), lambda: urllib.request.urlopen("http://169.254.169.254/", timeout=1), lambda: smtplib.SMTP("127.0.0.1", timeout=1), lambda: asyncio.run(asyncio.open_connection("127.0.0.1", 80)), lambda: asyncio.run(asyncio.start_server(print, "127.0.0.1", 0)).sockets[0]):
    try: act()
    except Exception: continue
    print("ESCAPED")
)py"},
    {"handles_on_the_supervisor", R"py(
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
size = ctypes.c_int(4)
value = ctypes.c_int(0)
for fd in (3, 4):
    if libc.getsockopt(fd, 1, 77, ctypes.byref(value), ctypes.byref(size)) == 0: print("ESCAPED peer")
    if libc.setsockopt(fd, 1, 76, ctypes.byref(ctypes.c_int(1)), 4) == 0: print("ESCAPED pass")
for pid in (0, 1, 2, os.getpid(), os.getppid()):
    if libc.syscall(434, pid, 0) >= 0: print("ESCAPED handle", pid)
    if libc.syscall(312, pid, pid, 0, 0, 0) >= 0: print("ESCAPED compare", pid)
)py"},
    {"paths_around_the_root", R"py(
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
allowed = {"assay", "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "run", "sbin", "tmp", "usr", "var"}
def inside():
    # At levels with a root of their own nothing else is there; at level C nothing can be listed.
    try: names = set(os.listdir("/"))
    except OSError: return
    if names - allowed and not os.path.exists("/assay"): print("ESCAPED listing", names)
inside()
secrets = ("etc/shadow", "etc/passwd", "root/.bashrc", "proc/1/environ", "sys/kernel/version", "etc/hostname")
roots = ("/", "/usr/../", "../" * 40, "/proc/self/root/", "/proc/1/root/", "/dev/../", "/run/box/../../", "/tmp/../", "//", "/usr/lib/../../", "/lib/../../", "/bin/../../")
for root in roots:
    for secret in secrets:
        for flags in (os.O_RDONLY, os.O_RDWR, os.O_RDONLY | os.O_NOFOLLOW):
            try: os.open(root + secret, flags)
            except OSError: continue
            print("ESCAPED", root + secret)
top = None
try: top = os.open("/", os.O_PATH | os.O_DIRECTORY)
except OSError: pass
for secret in secrets:
    if top is None: break
    try: os.open(secret, os.O_RDONLY, dir_fd=top)
    except OSError: continue
    print("ESCAPED handle", secret)
for secret in secrets:
    for act in (lambda: os.link("/" + secret, "l"), lambda: os.symlink("/" + secret, "s") or open("s").read() and None, lambda: os.rename("/" + secret, "r")):
        try: act()
        except OSError: pass
        for name in ("l", "s", "r"):
            try: open(name).close(); print("ESCAPED link", secret)
            except OSError: pass
            try: os.unlink(name)
            except OSError: pass
os.chdir("/")
for i in range(50): os.chdir("..")
for secret in secrets:
    try: open(secret).close()
    except OSError: continue
    print("ESCAPED upwards", secret)
)py"},
    {"devices", R"py(
import os, stat
for name in ("tty", "ptmx", "pts/0", "console", "kmsg", "mem", "kmem", "port", "kvm", "fuse", "loop-control", "loop0", "net/tun", "vda", "sda", "nvme0", "dri/card0", "nvidia0", "rtc", "uinput", "userfaultfd", "vhost-net", "hpet", "mqueue", "hugepages"):
    try: os.open("/dev/" + name, os.O_RDONLY | os.O_NOCTTY)
    except OSError: continue
    print("ESCAPED", name)
for mode, device in ((stat.S_IFCHR, os.makedev(1, 1)), (stat.S_IFBLK, os.makedev(254, 0)), (stat.S_IFCHR, os.makedev(10, 232))):
    try: os.mknod("d", mode | 0o666, device); os.open("d", os.O_RDWR)
    except OSError: continue
    print("ESCAPED made")
import pty
try: pty.openpty(); print("ESCAPED terminal")
except OSError: pass
)py"},
    {"changes_the_root_of_others", R"py(
import os
for path in ("/usr/bin/python3", "/bin/sh", "/usr/lib/os-release", "/etc/ld.so.cache", "/dev/null", "/usr", "/etc", "/"):
    for act in (lambda: os.chmod(path, 0o777), lambda: os.chown(path, 0, 0), lambda: os.unlink(path), lambda: os.rmdir(path), lambda: os.truncate(path, 0), lambda: os.utime(path, (0, 0)), lambda: os.setxattr(path, "user.x", b"x"), lambda: os.rename(path, path + "x"), lambda: os.symlink("x", path + "/x"), lambda: os.open(path, os.O_WRONLY | os.O_TRUNC) if path != "/dev/null" else 1 / 0, lambda: os.removexattr(path, "user.x")):
        try: act()
        except (OSError, ZeroDivisionError): continue
        print("ESCAPED", path)
)py"},
    {"set_user_id", R"py(
import ctypes, os, shutil
libc = ctypes.CDLL(None, use_errno=True)
for n, a in ((105, (0,)), (106, (0,)), (113, (0, 0)), (114, (0, 0)), (117, (0, 0, 0)), (119, (0, 0, 0)), (122, (0,)), (123, (0,)), (116, (0, 0))):
    ctypes.set_errno(0)
    if libc.syscall(n, *a) == 0 or ctypes.get_errno() != 1: print("ESCAPED", n)
try: open("x", "w").close(); os.chmod("x", 0o6777); print("" if os.stat("x").st_uid != 0 or os.getuid() == os.stat("x").st_uid else "ESCAPED", end="")
except OSError: pass
if libc.prctl(38, 0, 0, 0, 0) == 0 or libc.prctl(39, 0, 0, 0, 0) != 1: print("ESCAPED new privileges")
status = (ctypes.c_uint32 * 6)()
if libc.syscall(125, (ctypes.c_uint32 * 2)(0x20080522, 0), status) == 0 and any(status): print("ESCAPED capabilities", list(status))
for cap in range(41):
    if libc.prctl(24, cap, 0, 0, 0) == 0 and libc.prctl(23, cap, 0, 0, 0) == 1: print("ESCAPED bounding set", cap)
)py"},
    {"arguments_with_upper_halves", R"py(
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(64)
high = 1 << 32
def refused(what, n, *a):
    ctypes.set_errno(0)
    if libc.syscall(n, *[x if isinstance(x, ctypes.Array) else ctypes.c_long(x) for x in a]) >= 0 or ctypes.get_errno() not in (1, 22, 25, 38, 12): print("ESCAPED", what, ctypes.get_errno())
refused("TIOCSTI", 16, 0, high | 0x5412, buffer)
refused("F_SETOWN", 72, 0, high | 8, 1)
refused("F_SETLEASE", 72, 0, high | 1024, 0)
refused("F_NOTIFY", 72, 0, high | 1026, 1)
refused("PR_SET_PDEATHSIG", 157, high | 1, 9, 0, 0, 0)
refused("PR_SET_SECCOMP", 157, high | 22, 2, 0, 0, 0)
refused("PR_SET_CHILD_SUBREAPER", 157, high | 36, 1, 0, 0, 0)
refused("clone of namespaces", 56, 0x10000000 | 17 | high, 0, 0, 0, 0)
refused("core limit", 160, high | 4, buffer)
refused("pair of datagrams", 53, 1, high | 2, 0, buffer)
refused("huge pages", 9, 0, 1 << 21, 3, 0x40022, -1, 0)
refused("huge memory file", 319, buffer, 4)
)py"},
    {"sees_who_uses_files", R"py(
import ctypes, fcntl, os
libc = ctypes.CDLL(None, use_errno=True)
if libc.inotify_init() >= 0 or libc.inotify_init1(0) >= 0 or libc.syscall(300, 0, 0) >= 0: print("ESCAPED watch")
fd = os.open("/usr/bin", os.O_RDONLY)
for command, value in ((1026, 1), (1024, 0)):
    try: fcntl.fcntl(fd, command, value); print("ESCAPED", command)
    except OSError: pass
)py"},
    {"clocks_and_names", R"py(
import ctypes, os, time, socket
libc = ctypes.CDLL(None, use_errno=True)
for act in (lambda: time.clock_settime(0, time.time()), lambda: socket.sethostname("x"), lambda: os.nice(-5), lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)), lambda: os.sched_setaffinity(0, {0})):
    try: act()
    except OSError: continue
    print("ESCAPED")
)py"},
    {"executes_from_memory", R"py(
import ctypes, os
try:
    fd = os.memfd_create("x")
    os.write(fd, b"#!/bin/sh\nid -u > /tmp/sandbox_escape_marker_7; cat /etc/shadow && echo ESCAPED\n")
    if os.fork() == 0: os.execve(fd, ["x"], {})
    os.wait()
except OSError: pass
)py"},
};

class Reach : public ::testing::TestWithParam<Level> {};

TEST_P(Reach, NothingOutside) {
  std::vector<Attack> attacks(std::begin(kReaching), std::end(kReaching));
#if !defined(__x86_64__)  // numbers of system calls
  std::erase_if(attacks, [](const Attack& attack) {
    const std::string name = attack.name;
    return name == "handles_on_the_supervisor" || name == "set_user_id" ||
           name == "arguments_with_upper_halves" || name == "sees_who_uses_files";
  });
#endif
  testing::expect_none_escapes(GetParam(), attacks);
}

// Two programs that run at the same time, each trying to leave the other a sign. Neither finds one.
TEST_P(Reach, ProgramsDoNotMeet) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
  const char* meeting = R"py(
import fcntl, mmap, os, signal, socket, time
met = []
def say(kind, act):
    try:
        if act(): met.append(kind)
    except OSError: pass
signs = ["sign", "/tmp/sandbox_sign", "/dev/shm/sandbox_sign", "/run/sandbox_sign", "/run/box/sandbox_sign"]
mine = set()
locked = open("/usr/bin/python3", "rb")
end = time.monotonic() + 1.5
me = os.getpid()
time.sleep(0.2)
while time.monotonic() < end:
    for path in signs:
        if path not in mine: say(path, lambda: os.path.exists(path))
        try: open(path, "x").close(); mine.add(path)
        except OSError: pass
    try: fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError: met.append("lock")
    except OSError: pass
    for name in ("\0sign", "sign.sock"):
        def pair():
            s = socket.socket(socket.AF_UNIX); s.bind(name); return True
        say("socket", pair)
    for pid in range(2, 300):
        if pid != me: say("process", lambda: os.kill(pid, 0) or True)
print(sorted(set(met)))
)py";
  for (int round = 0; round < 2; ++round) {
    std::vector<Program> programs(2, program(script(meeting, "", "[]\n")));
    for (const Verdict& verdict : sandbox->run_all(std::move(programs))) {
      EXPECT_TRUE(verdict.passed()) << summary(verdict);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, Reach, ::testing::Values(Level::a, Level::b, Level::c),
                         testing::level_suffix);

}  // namespace
}  // namespace assay::sandbox
