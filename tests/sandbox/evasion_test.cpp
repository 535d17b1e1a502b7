// Programs that hide from those who count and limit them, that make the sandbox look broken, or that
// meet by what the host shares with all of them. What is counted is counted all the same, nothing of it
// stops a run, and nobody meets.
#include <sys/resource.h>

#include "sandbox/process_usage.h"
#include "tests/sandbox/attacks.h"

namespace assay::sandbox {
namespace {

using testing::Attack;
using testing::call;
using testing::program;
using testing::script;
using testing::summary;

// Field numbers as in proc_pid_stat(5): 2 name, 14 and 15 ticks, 20 threads, 24 resident pages.
TEST(ProcessUsageTest, NamesOfProgramsBreakNothing) {
  const std::string rest = " S 1 2 3 4 5 6 7 8 9 10 50 25 0 0 20 0 7 0 99 1000000 12 0 0";
  for (const std::string name : {"python3", "a b", "a) (b", "a\nb", "a)\n", ")\n 1 2 3", ""}) {
    const ProcessUsage usage = parse_stat("42 (" + name + ")" + rest);
    EXPECT_EQ(usage.threads, 7) << name;
    EXPECT_EQ(usage.resident_bytes, 12 * sysconf(_SC_PAGESIZE)) << name;
    EXPECT_DOUBLE_EQ(usage.cpu_seconds, 75.0 / static_cast<double>(sysconf(_SC_CLK_TCK))) << name;
  }
  EXPECT_EQ(parse_stat("").threads, 0);
  EXPECT_EQ(parse_stat("42 (python3").threads, 0);
}

// How a program may try not to be seen; each is put in front of something that has to be seen.
struct Disguise {
  const char* name;
  const char* start;  // ends with a definition of hidden(act), which runs it
};
const Disguise kDisguises[] = {
    {"name_with_line_end", R"py(
import ctypes
ctypes.CDLL(None).prctl(15, b"x\n", 0, 0, 0)
def hidden(act): act()
)py"},
    {"name_like_the_rest_of_the_line", R"py(
import ctypes
ctypes.CDLL(None).prctl(15, b") S 1 1 1 1 1", 0, 0, 0)
def hidden(act): act()
)py"},
    {"first_thread_ends", R"py(
import ctypes, threading, time
def hidden(act):
    def later():
        time.sleep(0.1)
        act()
    threading.Thread(target=later).start()
    ctypes.CDLL(None).syscall(60, 0)
)py"},
    {"not_dumpable", R"py(
import ctypes
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
def hidden(act): act()
)py"},
    {"limits_lowered", R"py(
import resource
for which in range(16):
    if which in (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_STACK): continue
    soft, hard = resource.getrlimit(which)
    for value in ((0, hard), (0, 0)):
        if which in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE): value = (200, hard)
        try: resource.setrlimit(which, value)
        except (OSError, ValueError): pass
def hidden(act): act()
)py"},
    {"signals_blocked_and_ignored", R"py(
import signal
for s in range(1, 65):
    try: signal.signal(s, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
def hidden(act): act()
)py"},
};

class Evasion : public ::testing::TestWithParam<Level> {
 protected:
  // Every disguise with `act` (a statement block) in a function; expects `outcome` of each.
  void expect_seen(const std::string& act, double cpu_seconds, double wall_seconds, Outcome outcome,
                   std::string_view reason) {
    const testing::Leftovers leftovers;
    {
      SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
      std::vector<Program> programs;
      for (const Disguise& disguise : kDisguises) {
        Program made = program(call(std::string(disguise.start) + "def act():\n" + act +
                                        "def f(v): hidden(act)\n",
                                    testing::kSumTests, "f"),
                               cpu_seconds);
        made.limits.wall_seconds = wall_seconds;
        made.limits.memory_bytes = int64_t{256} << 20;
        programs.push_back(std::move(made));
      }
      const std::vector<Verdict> verdicts = sandbox->run_all(std::move(programs));
      for (size_t i = 0; i < verdicts.size(); ++i) {
        EXPECT_EQ(verdicts[i].outcome, outcome) << kDisguises[i].name << ": " << summary(verdicts[i]);
        if (!reason.empty()) {
          EXPECT_EQ(verdicts[i].reason, reason) << kDisguises[i].name;
        }
        testing::expect_record(kDisguises[i].name, verdicts[i]);
      }
    }
    leftovers.expect_none();
  }
};

// The wall clock limit is far off: only what the processor time says can end these.
TEST_P(Evasion, ProcessorTimeIsSeen) {
  expect_seen("    while True: pass\n", 1, 60, Outcome::timeout, "cpu_limit");
}

// More than its limit and less than its address space, kept for longer than it takes to look.
TEST_P(Evasion, MemoryIsSeen) {
  expect_seen(
      "    import time\n    keep = []\n    for i in range(90): keep.append(bytearray(b'x') * (10 << 20)); "
      "time.sleep(0.02)\n    time.sleep(60)\n",
      10, 30, Outcome::memory, "");
}

// Far more files than allowed, by every way to keep one without a name. The script says how far it got
// and that it was refused; or it is stopped.
TEST_P(Evasion, FilesAreSeen) {
  constexpr char kOnce[] = R"py(
import os, time
keep, n = [], 0
def fill(name):
    global n
    fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    os.write(fd, bytes(8 << 20))
    n += 1
    time.sleep(0.01)
    return fd
)py";
  const Attack ways[] = {
      // Python's own mmap keeps a descriptor.
      {"mapped_and_closed", R"py(
import ctypes
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
def one():
    fd = fill("x")
    libc.mmap(None, 4096, 3, 1, fd, ctypes.c_long(0)); os.unlink("x"); os.close(fd)
)py"},
      {"mapped_and_renamed", R"py(
import ctypes
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
def one():
    fd = fill("x")
    os.rename("x", "y z (deleted)\n"); libc.mmap(None, 4096, 1, 2, fd, ctypes.c_long(0))
    os.unlink("y z (deleted)\n"); os.close(fd)
)py"},
      {"in_a_message", R"py(
import array, socket
a, b = socket.socketpair()
def one():
    fd = fill("x")
    os.unlink("x")
    try: a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    except OSError: keep.append(fd); return
    os.close(fd)
)py"},
      {"in_a_dead_threads_table", R"py(
import ctypes, threading
def one():
    keep.append(fill("x")); os.unlink("x")
def all():
    time.sleep(0.1)
    try:
        while n < 40: one()
    except OSError: pass
    os.write(1, b"True\n" if n < 25 else b"False\n")
    os._exit(0)
threading.Thread(target=all).start()
ctypes.CDLL(None).syscall(60, 0)
)py"},
      {"without_a_name_ever", R"py(
def one():
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, bytes(8 << 20)); keep.append(fd)
    global n
    n += 1
    time.sleep(0.01)
)py"},
      {"name_gone_and_not_dumpable", R"py(
import ctypes
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
def one():
    keep.append(fill("x")); os.unlink("x")
)py"},
      {"deeper_than_anyone_looks", R"py(
for i in range(60): os.mkdir("d"); os.chdir("d")
def one(): os.close(fill(str(n)))
)py"},
  };
  constexpr char kLoop[] = R"py(
try:
    while n < 40: one()
except OSError: pass
time.sleep(0.2)
print(n < 25)
)py";
  const testing::Leftovers leftovers;
  {
    SANDBOX_OR_SKIP(sandbox, GetParam(), 1);
    for (const Attack& way : ways) {
      const Verdict verdict =
          sandbox->submit(program(script(kOnce + std::string(way.solution) + kLoop, "", "True\n"))).get();
      EXPECT_TRUE(verdict.passed() || verdict.reason == "file_limit")
          << way.name << ": " << summary(verdict);
    }
  }
  leftovers.expect_none();
}

