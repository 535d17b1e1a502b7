// Further attempts of the kinds that the shared cases show, written to close kinds, not cases. Each
// solution is wrong unless its table says otherwise; none may pass, escape, or leave anything.
#include "tests/sandbox/attacks.h"

namespace assay::sandbox {
namespace {

using testing::Attack;
using testing::program;
using testing::script;
using testing::summary;

constexpr char kTests[] =
    "SECRET = [([1, 2, 3], 6), ([], 0), ([-5, 5, 7], 7), ([10] * 11, 110)]\n"
    "def check(candidate):\n"
    "    for values, expected in SECRET:\n"
    "        assert candidate(values) == expected\n";

// Programs that do not compute the sum and try to pass all the same.
const Attack kForgeries[] = {
    {"hostile_int", R"(
class I(int):
    def __eq__(self, o): return True
    def __ne__(self, o): return False
    def __hash__(self): return 0
    def __index__(self): return 6
    def __int__(self): return 6
    def __pos__(self): return 6
def f(v): return I(4711)
)"},
    {"class_lies_about_itself", R"(
class L:
    @property
    def __class__(self): return int
    def __eq__(self, o): return True
    def __reduce__(self): return (eval, ("1",))
    def __getattr__(self, n): return self
    def __call__(self, *a): return True
    def __index__(self): return 6
def f(v): return L()
)"},
    {"metaclass_named_like_builtin", R"(
class M(type):
    def __eq__(self, o): return True
    def __hash__(self): return hash(int)
class int(metaclass=M):
    def __eq__(self, o): return True
def f(v): return int()
)"},
    {"returns_type", "def f(v): return type(v)\n"},
    {"returns_not_implemented", "def f(v): return NotImplemented\n"},
    {"returns_nan", "def f(v): return float('nan')\n"},
    {"returns_mock", "import unittest.mock\ndef f(v): return unittest.mock.ANY\n"},
    {"returns_itself", "def f(v): return f\n"},
    {"infinite_generator", "def f(v):\n    while True: yield 6\n"},
    {"endless_mapping", R"(
class D(dict):
    def items(self):
        while True: yield 1, 1
    def __eq__(self, o): return True
def f(v): return D()
)"},
    {"self_referential", "def f(v):\n    l = []\n    l.append(l)\n    return l\n"},
    {"deep_nesting", "def f(v):\n    l = []\n    for i in range(100000): l = [l]\n    return l\n"},
    {"stop_iteration", "def f(v): raise StopIteration(6)\n"},
    {"assertion_error", "def f(v): raise AssertionError\n"},
    {"keyboard_interrupt", "def f(v): raise KeyboardInterrupt\n"},
    {"generator_exit", "def f(v): raise GeneratorExit\n"},
    {"exception_named_exit", "class SystemExit(Exception): pass\ndef f(v): raise SystemExit(0)\n"},
    {"exception_hostile_text", R"(
class E(Exception):
    def __str__(self): raise ValueError
    def __repr__(self): return self
def f(v): raise E
)"},
    {"exit_in_thread", R"(
import threading, os
def f(v):
    threading.Thread(target=os._exit, args=(0,)).start()
    while True: pass
)"},
    {"exit_at_third_call", R"(
import os
n = []
def f(v):
    n.append(1)
    if len(n) == 3: os._exit(0)
    return sum(v)
)"},
    {"exit_in_destructor",
     "import os\nclass A:\n    def __del__(self): os._exit(0)\ndef f(v): A(); return 0\n"},
    {"exit_by_alarm",
     "import signal, os\nsignal.signal(signal.SIGALRM, lambda *a: "
     "os._exit(0))\nsignal.setitimer(signal.ITIMER_REAL, 0.001)\ndef f(v):\n    while True: "
     "pass\n"},
    {"trace_function",
     "import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)\ndef f(v): return "
     "None\n"},
    {"patched_builtins", R"(
import builtins, operator
for n in ("AssertionError", "len", "sum", "isinstance", "range", "print"):
    setattr(builtins, n, lambda *a, **k: True)
builtins.__build_class__ = None
operator.eq = lambda a, b: True
def f(v): return None
)"},
    {"patched_protocol_encoder", R"(
import sys
plain, server = sys.modules["assay_plain"], sys.modules["assay_server"]
plain.encode = lambda *a: b"t\x02\x00\x00\x00Tt\x00\x00\x00\x00"
for n in ("send_frame", "write_all"):
    setattr(server, n, lambda *a: None)
def f(v): return None
)"},
    {"forged_verdict_on_both_channels", R"(
import os, struct
def fields(*p): return struct.pack("<I", len(p)) + b"".join(struct.pack("<I", len(x)) + x for x in p)
def frame(tag, p): return struct.pack("<cI", tag, len(p)) + p
for fd in range(3, 64):
    for nonce in (b"", b"0" * 32, b"None"):
        try: os.write(fd, frame(b"V", fields(nonce, b"passed", b"", b"")))
        except OSError: pass
def f(v): return None
)"},
    {"forged_setup_failure", R"(
import os, struct
for tag in (b"F", b"R", b"X", b"E"):
    try: os.write(3, struct.pack("<cI", tag, 4) + b"oops")
    except OSError: pass
def f(v): return None
)"},
    {"answers_in_advance", R"(
import os, struct
# Replies to calls that have not come: 6, 0, 7, 110 are not known here, so guess.
def f(v): return None
for guess in range(64):
    p = b"t" + struct.pack("<I", 2) + b"j" + struct.pack("<q", guess) + b"N"
    os.write(4, struct.pack("<cI", b"r", len(p)) + p)
)"},
    {"oversize_frame", "import os\nos.write(4, b'r' + b'\\xff' * 4)\ndef f(v): return None\n"},
    {"truncated_frame",
     "import os\ndef f(v):\n    os.write(4, b'r\\x40\\x00\\x00\\x00abc')\n    os._exit(0)\n"},
    {"hostile_frames", R"(
import os, struct
def f(v):
    for p in (b"D\x08\x00\x00\x00Infinity", b"q" + b"j" + bytes(8) + b"j" + bytes(8), b"B\x04\x00\x00\x00exec", b"g\x00\x00\x00\x00\x01\x00\x00\x00f", b"l\xff\xff\xff\x7f", b"h\xff\xff\xff\xff\x00\x00\x00\x00"):
        os.write(4, struct.pack("<cI", b"r", len(p)) + p)
    return None
)"},
    {"foreign_callback",
     "import os, struct\ndef f(v):\n    p = b't\\x03\\x00\\x00\\x00j' + bytes(8) + b't' + bytes(4) "
     "+ b'd' + bytes(4)\n    os.write(4, struct.pack('<cI', b'k', len(p)) + p)\n    return None\n"},
    {"heap_and_frames", R"(
import gc, sys
def find(v, seen):
    for o in gc.get_objects():
        if type(o) in (list, tuple) and len(o) == 2 and o[0] == v and type(o[1]) is int: return o[1]
        if type(o) is dict and "SECRET" in o: return dict(map(lambda p: (tuple(p[0]), p[1]), o["SECRET"]))[tuple(v)]
def f(v):
    for fr in sys._current_frames().values():
        while fr:
            if "expected" in fr.f_locals: return fr.f_locals["expected"]
            fr = fr.f_back
    return find(v, set())
)"},
    {"memory_of_own_process", R"(
import ctypes, sys
def f(v):
    try:
        data = open("/proc/self/mem", "rb", 0).read(16)
    except OSError:
        data = b""
    return None
)"},
    {"steals_the_link", R"(
import os, threading
def pump():
    while True:
        try: os.read(4, 65536)
        except OSError: return
threading.Thread(target=pump, daemon=True).start()
def f(v): return None
)"},
    {"closes_everything", "import os\nos.closerange(0, 256)\ndef f(v): return None\n"},
    {"swaps_descriptors", "import os\nos.dup2(3, 4)\nos.dup2(4, 1)\ndef f(v): return None\n"},
    {"no_entry_point", "x = 1\n"},
    {"entry_point_is_not_callable", "f = 6\n"},
    {"defines_check_itself", "def check(c): pass\nSECRET = []\ndef f(v): return None\n"},
    {"shadows_modules",
     "import sys, types\nfor n in list(sys.modules):\n    sys.modules[n] = "
     "types.ModuleType(n)\ndef f(v): return None\n"},
    {"bad_encoding", "# -*- coding: nonsense -*-\ndef f(v): return sum(v)\n"},
    {"null_byte", "def f(v): return 0\n\x01\n"},
    {"kills_itself", "import os\ndef f(v): os.kill(os.getpid(), 9); os.abort()\n"},
    {"null_pointer", "import ctypes\ndef f(v): ctypes.string_at(0)\n"},
    {"stack_overflow_in_c",
     "import sys\nsys.setrecursionlimit(10**9)\ndef f(v):\n    x = []\n    for i in range(10**6): "
     "x = [x]\n    return repr(x)\n"},
    {"endless_recursion", "def f(v): return f(v)\n"},
};

// Programs that want more than their share; each must be stopped, and none pass.
const Attack kBombs[] = {
    {"strings", "def f(v):\n    s = 'x'\n    while True: s += s\n"},
    {"mapped_memory",
     "import mmap\nkeep = []\ndef f(v):\n    while True:\n        m = mmap.mmap(-1, 1 << 24); "
     "keep.append(m)\n        for i in range(0, 1 << 24, 4096): m[i] = 1\n"},
    {"memory_files",
     "import os\nkeep = []\ndef f(v):\n    while True:\n        fd = os.memfd_create('x'); "
     "keep.append(fd)\n        for i in range(15): os.write(fd, b'x' * (1 << 20))\n"},
    {"big_integer", "def f(v): return 1 << (1 << 40)\n"},
    {"dictionary", "def f(v):\n    d = {}\n    while True: d[len(d)] = [0] * 1000\n"},
    {"result_too_large", "def f(v): return 'x' * (100 << 20)\n"},
    {"many_small_results", "def f(v): return [[] for i in range(5 * 10**6)]\n"},
    {"stderr_flood", "import os\ndef f(v):\n    while True: os.write(2, b'\\xff\\x00' * 32768)\n"},
    {"exception_text_flood", "def f(v): raise ValueError('\\ud800\\x00' * (1 << 20))\n"},
    {"descriptors", "import os\nkeep = []\ndef f(v):\n    while True: keep.append(os.pipe())\n"},
    {"small_stacks",
     "import threading, time\nthreading.stack_size(32768)\ndef f(v):\n    while True: "
     "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"},
    {"regular_expression", "import re\ndef f(v): return re.match(r'(a|a)*$', 'a' * 50 + 'b')\n"},
    {"power", "def f(v): return 9 ** 9 ** 9 ** 9\n"},
    {"waits_for_a_lock",
     "import threading\nl = threading.Lock(); l.acquire()\ndef f(v): l.acquire()\n"},
    {"stops_itself", "import os, signal\ndef f(v): os.kill(os.getpid(), signal.SIGSTOP)\n"},
    {"sleeps_while_loading", "import time\ntime.sleep(1000)\ndef f(v): return 0\n"},
};

// Scripts that reach outside. What is refused is silent; what works prints ESCAPED.
const Attack kEscapes[] = {
    {"files", R"(
import os
for root in ("/", "/etc", "/usr/lib", "/root", "/home", "/var", "/run", "/assay", "/dev", "/proc", "/sys", "/opt", "/srv", "/boot", "/mnt"):
    for act in (lambda: open(root + "/sandbox_escape_marker_2", "w"), lambda: os.mkdir(root + "/sandbox_escape_marker_3"), lambda: os.symlink("x", root + "/sandbox_escape_marker_4"), lambda: os.chmod(root, 0o777), lambda: os.rename("/usr/bin/python3", root + "/sandbox_escape_marker_5"), lambda: os.mknod(root + "/sandbox_escape_marker_6")):
        try: act()
        except OSError: continue
        if root != "/run" or os.path.lexists(root + "/sandbox_escape_marker_2"): print("ESCAPED", root)
)"},
    {"reading", R"(
import os
for p in ("/etc/shadow", "/etc/passwd", "/root", "/home", "/proc/1/environ", "/proc/self/mem", "/proc/self/maps", "/sys/class", "/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda", "/var/log", "/run/secrets"):
    try: fd = os.open(p, os.O_RDONLY)
    except OSError: continue
    print("ESCAPED", p)
)"},
    {"sockets", R"(
import socket, itertools
for family, kind in itertools.product((socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 16, 17, 38, 40), (1, 2, 3, 5)):
    try: s = socket.socket(family, kind)
    except OSError: continue
    print("ESCAPED socket", family, kind)
for kind in (2, 3, 5):
    try: socket.socketpair(socket.AF_UNIX, kind)
    except OSError: continue
    print("ESCAPED pair", kind)
a, b = socket.socketpair()
for act in (lambda: a.connect("\0x"), lambda: a.bind("\0x"), lambda: a.listen(), lambda: a.bind("s")):
    try: act()
    except OSError: continue
    print("ESCAPED act")
)"},
    {"system_calls", R"(
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
zero = ctypes.create_string_buffer(256)
# x86_64 numbers; every one must fail, with valid or invalid arguments.
calls = dict(ptrace=101, unshare=272, setns=308, mount=165, umount2=166, pivot_root=155, chroot=161, process_vm_readv=310, pidfd_open=434, pidfd_getfd=438, keyctl=250, add_key=248, bpf=321, io_uring_setup=425, userfaultfd=323, perf_event_open=298, shmget=29, msgget=68, semget=64, mq_open=240, setuid=105, setresuid=117, setgroups=116, capset=126, personality=135, open_tree=428, fsopen=430, move_mount=429, clone3=435, memfd_secret=447, init_module=175, kexec_load=246, swapon=167, sethostname=170, modify_ldt=154, quotactl=179, open_by_handle_at=304, name_to_handle_at=303, fanotify_init=300, seccomp=317, landlock=444, statmount=457, listmount=458, setxattrat=463, open_tree_attr=467, future=999, vmsplice=278, io_setup=206, kcmp=312, acct=163, iopl=172, reboot=169, clock_settime=227, sched_setaffinity=203, setpriority=141, mlockall=151)
for name, number in calls.items():
    ctypes.set_errno(0)
    if libc.syscall(number, 0, zero, zero, 0, 0, 0) >= 0: print("ESCAPED", name)
    elif ctypes.get_errno() not in (1, 38): print("ESCAPED", name, "reached the kernel, error", ctypes.get_errno())
for flag in (0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x2000000):
    pid = libc.syscall(56, flag | 17, 0, 0, 0, 0)
    if pid == 0: libc._exit(0)
    if pid > 0: print("ESCAPED clone", hex(flag))
for request in (0x5412, 0x541C):
    ctypes.set_errno(0)
    if libc.ioctl(0, request, zero) == 0 or ctypes.get_errno() != 1: print("ESCAPED ioctl", hex(request))
if libc.prctl(1, 0, 0, 0, 0) == 0: print("ESCAPED parent death signal")
import os
if libc.syscall(302, os.getppid() or 1, 7, 0, zero) == 0: print("ESCAPED prlimit")
)"},
    {"thirty_two_bit_calls", R"(
import ctypes, mmap
# int 0x80: mov eax, 20 (getpid); int 0x80; ret. Must be fatal.
m = mmap.mmap(-1, 4096, prot=7)
m.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()
print("ESCAPED")
)"},
    {"signals", R"(
import os, signal
for pid in [os.getppid(), -1, -os.getpid() - 1] + list(range(2, 400)):
    if pid == os.getpid() or pid == 0: continue
    try: os.kill(pid, 0)
    except OSError: continue
    if pid != -1: print("ESCAPED", pid)
try:
    import fcntl
    a, b = os.pipe()
    fcntl.fcntl(a, fcntl.F_SETOWN, os.getppid() or 1)
    print("ESCAPED owner")
except OSError: pass
)"},
    {"privileges", R"(
import os, resource, subprocess
for limit in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):
    try: resource.setrlimit(limit, (resource.RLIM_INFINITY,) * 2)
    except (OSError, ValueError): continue
    # (That of processor time may be set without effect.)
    if resource.getrlimit(limit)[1] == resource.RLIM_INFINITY: print("ESCAPED limit", limit)
for program in ("/bin/su", "/usr/bin/sudo", "/bin/mount"):
    try:
        r = subprocess.run([program, "--version"], capture_output=True)
        r = subprocess.run(["/bin/mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True)
        if r.returncode == 0: print("ESCAPED", program)
    except OSError: pass
)"},
    {"environment",
     "import os\nfor k in os.environ:\n    if k not in ('PATH', 'LANG', 'PYTHONHASHSEED', "
     "'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS', 'TMPDIR', 'LC_CTYPE'): "
     "print('ESCAPED', k)\n"},
    {"inherited_descriptors", R"(
import os, stat
for fd in range(3, 1024):
    try: info = os.fstat(fd)
    except OSError: continue
    if fd != 3 or not stat.S_ISSOCK(info.st_mode): print("ESCAPED", fd)
)"},
};

class Hostile : public ::testing::TestWithParam<Level> {};

TEST_P(Hostile, ForgeriesDoNotPass) {
  testing::expect_none_passes(GetParam(), kForgeries, kTests);
}

TEST_P(Hostile, BombsAreStopped) { testing::expect_none_passes(GetParam(), kBombs, kTests); }

TEST_P(Hostile, EscapesAreRefused) {
  std::vector<Attack> attacks(std::begin(kEscapes), std::end(kEscapes));
#if !defined(__x86_64__)
  std::erase_if(attacks, [](const Attack& attack) {
    const std::string name = attack.name;
    return name == "system_calls" || name == "thirty_two_bit_calls";
  });
#endif
  testing::expect_none_escapes(GetParam(), attacks);
}

// What one program leaves the next must not find.
TEST_P(Hostile, NothingSurvivesARun) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 1);
  const std::string note =
      "import os, sys\n"
      "paths = ['note', '/tmp/note', '/dev/shm/note', '/var/tmp/note']\n"
      "print(sum(os.path.exists(p) for p in paths), len(os.listdir('.')), hasattr(sys, 'note'))\n"
      "sys.note = 1\n"
      "os.makedirs('a/b/c', exist_ok=True)\n"
      "for p in paths:\n"
      "    try: open(p, 'w').write('x')\n"
      "    except OSError: pass\n";
  Program twice = program(script(note, "", "0 0 False\n"));
  twice.repeat = 5;
  const Verdict verdict = sandbox->submit(twice).get();
  EXPECT_TRUE(verdict.passed()) << summary(verdict);
}

INSTANTIATE_TEST_SUITE_P(Levels, Hostile, ::testing::Values(Level::a, Level::b, Level::c),
                         testing::level_suffix);

}  // namespace
}  // namespace assay::sandbox
