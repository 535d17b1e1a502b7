// More attempts, by what they play with: the judge's processes, the channel's protocol, introspection,
// resources that only the kernel counts, and what a program leaves to the next. hostile_test.cpp has
// the first collection.
#include <atomic>
#include <thread>

#include "tests/sandbox/attacks.h"

namespace assay::sandbox {
namespace {

using testing::Attack;
using testing::call;
using testing::program;
using testing::script;
using testing::summary;

// No program below computes the sum, so none may pass.
const Attack kAttacks[] = {
    // Nonces and verdicts, guessed or printed.
    {"prints_verdicts", R"py(
import os, sys
for text in ("passed", "nonce passed", "0" * 32 + " passed", "OK", '{"verdict":"pass"}'):
    print(text); print(text, file=sys.stderr)
    for fd in range(0, 16):
        try: os.write(fd, text.encode() + b"\n")
        except OSError: pass
def f(v): return None
)py"},
    {"verdict_frames_while_tested", R"py(
import os, struct, threading, time
def frame(tag, *p):
    data = struct.pack("<I", len(p)) + b"".join(struct.pack("<I", len(x)) + x for x in p)
    return struct.pack("<cI", tag, len(data)) + data
def pump():
    while True:
        for fd in (3, 4):
            try: os.write(fd, frame(b"V", b"", b"passed", b"", b""))
            except OSError: return
threading.Thread(target=pump, daemon=True).start()
def f(v): time.sleep(0.05)
)py"},
    {"writes_to_standard_input", "import os\ntry: os.write(0, b'passed')\nexcept OSError: pass\ndef "
     "f(v): return None\n"},
    {"closes_standard_streams", "import os\nfor fd in (0, 1, 2): os.close(fd)\ndef f(v): return None\n"},
    // Answers that are more than data.
    {"equal_by_metaclass", R"py(
class M(type):
    def __eq__(c, o): return True
    def __ne__(c, o): return False
    def __hash__(c): return 0
    def __bool__(c): return True
class A(metaclass=M): pass
def f(v): return A
)py"},
    {"equal_by_reflection", R"py(
class A:
    __eq__ = __req__ = __ge__ = __le__ = lambda s, o: True
    def __instancecheck__(s, o): return True
    def __getattribute__(s, n): return lambda *a, **k: True
def f(v): return A()
)py"},
    {"list_that_equals", "class L(list):\n    __eq__ = lambda s, o: True\n    __len__ = lambda s: 9\n    "
     "__iter__ = lambda s: iter((9,))\ndef f(v): return L()\n"},
    {"float_that_equals", "class F(float):\n    __eq__ = __le__ = __lt__ = lambda s, o: True\n    "
     "__abs__ = __sub__ = __rsub__ = lambda s, *o: F(0)\ndef f(v): return F(1)\n"},
    {"string_that_equals", "class S(str):\n    __eq__ = lambda s, o: True\n    __hash__ = "
     "str.__hash__\ndef f(v): return S('9')\n"},
    {"dictionary_that_changes", R"py(
class D(dict):
    def __iter__(s): s.clear(); return iter(())
    def __len__(s): return 1 << 40
def f(v): return D(a=1)
)py"},
    {"signalling_nan", "import decimal\ndef f(v): return decimal.Decimal('sNaN')\n"},
    {"enormous_decimal", "import decimal\ndef f(v): return decimal.Decimal('1e999999999')\n"},
    {"enormous_fraction", "import fractions\ndef f(v): return fractions.Fraction(1 << 500000, (1 << "
     "400000) + 1)\n"},
    {"colliding_keys", "def f(v): return {i * ((1 << 61) - 1): 0 for i in range(30000)}\n"},
    {"generator_that_learns", R"py(
def f(v):
    seen = yield
    while True: seen = yield seen
)py"},
    {"awaitable", "async def f(v): return sum(v)\n"},
    {"exception_as_result", "def f(v): return AssertionError()\n"},
    {"builtin_as_result", "def f(v): return sum\n"},
    {"callback_flood", R"py(
import sys
channel = None
def f(v):
    server, candidate = sys.modules["assay_server"], sys.modules["assay_candidate"]
    frame = sys._getframe()
    while frame and "self" not in frame.f_locals: frame = frame.f_back
    for i in range(1000): frame.f_locals["self"].send(b"k", i, ((),), {})
)py"},
    {"answers_everything_with_truth", R"py(
import sys
c = sys.modules["assay_candidate"]._Channel
c.answer = lambda self, tag, data: self.send(b"r", (True, True), None)
def f(v): return None
)py"},
    {"exchanges_its_server", R"py(
import sys
s = sys.modules["assay_server"]
s.LINK, s.WIRE = 3, 4
def f(v): return None
)py"},
    {"raises_through_the_channel", R"py(
import sys
class E(BaseException): pass
s = sys.modules["assay_server"]
def read(*a): raise E
s.read_frame = read
def f(v): return None
)py"},
    // Introspection.
    {"searches_every_object", R"py(
import gc, sys
def f(v):
    for o in gc.get_objects():
        try:
            if callable(o) and getattr(o, "__name__", "") == "check": return 9
            if isinstance(o, (bytes, str)) and "candidate([4, 5]) ==" in str(o): return 9
        except Exception: pass
)py"},
    {"searches_memory", R"py(
import ctypes, re, sys
def f(v):
    for base in (id(f), id(sys), id(v)):
        data = ctypes.string_at(base & ~0xfff, 0x10000)
        m = re.search(rb"candidate\(\[4, 5\]\) == (\d+)", data)
        if m: return int(m.group(1))
)py"},
    {"searches_source_lines", R"py(
import linecache, inspect, traceback
def f(v):
    for s in inspect.stack():
        if "==" in str(s.code_context): return 9
    for k in linecache.cache: return 9
)py"},
    {"traces_and_profiles", R"py(
import sys, threading
def spy(frame, event, arg):
    frame.f_trace_opcodes = True
    return spy
for s in (sys.settrace, sys.setprofile, threading.settrace, threading.setprofile): s(spy)
def f(v): return None
)py"},
    {"patches_modules", R"py(
import json, pickle, struct, builtins, operator, functools, os
for m in (json, pickle):
    m.dumps = m.loads = m.dump = m.load = lambda *a, **k: True
builtins.isinstance = lambda *a: True
builtins.type = lambda *a: int
builtins.AssertionError = Exception
struct.pack = lambda *a: b""
os.write = lambda fd, d: len(d)
def f(v): return None
)py"},
    {"import_hooks", R"py(
import sys
class H:
    def find_spec(s, *a): raise SystemExit(0)
sys.meta_path.insert(0, H()); sys.path_hooks.clear(); sys.path.clear()
sys.excepthook = sys.unraisablehook = lambda *a: None
def f(v):
    import nothing
)py"},
    // Ends that look like success.
    {"exit_at_exit", "import atexit, os\natexit.register(os._exit, 0)\ndef f(v): raise SystemExit(0)\n"},
    {"exit_in_generator", "import sys\ndef f(v):\n    sys.exit(0)\n    yield\n"},
    {"replaces_itself", "import os\ndef f(v): os.execv('/bin/true', ['true'])\n"},
    {"replaces_itself_while_loading", "import os\nos.execv('/bin/true', ['true'])\n"},
    {"unhandled_in_thread", "import threading, os, signal\ndef f(v):\n    threading.Thread(target="
     "signal.raise_signal, args=(signal.SIGABRT,)).start()\n    threading.Event().wait()\n"},
    {"signals_its_group", "import os, signal\ndef f(v):\n    for s in (1, 2, 15, 9):\n        for p in (0, "
     "-1):\n            try: os.kill(p, s)\n            except OSError: pass\n"},
    // Time that is spent where Python does not look.
    {"digits_of_a_big_number", "import sys\nsys.set_int_max_str_digits(0)\ndef f(v): return "
     "len(str(7 ** (1 << 24)))\n"},
    {"sort_with_slow_keys", "def f(v): return sorted(range(10 ** 8), key=lambda x: -x)\n"},
    {"hides_behind_signals", R"py(
import signal, time
for s in range(1, 65):
    try: signal.signal(s, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
def f(v):
    while True:
        try: time.sleep(1000)
        except BaseException: pass
)py"},
    {"timer_storm", R"py(
import signal
signal.signal(signal.SIGALRM, lambda *a: None)
signal.setitimer(signal.ITIMER_REAL, 1e-5, 1e-5)
def f(v):
    while True: pass
)py"},
    // More than its share.
    {"decompression", "import zlib\ndata = zlib.compress(bytes(1 << 24), 9)\ndef f(v):\n    keep = []\n    "
     "while True: keep.append(zlib.decompress(data))\n"},
    {"threads", "import threading, time\ndef f(v):\n    while True: threading.Thread(target=time.sleep, "
     "args=(9,), daemon=True).start()\n"},
    {"processes", "import os, time\ndef f(v):\n    while True:\n        try: os.fork()\n        except OSError: "
     "time.sleep(0.01)\n"},
    {"sessions", "import os, time\ndef f(v):\n    for i in range(8):\n        try:\n            if os.fork() == 0:\n"
     "                os.setsid(); os.fork(); time.sleep(1000)\n        except OSError: pass\n    "
     "time.sleep(1000)\n"},
    {"many_files", "def f(v):\n    i = 0\n    while True:\n        open('f%d' % i, 'w').close(); i += 1\n"},
    {"one_large_file", "def f(v):\n    with open('x', 'wb') as out:\n        while True: out.write(bytes(1 << "
     "20))\n"},
    {"sparse_file", "import os\ndef f(v):\n    with open('x', 'wb') as out: out.truncate(1 << 50)\n    return "
     "None\n"},
    {"large_pipes", "import os, fcntl\nkeep = []\ndef f(v):\n    while True:\n        p = os.pipe(); "
     "keep.append(p)\n        try: fcntl.fcntl(p[1], 1031, 1 << 20)\n        except OSError: pass\n        "
     "os.set_blocking(p[1], False)\n        try: os.write(p[1], bytes(1 << 20))\n        except OSError: "
     "pass\n"},
    {"output_and_silence", "import os\ndef f(v):\n    os.write(1, b'x' * (1 << 19)); os.write(2, b'\\x00' * (1 "
     "<< 19))\n    while True: pass\n"},
    {"answers_that_fill_the_checker", "def f(v):\n    while True: yield 'x' * 10 ** 6\n"},
    {"hostile_texts", "class Err\\u200bor(Exception): pass\n"},
    {"exception_with_bytes", "def f(v): raise Exception('\\ud800\\udfff\\x00\\x1b[31m\\u202e' * 999)\n"},
    {"exception_name_is_hostile", "E = type('\"\\\\\\n\\x00\\u2028' * 50, (Exception,), {})\ndef f(v): raise "
     "E()\n"},
};

// Programs that leave something behind, and must not hinder what comes after them.
const Attack kLeaving[] = {
    {"deep_tree", "import os\nfor i in range(1500):\n    os.mkdir('d'); os.chdir('d')\n"},
    {"unreadable_tree", "import os\nos.makedirs('a/b'); open('a/b/c', 'w').close()\nfor p in ('a/b', 'a'):\n"
     "    try: os.chmod(p, 0)\n    except OSError: pass\n"},
    {"strange_names", "import os\nfor n in (b'\\xff\\xfe', b'a\\nb', b'-rf', b' ', b'\\x1b[2J', b'n' * 255):\n"
     "    open(n, 'w').close(); os.mkdir(n + b'd' if len(n) < 200 else b'dd')\n"},
    {"links_to_outside", "import os\nos.symlink('/', 'root'); os.symlink('/etc/passwd', 'p'); "
     "os.symlink('self', 'self')\nos.mkfifo('fifo')\n"},
    {"shared_memory", "open('/dev/shm/x', 'w').write('x' * 1000)\n"},
    {"open_descriptor_in_flight", R"py(
import array, socket, sys
a, b = socket.socketpair()
a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [1, 2, a.fileno(), b.fileno()]))])
)py"},
    {"background_threads", "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), "
     "daemon=True).start()\n"},
    {"daemons", "import os, time\nfor i in range(3):\n    try:\n        if os.fork() == 0:\n            "
     "os.setsid()\n            if os.fork(): os._exit(0)\n            time.sleep(1000)\n    except OSError: "
     "pass\n"},
};