// What looks like the sandbox's failure would stop a run; no program may bring that about.
const Attack kBlaming[] = {
    {"its_own_processor_limit", R"py(
import resource, time
try: resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
except (OSError, ValueError): pass
def f(v):
    end = time.process_time() + 2.5
    while time.process_time() < end: pass
)py"},
    {"its_own_processor_limit_by_number", R"py(
import ctypes, time
limit = (ctypes.c_uint64 * 2)(1, 1)
old = (ctypes.c_uint64 * 2)()
libc = ctypes.CDLL(None)
libc.syscall(160, 0, limit); libc.syscall(302, 0, 0, limit, 0); libc.syscall(302, 0, 0, limit, old)
libc.syscall(302, ctypes.c_long(1 << 32), 0, limit, 0); libc.syscall(160, ctypes.c_long(1 << 32), limit)
def f(v):
    end = time.process_time() + 2.5
    while time.process_time() < end: pass
)py"},
    {"no_address_space_left", "import resource\ndef f(v):\n    resource.setrlimit(resource.RLIMIT_AS, (1, 1))\n"
     "    return bytearray(1 << 22)\n"},
    {"no_stack_left", "import os, resource\ndef f(v):\n    resource.setrlimit(resource.RLIMIT_STACK, (0, 0))\n"
     "    os.execv('/usr/bin/python3', ['python3', '-c', 'pass'])\n"},
    {"exits_like_a_server", "import os\ndef f(v): os._exit(70)\n"},
    {"exits_like_a_child", "import os\ndef f(v): os._exit(72)\n"},
    {"exits_like_a_set_up", "import os\nos._exit(71)\n"},
    {"removes_its_directory",
     "import os, shutil\nhere = os.getcwd()\ndef f(v):\n    for act in (lambda: os.rmdir(here), lambda: "
     "os.rename(here, here + 'x'), lambda: shutil.rmtree(here), lambda: os.chmod(here, 0), lambda: "
     "os.symlink('/', here)):\n        try: act()\n        except OSError: pass\n    return 0\n"},
    {"directory_of_no_use", "import os\ndef f(v):\n    for i in range(40):\n        os.mkdir('d', 0o700 if i < 39 "
     "else 0)\n        try: os.chdir('d')\n        except OSError: pass\n    return 0\n"},
    {"swelling_answer", R"py(
import os, struct
def f(v):
    # As many deques as fit into a frame: a hundred times as large in memory.
    count = (15 << 20) // 5
    body = b"t" + struct.pack("<I", 2) + b"l" + struct.pack("<I", count) + b"Q\0\0\0\0" * count + b"N"
    data = memoryview(struct.pack("<cI", b"r", len(body)) + body)
    while data: data = data[os.write(4, data):]
    os.read(4, 1)
)py"},
    {"swelling_views", R"py(
import os, struct
def f(v):
    count = (15 << 20) // 5
    body = b"t" + struct.pack("<I", 2) + b"l" + struct.pack("<I", count) + b"V\0\0\0\0" * count + b"N"
    data = memoryview(struct.pack("<cI", b"r", len(body)) + body)
    while data: data = data[os.write(4, data):]
    os.read(4, 1)
)py"},
    {"views_of_nothing", R"py(
import os, struct
def f(v):
    for p in (b"K\x01\0\0\0l\0\0\0\0", b"E\x01\0\0\0N", b"E\xff\xff\xff\x7f", b"V\x05\0\0\0NN", b"K", b"E\x01\0\0\0t\x03\0\0\0NNN"):
        os.write(4, struct.pack("<cI", b"r", len(p) + 6) + b"t\x02\0\0\0" + p + b"N")
)py"},
    {"kills_its_group_from_a_thread", "import os, threading\ndef f(v):\n    t = threading.Thread(target=lambda: "
     "[os.kill(p, s) for p in (0, -1) for s in (19, 15, 9)])\n    t.start(); t.join()\n"},
    {"fills_all_pipes", "import os\nkeep = []\ndef f(v):\n    try:\n        while True:\n            r, w = os.pipe(); "
     "keep += [r, w]; os.set_blocking(w, False)\n            try: os.write(w, bytes(1 << 20))\n            except "
     "OSError: pass\n    except OSError: return 0\n"},
    {"endless_recursion_of_both", "def f(v): return 0\nclass L(list):\n    pass\n"},
};

