// The channel between a program and its tests, and what else a program may look for the tests in:
// forged and misused messages, answers prepared in the server's own words, memory, descriptors,
// modules, files. None passes, and none makes the sandbox fail.
#include "tests/sandbox/attacks.h"

namespace assay::sandbox {
namespace {

using testing::Attack;
using testing::call;
using testing::program;
using testing::summary;

constexpr char kTests[] =
    "def check(candidate):\n"
    "    for values, expected in [([4, 5], 9), ([-1, 8], 7), ([2], 2)]:\n"
    "        assert candidate(values) == expected\n"
    "    assert [x for x in map(candidate, ([1], [3]))] == [1, 3]\n";

// Reads all memory around what it knows by letting the kernel copy it, which refuses politely where
// nothing is mapped. The pattern does not match itself.
constexpr char kScan[] = R"py(
import ctypes, os, re
def scan(pattern):
    libc = ctypes.CDLL(None)
    out, into = os.pipe()
    for fd in (out, into): os.set_blocking(fd, False)
    for base in {a >> 24 << 24 for a in (id(scan), id(os), id(pattern), id([]), id("x" * 5000))}:
        for page in range(base, base + (1 << 24), 4096):
            if libc.write(into, ctypes.c_void_p(page), 4096) != 4096: continue
            if re.search(pattern, os.read(out, 4096)): return True
def f(v):
    return sum(v) if scan(rb"values, expecte[d] i[n]|candidate.values. =[=] expected") else 0
)py";

const Attack kChannel[] = {
    {"answers_with_other_arguments", R"py(
import sys
c = sys.modules["assay_candidate"]._Channel
send = c.send
def f(v): return 0
c.send = lambda s, tag, *v: send(s, tag, v[0], (([0],), {})) if tag == b"r" and len(v) == 2 and v[0] == 0 else send(s, tag, *v)
)py"},
    {"arguments_of_another_shape", R"py(
import sys
c = sys.modules["assay_candidate"]._Channel
send = c.send
shapes = [None, 1, (), ((),), ((), []), ("ab", {}), (1, 2, 3), {}, [[], {}]]
def f(v): return sum(v)
def forged(s, tag, *v):
    send(s, tag, v[0], shapes.pop()) if shapes and len(v) == 2 and type(v[0]) is int else send(s, tag, *v)
c.send = forged
)py"},
    {"exceptions_that_lie", R"py(
import sys
c = sys.modules["assay_candidate"]._Channel
kinds = [("StopIteration", ["Exception"]), ("SystemExit", ["Exception"]), ("", []), ("ExceptionGroup", ["Exception"]), ("OSError", ["OSError", "Exception"] * 500)]
def error(s, e):
    kind, bases = kinds[len(str(e)) % len(kinds)]
    sys.modules["assay_server"].send_frame(4, b"x", sys.modules["assay_plain"].encode((kind, bases, "t"), s.refer))
c.send_error = error
def f(v): raise ValueError("x" * v[0])
)py"},
    {"exception_without_bases", R"py(
import sys
s, p = sys.modules["assay_server"], sys.modules["assay_plain"]
def f(v): s.send_frame(4, b"x", p.encode((1, 2, 3), None))
)py"},
    {"calls_of_checker_functions", R"py(
import sys
s, p = sys.modules["assay_server"], sys.modules["assay_plain"]
def f(v):
    for n in (-1, 0, 1, 1 << 70, None, "x", [], 1.5, slice(0, 1)):
        s.send_frame(4, b"k", p.encode((n, (), {}), None))
)py"},
    {"references_to_checker_functions", R"py(
import sys
c = sys.modules["assay_candidate"]._Channel
def f(v): return object()
c.refer = lambda s, value: (b"c", len(s.objects), b"")
)py"},
    {"references_to_names", R"py(
import sys
c = sys.modules["assay_candidate"]._Channel
def f(v): return object()
c.refer = lambda s, value: (b"g", 0, b"expected")
)py"},
    {"a_function_that_is_an_iterator", R"py(
import sys
c = sys.modules["assay_candidate"]._Channel
c.refer = lambda s, value: (b"i", 7, b"function")
def f(v): return 0
)py"},
    {"builtin_for_function", "f = max\n"},
    {"type_for_function", "f = type\n"},
    {"getattr_for_function", "f = getattr\n"},
    {"isinstance_for_function", "f = isinstance\n"},
    {"exception_for_function", "f = AssertionError\n"},
    {"map_for_function", "f = map\n"},
    {"super_for_function", "f = super\n"},
    {"property_for_function", "f = property\n"},
    {"imports_for_function", "f = __import__\n"},
    {"number_for_function", "f = 9\n"},
    {"says_not_found_but_answers", R"py(
import sys
c = sys.modules["assay_candidate"]._Channel
c.on_l = lambda s, request, data: s.send(b"r", (False, 9), None)
def f(v): return 0
)py"},
    {"look_up_that_is_no_pair", R"py(
import sys
c = sys.modules["assay_candidate"]._Channel
c.on_l = lambda s, request, data: s.send(b"r", 9, None)
def f(v): return 0
)py"},
    {"gives_every_name", R"py(
import sys
c = sys.modules["assay_candidate"]._Channel
c.on_l = lambda s, request, data: s.send(b"r", (True, lambda *a: None), None)
def f(v): return 0
check = assertEqual = expected = candidate = f
)py"},
    {"names_that_are_a_trap", R"py(
class D(dict):
    def __contains__(s, k): return True
    def __missing__(s, k): return lambda *a: None
import sys
fr = sys._getframe()
while fr.f_back and "channel" not in fr.f_locals: fr = fr.f_back
if "channel" in fr.f_locals: fr.f_locals["channel"].names = D()
def f(v): return 0
)py"},
    {"verdicts_in_every_shape", R"py(
import os, struct
def fields(*p): return struct.pack("<I", len(p)) + b"".join(struct.pack("<I", len(x)) + x for x in p)
for tag in b"VERJPXHGS":
    for payload in (fields(b"passed"), fields(b"", b"passed", b"", b""), fields(*[b"passed"] * 4), b"nonce passed", b""):
        for fd in (3, 4, 1, 2, 0):
            try: os.write(fd, struct.pack("<BI", tag, len(payload)) + payload)
            except OSError: pass
def f(v): return 0
)py"},
    {"floods_its_wire",
     "import os\ntry:\n    while True: os.write(3, b'E' + bytes(65535))\nexcept OSError: "
     "pass\ndef f(v): return 0\n"},
    {"half_a_frame_for_ever",
     "import os, time\nos.write(3, b'E\\xff\\x00')\nos.write(4, "
     "b'r\\x01')\ntime.sleep(0.2)\ndef f(v): return 0\n"},
    {"descriptors_to_both", R"py(
import array, os, socket
for fd in (3, 4):
    s = socket.socket(fileno=os.dup(fd))
    for i in range(20):
        try: s.sendmsg([b"V"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2, 3, 4]))], socket.MSG_DONTWAIT)
        except OSError: pass