class Attacks : public ::testing::TestWithParam<Level> {};

TEST_P(Attacks, DoNotPassAndHarmNobody) {
  testing::expect_none_passes(GetParam(), kAttacks, testing::kSumTests, {.workers = 4});
}

TEST_P(Attacks, LeaveNothingToTheNext) {
  const testing::Leftovers leftovers;
  {
    SANDBOX_OR_SKIP(sandbox, GetParam(), 1);
    for (const Attack& attack : kLeaving) {
      const Verdict left = sandbox->submit(program(script(attack.solution, "", ""))).get();
      EXPECT_NE(left.outcome, Outcome::sandbox_error) << attack.name << ": " << summary(left);
      const Verdict next =
          sandbox->submit(program(script("import os\nprint(os.listdir('.'), os.path.exists('/dev/shm/x'))\n",
                                         "", "[] False\n")))
              .get();
      EXPECT_TRUE(next.passed()) << "after " << attack.name << ": " << summary(next);
    }
  }
  leftovers.expect_none();
}

// Signals to the process group of a program must not reach the servers; newer kernels' Landlock
// would hide that, so this looks at the group itself.
TEST_P(Attacks, ProgramsHaveAProcessGroupOfTheirOwn) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 1);
  const Verdict verdict =
      sandbox
          ->submit(program(script("import os\nprint(os.getpgrp() == os.getpid() == os.getsid(0))\n", "",
                                  "True\n")))
          .get();
  EXPECT_TRUE(verdict.passed()) << summary(verdict);
}