TEST_P(Evasion, NothingLooksLikeTheSandboxsFailure) {
  testing::expect_none_passes(GetParam(), kBlaming, testing::kSumTests, {.cpu_seconds = 8, .wall_seconds = 20});
}

// Many at once that are costly to look through; the supervisor has as few descriptors as a shell gives.
TEST_P(Evasion, ManyDeepTreesAtOnce) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = std::min<rlim_t>(before.rlim_max, 1024);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  {
    SANDBOX_OR_SKIP(sandbox, GetParam(), 24);
    std::vector<Program> programs;
    for (int i = 0; i < 48; ++i) {
      programs.push_back(program(
          i % 2 ? script("import os, time\nfor i in range(31): os.mkdir('d'); os.chdir('d')\ntime.sleep(0.3)\nprint(1)\n",
                         "", "1\n")
                : script("import time\ntime.sleep(0.3)\nprint(1)\n", "", "1\n")));
    }
    for (const Verdict& verdict : sandbox->run_all(std::move(programs))) {
      EXPECT_TRUE(verdict.passed()) << summary(verdict);
    }
  }
  setrlimit(RLIMIT_NOFILE, &before);
}

// What all programs have in common with the host: its devices, its interfaces, the files they read.
const Attack kCommon[] = {
    {"touches_what_is_shared", R"py(
import ctypes, os
libc = ctypes.CDLL(None)
for path in ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/usr/bin/python3", "/usr", "/"):
    before = os.stat(path).st_mtime_ns
    for act in (lambda: os.utime(path), lambda: os.utime(path, follow_symlinks=False), lambda: os.chmod(path, 0o666), lambda: os.truncate(path, 0), lambda: libc.futimens(os.open(path, os.O_WRONLY), None)):
        try: act()
        except OSError: pass
    if os.stat(path).st_mtime_ns != before: print("ESCAPED", path)
open("/dev/null", "w").write("still writable")
)py"},
    {"asks_for_interfaces", R"py(
import ctypes, fcntl, socket
a, b = socket.socketpair()
for request in range(0x8900, 0x8a00):
    if request in (0x8905,): continue
    try: fcntl.ioctl(a, request, bytearray(b"lo" + bytes(254)))
    except OSError as error:
        if error.errno != 1: print("ESCAPED", hex(request), error.errno)
        continue
    print("ESCAPED", hex(request))
if ctypes.CDLL(None).ioctl(a.fileno(), ctypes.c_ulong(0x7f00008912), bytes(64)) == 0: print("ESCAPED upper half")
)py"},
    {"locks_what_is_shared", R"py(
import fcntl, os, struct
flock = lambda kind: struct.pack("hhqqi4x", kind, 0, 0, 0, 0)
fd = os.open("/usr/bin/python3", os.O_RDONLY)
for command in (fcntl.F_SETLK, fcntl.F_SETLKW, 37, 38):
    try: fcntl.fcntl(fd, command, flock(fcntl.F_RDLCK))
    except OSError: pass
other = os.open("/usr/bin/python3", os.O_RDONLY)
answer = struct.unpack("hhqqi4x", fcntl.fcntl(other, 36, flock(fcntl.F_WRLCK)))
if answer[0] != fcntl.F_WRLCK: print("ESCAPED", answer)
)py"},
};