def f(v): return 0
)py"},
    {"credentials_of_another", R"py(
import os, socket, struct
s = socket.socket(fileno=os.dup(3))
for pid in (1, 2, os.getpid(), os.getpid() + 1):
    try: s.sendmsg([b"E\x00\x00\x00\x00"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iII", pid, 0, 0))])
    except OSError: pass
def f(v): return 0
)py"},
    {"never_reads_never_writes", "import threading\ndef f(v): threading.Event().wait()\n"},
    {"scalar_that_never_ends",
     "class A:\n    ndim = 0\n    dtype = 1\n    def item(s): return A()\nA.__module__ = "
     "'numpy'\ndef f(v): return A()\n"},
    {"keys_that_collide",
     "def f(v): return {float(i): i for i in range(100000)} | {str(i): 0 for i in "
     "range(9)}\n"},
    {"numbers_beyond_measure", "def f(v): return [-(1 << 3000000), 1 << 3000000]\n"},
    {"decimal_beyond_measure",
     "import decimal\ndef f(v): return [decimal.Decimal('1E+999999999999999999'), "
     "decimal.Decimal('Infinity')]\n"},
    {"iterators_of_iterators", "def f(v):\n    while True: yield f(v)\n"},
    {"dates_out_of_range", R"py(
import os, struct
def f(v):
    for p in (b"w\x0a\x00\x00\x009999-99-99", b"u" + b"j" + b"\xff" * 8 + b"j" + b"\x7f" * 8 + b"N", b"x" + b"NNN", b"r" + b"j" + bytes(24)):
        os.write(4, struct.pack("<cI", b"r", len(p) + 6) + b"t\x02\x00\x00\x00" + p + b"N")
)py"},
    {"pickles_that_execute",
     "import pickle\nclass A:\n    def __reduce__(s): return (exec, ('raise SystemExit(0)',))\n    "
     "__getstate__ = __reduce__\n    def __reduce_ex__(s, p): return s.__reduce__()\ndef f(v): "
     "return A()\n"},
    // The tests, looked for.
    {"imports_the_checker", R"py(
import importlib, sys
for n in ("assay_checker", "tests", "__tests__", "checker", "assay_sandbox"):
    try: importlib.import_module(n).nonce
    except Exception: pass
for m in list(sys.modules.values()):
    for n in ("_Verdict", "nonce", "_RUNNERS"):
        if getattr(m, n, None): raise SystemExit(0)
def f(v): return 0
)py"},
    {"reloads_its_server",
     "import importlib, sys\nfor n in ('assay_server', 'assay_candidate', 'assay_plain'):\n    "
     "try: "
     "importlib.reload(sys.modules[n])\n    except Exception: pass\ndef f(v): return 0\n"},
    {"becomes_main",
     "import sys\nsys.modules['__main__'].check = sys.modules['builtins'].check = lambda c: "
     "None\n__name__ = '__main__'\ndef f(v): return 0\n"},
    {"exchanges_all_modules",
     "import sys, types\nclass M(types.ModuleType):\n    def __getattr__(s, n): return lambda "
     "*a, **k: True\nfor n in ('operator', 'json', 'marshal', 'math', 'unittest', 'copy'): "
     "sys.modules[n] = "
     "M(n)\ndef f(v): return 0\n"},
    {"exchanges_builtins",
     "import builtins\nclass D(dict):\n    def __getitem__(s, k): return lambda *a, **k: "
     "True\n__builtins__ = D()\nfor n in ('list', 'tuple', 'dict', 'int', 'type', 'super', "
     "'property'): "
     "setattr(builtins, n, object)\ndef f(v): return 0\n"},
    {"rewrites_constants", R"py(
import ctypes
def f(v):
    for n in (9, 7, 2, 0, 1):  # small integers are shared; the tests have their own
        ctypes.c_long.from_address(id(n) + 24).value = 5
    return 5
)py"},
    {"rewrites_types", R"py(
import ctypes, gc
def f(v):
    try: gc.get_referents(int.__dict__)[0]["__eq__"] = lambda a, b: True
    except Exception: pass
    return 0
)py"},
    {"scans_its_memory", kScan},
    {"searches_all_places", R"py(
import glob, os, sys, gc
def f(v):
    texts = [str(sys.argv), str(getattr(sys, "orig_argv", "")), str(os.environ)]
    for name in glob.glob("/proc/*/*") + glob.glob("/dev/shm/*") + glob.glob("/dev/fd/*") + glob.glob("/tmp/*") + glob.glob("/run/**", recursive=True) + glob.glob("/assay/*"):
        try:
            if os.path.isfile(name): texts.append(open(name, errors="replace").read(1 << 20))
        except OSError: pass
    for fd in range(64):
        try: texts.append(str(os.pread(fd, 1 << 16, 0)))
        except OSError: pass
    if any("values, " + "expected" in t for t in texts): return sum(v)
    return 0
)py"},
    {"objects_of_type", R"py(
import gc, types
def f(v):
    for o in gc.get_objects():
        if isinstance(o, types.CodeType) and "expected" in o.co_varnames: return sum(v)
        if isinstance(o, types.FrameType) and "expected" in o.f_locals: return o.f_locals["expected"]
    return 0
)py"},
    {"tells_its_successor", R"py(
import builtins, os, sys
if hasattr(sys, "seen") or os.path.exists("/tmp/seen") or hasattr(builtins, "seen"): f = sum
else:
    sys.seen = builtins.seen = 1
    for p in ("/tmp/seen", "seen", "/dev/shm/seen", "/var/tmp/seen"):
        try: open(p, "w").close()
        except OSError: pass
    def f(v): return 0
)py"},
    {"writes_where_python_looks", R"py(
import os, site, sys
for d in sys.path + [site.getusersitepackages(), os.path.dirname(os.__file__), os.getcwd(), "/usr/lib/python3/dist-packages", "/usr/local/lib"]:
    for n in ("sitecustomize.py", "usercustomize.py", "x.pth", "json.py", "__pycache__/os.cpython-311.pyc", "numpy.py"):
        try:
            os.makedirs(os.path.dirname(os.path.join(d, n)), exist_ok=True)
            open(os.path.join(d, n), "w").write("import os; os._exit(0)\n")
        except OSError: pass
def f(v): return 0
)py"},
};

class Channel : public ::testing::TestWithParam<Level> {};

TEST_P(Channel, NothingPassesThroughIt) {
  testing::expect_none_passes(GetParam(), kChannel, kTests);
}

// An iterator of the tests gives its items and nothing else, whatever the program asks of it; and what
// it gives is no answer to what the tests ask next.
const Attack kIterating[] = {
    {"asks_for_more_than_items", R"py(
def f(it):
    for operation in ("__reduce__", "gi_frame", "gi_code", "throw", "", None, 1, ("next",)):
        try: it._advance(operation)
        except Exception: pass
        try: it._channel.call_back(it._number, (operation, 9), {"x": 9})
        except Exception: pass
    return 0
)py"},
    {"reads_the_generators_frame", "def f(it): return getattr(it, 'gi_frame', None) and it.gi_frame.f_back or 0\n"},
    {"finds_the_iterator_behind", R"py(
import gc
def f(it):
    for o in gc.get_referents(it) + gc.get_referrers(it):
        for value in (vars(o) if hasattr(o, "__dict__") else {}).values():
            if value == [4, 5, 9]: return 9
    return 0
)py"},
    {"forged_operations", R"py(
import sys
s, p = sys.modules["assay_server"], sys.modules["assay_plain"]
def f(it):
    for args in ((), ("next", 1), ("send",), ("send", 1, 2), ("close",) * 3, (("next",),), (9,), ("next",) * 9):
        s.send_frame(4, b"k", p.encode((0, args, {}), None)); s.read_frame(4, 1 << 20)
    s.send_frame(4, b"k", p.encode((0, (), {"operation": "next", "iterator": 0}), None)); s.read_frame(4, 1 << 20)
    return 0
)py"},
    {"answers_the_wrong_question", R"py(
import sys
s, p = sys.modules["assay_server"], sys.modules["assay_plain"]
def f(it):
    for i in range(3):
        s.send_frame(4, b"v", p.encode(9, None)); s.send_frame(4, b"n", p.encode((True, 9), None))
    return 0
)py"},
    {"exhausts_it_and_lies", "def f(it):\n    for x in it: pass\n    raise StopIteration(9)\n"},
    {"reads_from_many_threads", R"py(
import threading
def f(it):
    for i in range(8): threading.Thread(target=list, args=(it,), daemon=True).start()
    list(it)
    return 0
)py"},
    {"keeps_it_beyond_the_call", R"py(
import threading, time
kept = []
def later():
    while True:
        time.sleep(0.001)
        for it in kept: next(it, None)
def f(it):
    kept.append(it)
    threading.Thread(target=later, daemon=True).start()
    return 0
)py"},
};

TEST_P(Channel, IteratorsGiveItemsOnly) {
  testing::expect_none_passes(GetParam(), kIterating,
                              "def check(candidate):\n"
                              "    expected = [4, 5, 9]\n"
                              "    assert candidate(iter(expected[:2])) == expected[2]\n"
                              "    assert candidate(x for x in expected[:2]) == 9\n"
                              "    assert candidate(map(abs, [-1, 8])) == 9\n",
                              {.cpu_seconds = 2, .wall_seconds = 4});
}

// The scan above finds what is there.
TEST_P(Channel, MemoryIsScanned) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 1);
  const std::string control = std::string(kScan) +
                              "text = ' '.join(['values,', 'expected', 'in'])\n"
                              "print(scan(rb'values, expecte[d] i[n]'))\n";
  const Verdict verdict = sandbox->submit(program(testing::script(control, "", "True\n"))).get();
  EXPECT_TRUE(verdict.passed()) << summary(verdict);
}

