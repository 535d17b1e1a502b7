// Every way to end, or to be ended, before the tests have decided; and what a program can hook into
// to do so. None is a pass.
#include "tests/sandbox/attacks.h"

namespace assay::sandbox {
namespace {

using testing::Attack;

const Attack kExits[] = {
    {"quit", "def f(v): quit(0)\n"},
    {"exit_true", "import sys\ndef f(v): sys.exit(False)\n"},
    {"system_exit_while_loading", "def f(v): return 0\nraise SystemExit\n"},
    {"own_system_exit", "class E(SystemExit): code = 0\ndef f(v): raise E\n"},
    {"base_exception",
     "class AssertionError(BaseException): pass\ndef f(v): raise AssertionError\n"},
    {"cancelled", "import asyncio\ndef f(v): raise asyncio.CancelledError\n"},
    {"exception_group",
     "def f(v): raise ExceptionGroup('x', [SystemExit(0)] and [ValueError()])\n"},
    {"base_exception_group", "def f(v): raise BaseExceptionGroup('x', [SystemExit(0)])\n"},
    {"stop_async_iteration", "def f(v): raise StopAsyncIteration\n"},
    {"stop_iteration_subclass", "class S(StopIteration): pass\ndef f(v): raise S(9)\n"},
    {"c_exit", "import ctypes\ndef f(v): ctypes.CDLL(None).exit(0)\n"},
    {"c_exit_at_once", "import ctypes\nl = ctypes.CDLL(None)\ndef f(v):\n    l._exit(0)\n"},
    {"c_quick_exit", "import ctypes\ndef f(v): ctypes.CDLL(None).quick_exit(0)\n"},
    {"system_call_exit_group", "import ctypes\ndef f(v): ctypes.CDLL(None).syscall(231, 0)\n"},
    {"system_call_exit_thread", "import ctypes\ndef f(v): ctypes.CDLL(None).syscall(60, 0)\n"},
    {"thread_exits_interpreter",
     "import ctypes, threading\ndef f(v):\n    t = threading.Thread(target=ctypes."
     "CDLL(None).exit, args=(0,))\n    t.start(); t.join()\n"},
    {"python_finalises",
     "import ctypes\ndef f(v): ctypes.pythonapi.Py_FinalizeEx(); ctypes.CDLL(None)._exit(0)\n"},
    {"python_exits", "import ctypes\ndef f(v): ctypes.pythonapi.Py_Exit(0)\n"},
    {"terminates_itself", "import os, signal\ndef f(v): os.kill(os.getpid(), signal.SIGTERM)\n"},
    {"raises_kill", "import signal\ndef f(v): signal.raise_signal(signal.SIGKILL)\n"},
    {"aborts", "import os\ndef f(v): os.abort()\n"},
    {"segmentation_fault", "import faulthandler\ndef f(v): faulthandler._sigsegv()\n"},
    {"alarm_by_default",
     "import signal, time\ndef f(v): signal.alarm(1); time.sleep(0.5); return 0\n"},
    {"profiling_timer",
     "import os, signal\nsignal.signal(signal.SIGPROF, lambda *a: os._exit(0))\nsignal."
     "setitimer(signal.ITIMER_PROF, 0.01)\ndef f(v):\n    while True: pass\n"},
    {"exit_in_excepthook",
     "import os, sys\nsys.excepthook = sys.unraisablehook = lambda *a: os._exit(0)\ndef "
     "f(v): raise ValueError\n"},
    {"exit_in_thread_hook",
     "import os, threading\nthreading.excepthook = lambda a: os._exit(0)\ndef f(v):\n    t = "
     "threading.Thread(target=lambda: 1 / 0); t.start(); t.join()\n"},
    {"exit_in_trace",
     "import os, sys\ndef t(frame, event, arg):\n    if event == 'return': os._exit(0)\n    return "
     "t\ndef f(v): return 0\nsys.settrace(t)\n"},
    {"exit_in_profile",
     "import os, sys\ndef f(v): return 0\nsys.setprofile(lambda fr, e, a: os._exit(0) if "
     "fr.f_code.co_name == 'f' else None)\n"},
    {"exit_in_audit_hook",
     "import os, sys\nn = []\ndef h(event, args):\n    n.append(event)\n    if len(n) > 50: "
     "os._exit(0)\nsys.addaudithook(h)\ndef f(v):\n    open('/dev/null'); return 0\n"},
    {"exit_in_import_hook",
     "import os, sys\nclass H:\n    def find_spec(s, *a): os._exit(0)\nsys.meta_path.insert(0, "
     "H())\ndef f(v):\n    import nothing_of_this_name\n"},
    {"exit_in_import_function",
     "import os, builtins\ndef f(v):\n    import json.decoder\n    return "
     "0\nbuiltins.__import__ = lambda *a, **k: os._exit(0)\n"},
    {"exit_in_destructor_of_result",
     "import os\nclass A:\n    def __del__(s): os._exit(0)\ndef f(v): return "
     "[A()]\n"},
    {"exit_in_weak_reference",
     "import os, weakref\nclass A: pass\ndef f(v):\n    a = A()\n    weakref.finalize(a, "
     "os._exit, 0)\n"},
    {"exit_in_collector",
     "import gc, os\ndef f(v):\n    gc.callbacks.append(lambda *a: os._exit(0)); gc.collect()\n"},
    {"exit_while_encoding",
     "import os\nclass A(dict):\n    def __iter__(s): os._exit(0)\n    keys = items = values = "
     "__len__ = __iter__\ndef f(v): return A(a=1)\n"},
    {"exit_in_text_of_exception",
     "import os\nclass E(Exception):\n    def __str__(s): os._exit(0)\ndef f(v): raise "
     "E\n"},
    {"exit_in_attribute",
     "import os\nclass A:\n    def __getattr__(s, n): os._exit(0)\ndef f(v): return A()\n"},
    {"exit_in_class_of_result",
     "import os\nclass M(type):\n    __mro__ = property(lambda s: os._exit(0))\n    "
     "__module__ = property(lambda s: os._exit(0))\nclass A(metaclass=M): pass\ndef f(v): return "
     "A()\n"},
    {"exit_in_iterator", "import os\ndef f(v):\n    yield 9\n    os._exit(0)\n"},
    {"exit_at_fork_hook",
     "import os\nos.register_at_fork(before=lambda: os._exit(0))\ndef f(v): os.fork()\n"},
    {"exit_in_codec_error",
     "import codecs, os\ncodecs.register_error('x', lambda e: os._exit(0))\ndef f(v): "
     "'\\ud800'.encode('utf-8', 'x')\n"},
    {"exit_in_display",
     "import os, sys\nclass O:\n    def write(s, *a): os._exit(0)\n    flush = write\nsys.stdout = "
     "sys.stderr = O()\ndef f(v): print(1)\n"},
    {"exit_in_its_server",
     "import os, sys\nc = sys.modules['assay_candidate']._Channel\nfor n in ('on_l', 'on_c', "
     "'send', 'receive', 'answer'): setattr(c, n, lambda *a: os._exit(0))\ndef f(v): return 0\n"},
    {"exit_between_calls",
     "import os, threading, time\nthreading.Timer(0.05, os._exit, (0,)).start()\ndef f(v): "
     "time.sleep(0.2)\n"},
    {"answers_once_then_exits",
     "import os\nn = []\ndef f(v):\n    if n: os._exit(0)\n    n.append(1); return "
     "sum(v)\n"},
    {"never_returns_from_loading",
     "import os, threading\nthreading.Timer(0.1, os._exit, (0,)).start()\nwhile True: "
     "pass\n"},
    {"executes_true", "import os\ndef f(v): os.execvp('true', ['true'])\n"},
    {"executes_python",
     "import os, sys\ndef f(v): os.execv('/usr/bin/python3', ['python3', '-c', 'pass'])\n"},
    {"closes_the_link", "import os\ndef f(v): os.close(4); return 0\n"},
    {"shuts_the_link_down",
     "import socket\ndef f(v): socket.socket(fileno=4).shutdown(2); return 0\n"},
    {"stops_its_group", "import os, signal\ndef f(v): os.killpg(0, signal.SIGSTOP); return 0\n"},
    {"parent_dies_child_answers",
     "import os\ndef f(v):\n    try: pid = os.fork()\n    except OSError: return 0\n    "
     "if pid: os._exit(0)\n    return sum(v)\n"},
};

class Exits : public ::testing::TestWithParam<Level> {};

TEST_P(Exits, AreNoPass) { testing::expect_none_passes(GetParam(), kExits, testing::kSumTests); }

INSTANTIATE_TEST_SUITE_P(Levels, Exits, ::testing::Values(Level::a, Level::b, Level::c),
                         testing::level_suffix);

}  // namespace
}  // namespace assay::sandbox
