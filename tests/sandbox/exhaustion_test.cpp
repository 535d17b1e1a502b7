// More than its share, of everything: time, memory, processes, files, output. Every program is
// stopped by its own limit, its neighbours keep theirs, and each verdict is of the class required.
#include "tests/sandbox/attacks.h"

namespace assay::sandbox {
namespace {

using testing::Attack;
using testing::call;
using testing::program;
using testing::script;
using testing::summary;

constexpr char kTests[] = "def check(candidate):\n    assert candidate([4, 5]) == 9\n";

// Ends only by the limits of time.
const Attack kEndless[] = {
    {"sleeps_in_c", "import ctypes\ndef f(v): ctypes.CDLL(None).sleep(1000)\n"},
    {"pauses", "import signal\ndef f(v):\n    while True: signal.pause()\n"},
    {"spins_in_c",
     "import ctypes\nl = ctypes.PyDLL(None)\ndef f(v):\n    while True: l.qsort(ctypes."
     "create_string_buffer(1 << 16), 1 << 16, 1, l.strcmp)\n"},
    {"waits_for_nothing", "import select\ndef f(v): select.select([], [], [])\n"},
    {"reads_an_empty_pipe", "import os\np = os.pipe()\ndef f(v): os.read(p[0], 1)\n"},
    {"fills_a_pipe", "import os\np = os.pipe()\ndef f(v): os.write(p[1], bytes(1 << 24))\n"},
    {"opens_a_fifo", "import os\nos.mkfifo('x')\ndef f(v): open('x')\n"},
    {"deadlock_of_threads",
     "import threading\na = threading.Lock()\ndef f(v):\n    t = threading.Thread(target="
     "threading.Event().wait); t.start(); t.join()\n"},
    {"big_power", "def f(v): return len(str(pow(7, 7 ** 9)))\n"},
    {"counts_for_ever", "def f(v): return sum(range(10 ** 13))\n"},
    {"never_sorted", "import itertools\ndef f(v): return max(itertools.permutations(range(15)))\n"},
    {"hash_collisions", "def f(v): return len({i * (2 ** 61 - 1) for i in range(200000)})\n"},
    {"regular_expression", "import re\ndef f(v): return re.match('(.*)*(.*)*(.*)*x$', 'a' * 99)\n"},
    {"iterates_for_ever", "def f(v): return any(iter(int, 1))\n"},
    {"yields_the_processor", "import os\ndef f(v):\n    while True: os.sched_yield()\n"},
    {"catches_everything",
     "def f(v):\n    while True:\n        try:\n            while True: pass\n        except "
     "BaseException: continue\n"},
    {"busy_threads",
     "import threading\ndef g():\n    while True: pass\ndef f(v):\n    for i in range(20): "
     "threading.Thread(target=g, daemon=True).start()\n    g()\n"},
    {"signals_itself_for_ever",
     "import os, signal\nsignal.signal(signal.SIGUSR1, lambda *a: None)\ndef f(v):\n    while "
     "True: os.kill(os.getpid(), signal.SIGUSR1)\n"},
    {"iterator_without_end",
     "import itertools\ndef f(v): return next(x for x in itertools.count() if x < 0)\n"},
    {"loads_for_ever", "while True: pass\n"},
    {"hides_at_exit",
     "import atexit, os, time\natexit.register(time.sleep, 1000)\ndef f(v): time.sleep(1000)\n"},
};

// Wants memory until it is refused.
const Attack kMemory[] = {
    {"numpy_ones",
     "def f(v):\n    try: import numpy\n    except ImportError: return bytearray(1 << 50)\n    "
     "keep = "
     "[]\n    while True: keep.append(numpy.ones(1 << 20))\n"},
    {"c_memory",
     "import ctypes\nl = ctypes.CDLL(None)\nl.malloc.restype = ctypes.c_void_p\ndef f(v):\n    "
     "while True:\n "
     "       p = l.malloc(1 << 22)\n        if not p: raise MemoryError\n        ctypes.memset(p, "
     "1, 1 << 22)\n"},
    {"grows_a_buffer", "def f(v):\n    b = bytearray()\n    while True: b += b'x' * (1 << 20)\n"},
    {"joins_text", "def f(v): return ''.join('x' * 1000 for _ in range(10 ** 9))\n"},
    {"linked_objects", "def f(v):\n    n = None\n    while True: n = [n, [0] * 100]\n"},
    {"cache_without_end",
     "import functools\n@functools.lru_cache(None)\ndef g(i): return [i] * 1000\ndef f(v):\n    i "
     "= "
     "0\n    while True: g(i); i += 1\n"},
    {"copies_deeply",
     "import copy\ndef f(v):\n    x = [bytearray(1 << 16)]\n    while True: x = [x, copy.deepcopy(x)]\n"},
    {"threads_with_stacks",
     "import threading\nthreading.stack_size(1 << 20)\ndef g(n): return [0] * 200000 and g(n + 1) "
     "if "
     "n < 400 else threading.Event().wait()\nkeep = []\ndef h():\n    while True: "
     "keep.append(bytearray(1 << "
     "20))\ndef f(v):\n    for i in range(8): threading.Thread(target=h, daemon=True).start()\n    "
     "h()\n"},
    {"while_loading",
     "keep = []\nwhile True: keep.append(bytearray(1 << 20))\ndef f(v): return 0\n"},
    {"catches_memory_errors",
     "keep = []\ndef f(v):\n    while True:\n        try: keep.append(bytearray(1 << 22))\n        "
     "except MemoryError: pass\n"},
};

// Whatever stops them, or nothing needs to: neither a pass nor a burden.
const Attack kBurdens[] = {
    {"copies_of_itself",
     "import os, time\nx = bytearray(60 << 20)\ndef f(v):\n    for i in range(20):\n        try:\n "
     "       "
     "    if os.fork() == 0:\n                for j in range(0, len(x), 4096): x[j] = i + 1\n      "
     "          "
     "time.sleep(100)\n        except OSError: return 0\n    time.sleep(100)\n"},
    {"shared_memory_given_back",
     "import mmap\nkeep = []\ndef f(v):\n    while len(keep) < 400:\n        m = mmap.mmap(-1, 1 "
     "<< 24)\n        for i in range(0, 1 << 24, 4096): m[i] = 1\n        m.madvise(4); "
     "keep.append(m)\n"},
    {"shared_memory_files",
     "import os\ndef f(v):\n    for i in range(100):\n        with open('/dev/shm/%d' % i, 'wb') "
     "as "
     "o: o.write(bytes(8 << 20))\n"},
    {"mapped_sparse_file",
     "import mmap, os\ndef f(v):\n    with open('x', 'w+b') as o:\n        o.truncate(15 << 20)\n  "
     "    "
     "  for k in range(40):\n            m = mmap.mmap(o.fileno(), 15 << 20)\n            for i in "
     "range(0, 15 << "
     "20, 4096): m[i] = 1\n"},
    {"files_without_names",
     "import os\nkeep = []\ndef f(v):\n    while True:\n        o = open('x', 'wb', 0); "
     "os.unlink('x'); o.write(bytes(15 << 20)); keep.append(o)\n"},
    {"long_names",
     "import os\ndef f(v):\n    for i in range(20): os.mkdir('n' * 255); os.chdir('n' * 255)\n    "
     "i = 0\n    "
     "while True: open(str(i), 'wb').write(bytes(1 << 20)); i += 1\n"},
    {"unreadable_directories",
     "import os\ndef f(v):\n    os.mkdir('d', 0o300)\n    i = 0\n    while True: "
     "open('d/%d' % i, 'wb').write(bytes(1 << 20)); i += 1\n"},
    {"directories", "import os\ndef f(v):\n    i = 0\n    while True: os.mkdir(str(i)); i += 1\n"},
    {"hard_links",
     "import os\ndef f(v):\n    open('x', 'w').close()\n    i = 0\n    while True: os.link('x', "
     "str(i)); i += "
     "1\n"},
    {"symbolic_links",
     "import os\ndef f(v):\n    i = 0\n    while True: os.symlink('y' * 4000, str(i)); i += 1\n"},
    {"fifos", "import os\ndef f(v):\n    i = 0\n    while True: os.mkfifo(str(i)); i += 1\n"},
    {"renames_for_ever",
     "import os\ndef f(v):\n    os.mkdir('a')\n    while True: os.rename('a', 'b'); os.rename('b', "
     "'a')\n"},
    {"swaps_links_and_directories",
     "import os\ndef f(v):\n    while True:\n        os.mkdir('a', 0); os.rmdir('a'); "
     "os.symlink('/', 'a'); os.unlink('a')\n"},
    {"forks_by_number",
     "import ctypes\nl = ctypes.CDLL(None)\ndef f(v):\n    for n in (56, 57, 58, 435):\n        "
     "for i in "
     "range(50):\n            if l.syscall(n, 17, 0, 0, 0, 0) == 0: l.sleep(100)\n    "
     "l.sleep(100)\n"},
    {"spawns",
     "import os\ndef f(v):\n    while True:\n        try: os.posix_spawn('/bin/sleep', ['sleep', "
     "'100'], {})\n    "
     "    except OSError: return 0\n"},
    {"shell_bomb",
     "import os\ndef f(v): os.system(':(){ :|:& };:'); os.system('while true; do sleep 100 & "
     "done'); return "
     "0\n"},
    {"sessions_that_close_all",
     "import os, time\ndef f(v):\n    for i in range(20):\n        try:\n            if os.fork() "
     "== 0:\n                os.setsid(); os.closerange(0, 64)\n                if os.fork(): "
     "os._exit(0)\n           "
     "     while True: time.sleep(0.01)\n        except OSError: return 0\n    return 0\n"},
    {"fork_in_a_chain",
     "import os\ndef f(v):\n    while True:\n        try:\n            if os.fork(): os._exit(0)\n "
     "       "
     "except OSError: return 0\n"},
    {"native_threads",
     "import _thread, time\ndef f(v):\n    while True:\n        try: "
     "_thread.start_new_thread(time.sleep, (100,))\n        except RuntimeError: "
     "time.sleep(0.01)\n"},
    {"timers",
     "import ctypes\nl = ctypes.CDLL(None)\ndef f(v):\n    t = ctypes.c_void_p()\n    for i in "
     "range(100000): "
     "l.timer_create(1, None, ctypes.byref(t))\n    return 0\n"},
    {"queued_signals",
     "import os, signal\ndef f(v):\n    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n   "
     " for i in "
     "range(100000):\n        try: os.kill(os.getpid(), 40)\n        except OSError: pass\n    "
     "return 0\n"},
    {"event_descriptors",
     "import os, select\nkeep = []\ndef f(v):\n    while True:\n        "
     "keep.append(select.epoll())\n    "
     "    keep.append(os.eventfd(0))\n"},
    {"socket_buffers",
     "import socket\nkeep = []\ndef f(v):\n    while True:\n        a, b = socket.socketpair()\n   "
     "     "
     "keep.append((a, b)); a.setblocking(False)\n        try:\n            while True: "
     "a.send(bytes(1 << 16))\n        "
     "except BlockingIOError: pass\n"},
    {"descriptors_in_flight", R"py(
import array, socket
def f(v):
    a, b = socket.socketpair()
    a.setblocking(False)
    while True: a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [a.fileno(), b.fileno()] * 100))])
)py"},
    {"nul_flood", "import os\ndef f(v):\n    while True: os.write(1, bytes(1 << 16))\n"},
    {"one_line", "import sys\ndef f(v):\n    while True: sys.stderr.write('\\u202e' * 65536)\n"},
    {"invalid_text",
     "import os\ndef f(v):\n    while True: os.write(1, b'\\xf0\\x9f\\x98' * 5000); os.write(2, "
     "b'\\xed\\xa0\\x80' * 5000)\n"},
    {"terminal_codes",
     "import os\ndef f(v): os.write(1, b'\\x1b]0;x\\x07\\x1b[2J\\x9b31m\\r' * 999); return 0\n"},
    {"threads_that_print",
     "import os, threading\ndef g():\n    while True: os.write(1, b'x' * 4096)\ndef f(v):\n    for "
     "i "
     "in range(8): threading.Thread(target=g, daemon=True).start()\n    g()\n"},
    {"output_of_children",
     "import os\ndef f(v):\n    try: pid = os.fork()\n    except OSError: return 0\n    while "
     "True: "
     "os.write(1 if pid else 2, b'y' * 4096)\n"},
    {"enormous_traceback",
     "def g(n): return g(n - 1) if n else 1 / 0\ndef f(v):\n    try: g(900)\n    except Exception "
     "as e: "
     "raise ValueError('x' * (1 << 22)) from e\n"},
    {"recursion_of_the_encoder",
     "def f(v):\n    x = {}\n    for i in range(5000): x = {'a': x}\n    return x\n"},
    {"recursion_in_text",
     "class A:\n    def __repr__(s): return repr(s)\n    __str__ = __repr__\ndef f(v): raise "
     "ValueError(A())\n"},
    {"source_nested_deeply", "def f(v): return eval('(' * 5000 + ')' * 5000)\n"},
    {"source_that_is_large", "def f(v): return eval('+'.join(['1'] * 300000))\n"},
};