TEST_P(Evasion, NothingInCommonIsChanged) {
  std::vector<Attack> attacks(std::begin(kCommon), std::end(kCommon));
  testing::expect_none_escapes(GetParam(), attacks);
}

// What is refused by saying yes must not stop honest programs.
TEST_P(Evasion, LocksAndLimitsOfItsOwnAreNoHindrance) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 1);
  for (const char* honest :
       {"import sqlite3\nc = sqlite3.connect('x.db')\nc.execute('create table t(a)')\n"
        "c.executemany('insert into t values (?)', [(i,) for i in range(10)])\nc.commit()\n"
        "c.close()\nprint(sqlite3.connect('x.db').execute('select sum(a) from t').fetchone()[0])\n",
        "import fcntl\nwith open('x', 'w') as f:\n    fcntl.lockf(f, fcntl.LOCK_EX); fcntl.lockf(f, "
        "fcntl.LOCK_UN)\nprint(45)\n",
        "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (20, 20))\nprint(45)\n",
        "import threading\nr = []\nt = threading.Thread(target=r.append, args=(45,))\nt.start(); t.join()\n"
        "print(r[0])\n"}) {
    const Verdict verdict = sandbox->submit(program(script(honest, "", "45\n"))).get();
    EXPECT_TRUE(verdict.passed()) << honest << summary(verdict);
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, Evasion, ::testing::Values(Level::a, Level::b, Level::c),
                         testing::level_suffix);

}  // namespace
}  // namespace assay::sandbox