// The memory that answers fill in the checker is limited too.
TEST_P(Attacks, CheckersMemoryIsLimited) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 1);
  Program made = program(call("def f(v):\n    while True: yield 'x' * 10 ** 7\n",
                              "def check(candidate):\n    assert list(candidate([1])) == []\n", "f"));
  made.limits.memory_bytes = int64_t{256} << 20;
  const Verdict verdict = sandbox->submit(std::move(made)).get();
  EXPECT_EQ(verdict.outcome, Outcome::memory) << summary(verdict);
}

// Both processors busy with something else: the same verdicts.
TEST_P(Attacks, LoadDoesNotChangeVerdicts) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 4);
  std::atomic<bool> done = false;
  std::vector<std::thread> load;
  for (int i = 0; i < 2; ++i) {
    load.emplace_back([&] {
      while (!done) {
      }
    });
  }
  std::vector<Program> programs;
  for (int i = 0; i < 16; ++i) {
    // Right but not quick, right and idle, wrong, and without end; limits of one second.
    const char* bodies[] = {"    x = [i * i for i in range(300000)]\n    return sum(v)\n",
                            "    import time\n    time.sleep(0.3)\n    return sum(v)\n",
                            "    return 0\n", "    while True: pass\n"};
    programs.push_back(
        program(call(std::string("def f(v):\n") + bodies[i % 4], testing::kSumTests, "f"), 1));
    programs.back().limits.wall_seconds = 1;
  }
  const std::vector<Verdict> verdicts = sandbox->run_all(std::move(programs));
  done = true;
  for (std::thread& thread : load) thread.join();
  const Outcome expected[] = {Outcome::pass, Outcome::pass, Outcome::fail, Outcome::timeout};
  for (size_t i = 0; i < verdicts.size(); ++i) {
    EXPECT_EQ(verdicts[i].outcome, expected[i % 4]) << i % 4 << ": " << verdicts[i].json();
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, Attacks, ::testing::Values(Level::a, Level::b, Level::c),
                         testing::level_suffix);

}  // namespace
}  // namespace assay::sandbox