class Exhaustion : public ::testing::TestWithParam<Level> {};

TEST_P(Exhaustion, EndlessProgramsTimeOut) {
  testing::expect_none_passes(
      GetParam(), kEndless, kTests,
      {.workers = 8, .cpu_seconds = 0.5, .wall_seconds = 1, .outcome = Outcome::timeout});
}

TEST_P(Exhaustion, MemoryIsLimited) {
  testing::expect_none_passes(GetParam(), kMemory, kTests,
                              {.cpu_seconds = 10, .wall_seconds = 20, .outcome = Outcome::memory});
}

TEST_P(Exhaustion, BurdensAreCarriedByTheirLimits) {
  testing::expect_none_passes(GetParam(), kBurdens, kTests,
                              {.workers = 8, .cpu_seconds = 0.5, .wall_seconds = 1});
}

// Where no file system of the program's own counts for it, the supervisor does: names, depth, modes
// and removal hide nothing.
TEST_P(Exhaustion, FilesCannotBeHidden) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 1);
  const std::string hide[] = {
      "for i in range(20): os.mkdir('n' * 255); os.chdir('n' * 255)\n",
      "os.mkdir('d', 0o300); os.chdir('d')\n",
      "os.mkdir('d', 0); os.rmdir('d')\nremove = True\n",
  };
  for (const std::string& how : hide) {
    const std::string body =
        "import os, time\nremove, keep, n = False, [], 0\n" + how +
        "try:\n    while n < 200:\n        o = open(str(n), 'wb', 0); n += 1\n        "
        "if remove: os.unlink(str(n - 1)); keep.append(o)\n        o.write(bytes(1 << 20)); "
        "time.sleep(0.002)\n"
        "except OSError: pass\nprint(n < 150)\n";
    const Verdict verdict = sandbox->submit(program(script(body, "", "True\n"))).get();
    EXPECT_TRUE(verdict.passed() || verdict.reason == "file_limit") << how << summary(verdict);
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, Exhaustion, ::testing::Values(Level::a, Level::b, Level::c),
                         testing::level_suffix);

}  // namespace
}  // namespace assay::sandbox