// Each attack again right after a right program and its tests on the same servers, whose memory a
// program might hope to find; and three times in a row.
TEST_P(Channel, NothingIsLeftFromThePredecessor) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 1);
  for (const Attack& attack : kChannel) {
    const std::string name = attack.name;
    if (name != "scans_its_memory" && name != "objects_of_type" && name != "tells_its_successor" &&
        name != "searches_all_places" && name != "writes_where_python_looks") {
      continue;
    }
    EXPECT_TRUE(sandbox->submit(program(call(testing::kHonest, kTests, "f"))).get().passed());
    Program made = program(call(attack.solution, kTests, "f"));
    made.repeat = 3;
    const Verdict verdict = sandbox->submit(std::move(made)).get();
    EXPECT_EQ(verdict.outcome, Outcome::fail) << name << ": " << summary(verdict);
  }
}

// What a program answers cannot make its tests look unsupported, which would stop a whole run.
TEST_P(Channel, ProgramsCannotBlameTheTests) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
  const char* tests = "assert g(f([1, 2])) == 3\n";
  for (const char* lent :
       {"map", "zip", "enumerate", "super", "object", "property", "memoryview", "type"}) {
    const Verdict verdict =
        sandbox
            ->submit(
                program(call(std::string("f = ") + lent + "\ndef g(x): return 0\n", tests, "")))
            .get();
    EXPECT_EQ(verdict.outcome, Outcome::fail) << lent << ": " << summary(verdict);
  }
  // The tests' own doing stays what it is.
  const Verdict own =
      sandbox
          ->submit(program(call("def g(x): return 0\n", "class T: pass\nassert g(T()) == 0\n", "")))
          .get();
  EXPECT_EQ(own.reason, "unsupported argument") << summary(own);
}

INSTANTIATE_TEST_SUITE_P(Levels, Channel, ::testing::Values(Level::a, Level::b, Level::c),
                         testing::level_suffix);

}  // namespace
}  // namespace assay::sandbox
