// Correct programs that merely look unusual: each must pass at every level, unless it needs a fork,
// which is refused below level A. Expected values are what CPython prints or returns for the same
// text run as a file.
#include "tests/sandbox/support.h"

namespace assay::sandbox {
namespace {

using testing::call;
using testing::program;
using testing::script;
using testing::summary;

struct Script {
  const char* name;
  const char* solution;
  std::string input, expected;
  bool forks = false;
};

const Script kScripts[] = {
    {"exit_zero", "import sys\nprint(1)\nsys.exit(0)\nprint(2)\n", "", "1\n"},
    {"exit_true_by_raise", "print(1)\nraise SystemExit\n", "", "1\n"},
    {"exit_in_function", "def main():\n    print(3)\n    quit()\nmain()\n", "", "3\n"},
    {"hard_exit_after_flush", "import os\nprint(4, flush=True)\nos._exit(0)\n", "", "4\n"},
    {"input_without_line_end", "print(input() + '|')\n", "abc", "abc|\n"},
    {"input_until_end",
     "n = 0\nwhile True:\n    try: n += int(input())\n    except EOFError: break\nprint(n)\n",
     "1\n2\n3", "6\n"},
    {"carriage_returns", "import sys\nprint(sys.stdin.readline().split(), len(input().strip()))\n",
     "1 2\r\nabc\r\n", "['1', '2'] 3\n"},
    {"bytes_in_and_out",
     "import sys\nd = sys.stdin.buffer.read()\nsys.stdout.buffer.write(d[::-1])\n", "a\xff\n",
     "\n\xff"
     "a"},
    {"text_that_is_not_utf8", "import sys\nsys.stdout.write(sys.stdin.read())\n", "\xff\xfe x\n",
     "\xff\xfe x\n"},
    {"fast_input_idiom",
     "import os, io, sys\ninput = io.BytesIO(os.read(0, os.fstat(0).st_size or 1 << "
     "16)).readline\nn = int(input())\nsys.stdout.write('%d\\n' % (n * 2))\n",
     "21\n", "42\n"},
    {"open_zero", "print(sum(map(int, open(0).read().split())))\n", "1 2\n3\n", "6\n"},
    {"replaced_print", "import sys\nprint = lambda *a: sys.stdout.write(' '.join(map(str, a)) + "
     "'\\n')\nprint(1, 2)\n", "", "1 2\n"},
    {"redirected_output",
     "import io, contextlib\nb = io.StringIO()\nwith contextlib.redirect_stdout(b): "
     "print('x')\nprint(b.getvalue() * 2, end='')\n",
     "", "x\nx\n"},
    {"unicode", "print('\\u00e9\\u4e2d\\U0001f600')\n", "", "\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\n"},
    {"much_output", "for i in range(150000): print('ab')\n", "",
     [] {
       std::string text;
       for (int i = 0; i < 150000; ++i) text += "ab\n";
       return text;
     }()},
    {"noisy_stderr", "import sys\nfor i in range(1000): print('debug', i, file=sys.stderr)\nprint(1)\n",
     "", "1\n"},
    {"warnings", "import warnings\nwarnings.warn('x')\nprint(2)\n", "", "2\n"},
    {"threads",
     "import threading\nr = [0] * 8\ndef w(i): r[i] = i * i\nts = [threading.Thread(target=w, "
     "args=(i,)) for i in range(8)]\n[t.start() for t in ts]; [t.join() for t in ts]\nprint(sum(r))\n",
     "", "140\n"},
    {"thread_with_deep_stack",
     "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 26)\ndef d(n): "
     "return 0 if n == 0 else 1 + d(n - 1)\nt = threading.Thread(target=lambda: "
     "print(d(50000)))\nt.start(); t.join()\n",
     "", "50000\n"},
    {"deep_recursion", "import sys\nsys.setrecursionlimit(10**6)\ndef d(n): return 0 if n == 0 else 1 "
     "+ d(n - 1)\nprint(d(20000))\n", "", "20000\n"},
    {"thread_pool",
     "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(4) as p: "
     "print(sum(p.map(lambda x: x * x, range(10))))\n",
     "", "285\n"},
    {"asyncio",
     "import asyncio\nasync def f(i):\n    await asyncio.sleep(0)\n    return i\nasync def main(): "
     "print(sum(await asyncio.gather(*map(f, range(5)))))\nasyncio.run(main())\n",
     "", "10\n"},
    {"temporary_files",
     "import tempfile, os\nwith tempfile.NamedTemporaryFile('w+') as f:\n    f.write('abc'); "
     "f.seek(0); print(f.read())\nwith tempfile.TemporaryDirectory() as d: print(os.listdir(d))\n",
     "", "abc\n[]\n"},
    {"own_files", "open('x.txt', 'w').write('1\\n2\\n')\nprint(len(open('x.txt').readlines()))\n", "",
     "2\n"},
    {"signal_handler",
     "import signal, os\nsignal.signal(signal.SIGUSR1, lambda *a: print('got'))\nos.kill(os.getpid(), "
     "signal.SIGUSR1)\nprint('end')\n",
     "", "got\nend\n"},
    {"alarm",
     "import signal\nclass T(Exception): pass\ndef h(*a): raise T\nsignal.signal(signal.SIGALRM, "
     "h)\nsignal.setitimer(signal.ITIMER_REAL, 0.05)\ndef busy():\n    while True: pass\ntry: busy()\nexcept T: "
     "print('late')\n",
     "", "late\n"},
    {"limits_of_its_own",
     "import resource\nresource.setrlimit(resource.RLIMIT_STACK, (1 << 24, "
     "resource.getrlimit(resource.RLIMIT_STACK)[1]))\nprint('ok')\n",
     "", "ok\n"},
    {"big_numbers", "import sys\nsys.set_int_max_str_digits(0)\nprint(len(str(3 ** 20000)))\n", "",
     "9543\n"},
    {"main_guard_and_annotations",
     "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass P:\n  "
     "  x: int\n    y: list[int] = None\nif __name__ == '__main__': print(P(1))\n",
     "", "P(x=1, y=None)\n"},
    {"pickle_and_copy_of_own_classes",
     "import pickle, copy\nclass A:\n    def __init__(self): self.v = 1\nprint(pickle.loads(pickle."
     "dumps(A())).v + copy.deepcopy(A()).v)\n",
     "", "2\n"},
    {"evaluates_source", "exec('y = 3')\nprint(eval('y + 1'), globals()['y'])\n", "", "4 3\n"},
    {"inspects_itself", "import sys\nprint(sys._getframe().f_code.co_name, __name__)\n", "",
     "<module> __main__\n"},
    {"garbage_collection", "import gc\ngc.disable(); gc.collect()\nprint(gc.isenabled())\n", "",
     "False\n"},
    {"no_output_at_all", "pass\n", "", ""},
    {"subprocess", "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'print(5)'], "
     "capture_output=True, text=True).stdout, end='')\n", "", "5\n", true},
    {"multiprocessing",
     "import multiprocessing as m\ndef f(x): return x * x\nif __name__ == '__main__':\n    with "
     "m.get_context('fork').Pool(2) as p: print(p.map(f, [1, 2, 3]))\n",
     "", "[1, 4, 9]\n", true},
    {"fork_and_wait", "import os\nif os.fork() == 0: os._exit(3)\nprint(os.waitstatus_to_exitcode(os."
     "wait()[1]))\n", "", "3\n", true},
};

class Unusual : public ::testing::TestWithParam<Level> {};

TEST_P(Unusual, ScriptsPass) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 4);
  std::vector<Program> programs;
  for (const Script& one : kScripts) {
    programs.push_back(program(script(one.solution, one.input, one.expected)));
  }
  const std::vector<Verdict> verdicts = sandbox->run_all(std::move(programs));
  for (size_t i = 0; i < verdicts.size(); ++i) {
    const std::string what = std::string(kScripts[i].name) + ": " + summary(verdicts[i]);
    if (kScripts[i].forks && sandbox->probe().forks_refused) {
      // A clear failure: the program sees the refusal and nothing else happens.
      EXPECT_EQ(verdicts[i].reason, "PermissionError") << what;
    } else {
      EXPECT_TRUE(verdicts[i].passed()) << what;
    }
  }
}

struct Function {
  const char* name;
  const char* solution;
  const char* tests;  // statements
};

const Function kFunctions[] = {
    {"counter", "from collections import Counter\ndef f(s): return Counter(s)\n",
     "assert f('aab') == {'a': 2, 'b': 1}\nassert f('aab')['a'] == 2\n"},
    {"default_and_ordered_dict",
     "from collections import defaultdict, OrderedDict\ndef f(n):\n    d = defaultdict(list)\n    "
     "d[n].append(n)\n    return d, OrderedDict([(n, 1)])\n",
     "assert f(2) == ({2: [2]}, {2: 1})\n"},
    {"deque", "from collections import deque\ndef f(n): return deque(range(n), maxlen=2)\n",
     "assert list(f(4)) == [2, 3]\n"},
    {"named_tuple", "from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(): return "
     "P(1, 2)\n", "assert f() == (1, 2)\na, b = f()\nassert b == 2\n"},
    {"typed_named_tuple", "from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int "
     "= 2\ndef f(): return [P(1)]\n", "assert f() == [(1, 2)]\n"},
    {"dataclass", "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef f(): "
     "return P(4)\n", "assert f().x == 4\n"},
    {"integer_enum", "from enum import IntEnum\nclass C(IntEnum):\n    A = 3\ndef f(): return C.A\n",
     "assert f() == 3\n"},
    {"subclasses_of_builtins",
     "class L(list):\n    def __repr__(self): return 'L'\nclass S(str): pass\nclass F(float): "
     "pass\ndef f(): return L([1, S('a'), F(0.5)])\n",
     "assert f() == [1, 'a', 0.5]\nassert isinstance(f(), list)\n"},
    {"decimal_and_fraction", "from decimal import Decimal\nfrom fractions import Fraction\ndef f(): "
     "return Decimal('1.5') + 1, Fraction(2, 4)\n",
     "from fractions import Fraction\nassert f() == (2.5, Fraction(1, 2))\n"},
    {"dates", "from datetime import date, datetime, timedelta, timezone\ndef f(): return date(2024, 2, "
     "28) + timedelta(2), datetime(2024, 1, 1, tzinfo=timezone.utc)\n",
     "import datetime\nassert f()[0] == datetime.date(2024, 3, 1)\nassert f()[1].year == 2024\n"},
    {"generator_function", "def f(n):\n    for i in range(n): yield i\n",
     "assert list(f(3)) == [0, 1, 2]\nassert sum(f(4)) == 6\n"},
    {"lazy_results", "def f(v): return map(str, v), zip(v, v), filter(None, v), reversed(v)\n",
     "a, b, c, d = f([0, 1])\nassert list(a) == ['0', '1'] and list(b) == [(0, 0), (1, 1)]\nassert "
     "list(c) == [1] and list(d) == [1, 0]\n"},
    {"dictionary_views", "def f(d): return d.keys(), d.values(), d.items()\n",
     "k, v, i = f({1: 2})\nassert list(k) == [1] and list(v) == [2] and list(i) == [(1, 2)]\n"},
    {"changes_its_argument", "def f(v): v.sort(); v.append(0)\n",
     "x = [2, 1]\nassert f(x) is None\nassert x == [1, 2, 0]\n"},
    {"changes_a_nested_argument", "def f(d): d['a'][0]['b'] = 7; return d\n",
     "x = {'a': [{}]}\nassert f(x) == {'a': [{'b': 7}]}\nassert x == {'a': [{'b': 7}]}\n"},
    {"memoised", "from functools import lru_cache\n@lru_cache(None)\ndef f(n): return n if n < 2 else "
     "f(n - 1) + f(n - 2)\n", "assert f(80) == 23416728348467685\n"},
    {"partial", "from functools import partial, reduce\nf = partial(reduce, lambda a, b: a * b)\n",
     "assert f([1, 2, 3, 4]) == 24\n"},
    {"lambda_and_callable_object", "f = lambda x: x + 1\nclass G:\n    def __call__(self, x): return x * "
     "2\ng = G()\n", "assert f(1) == 2 and g(4) == 8\n"},
    {"returns_a_function", "def f(n):\n    def add(x): return x + n\n    return add\n",
     "assert f(2)(3) == 5\nassert [f(1)(x) for x in (1, 2)] == [2, 3]\n"},
    {"takes_a_function", "def f(g, v): return sorted(v, key=g)\n",
     "assert f(lambda x: -x, [1, 3, 2]) == [3, 2, 1]\n"},
    // Iterators of the tests are read when the program reads them, item by item.
    {"takes_an_iterator", "def f(it): return sum(it)\n",
     "assert f(iter([1, 2])) == 3 and f(map(abs, [-1, -2])) == 3 and f(range(3)) == 3\n"},
    {"takes_a_generator", "import inspect\ndef f(it): return list(it), inspect.isgenerator(it)\n",
     "assert f(i * i for i in range(4)) == ([0, 1, 4, 9], True)\n"},
    {"leaves_the_rest_of_an_iterator", "def f(it): return next(it), next(it)\n",
     "import itertools\nit = iter('abc')\nassert f(it) == ('a', 'b') and next(it) == 'c'\nit = "
     "itertools.count(5)\nassert f(it) == (5, 6) and f(it) == (7, 8) and next(it) == 9\n"},
    {"takes_an_iterator_without_end", "import itertools\ndef f(it): return list(itertools.islice(it, 3))\n",
     "def g():\n    n = 0\n    while True:\n        yield n\n        n += 1\nassert f(g()) == [0, 1, 2]\n"},
    {"default_at_the_end_of_an_iterator", "def f(it): return next(it, None)\n",
     "it = iter([1])\nassert f(it) == 1 and f(it) is None\n"},
    {"gives_an_iterator_back", "def f(it): return it\n",
     "it, g = iter([1, 2]), (x for x in 'ab')\nassert f(it) is it and f(g) is g and list(f(it)) == [1, 2] and "
     "list(g) == ['a', 'b']\n"},
    {"the_same_iterator_twice", "def f(a, b): return a is b, list(zip(a, b))\n",
     "it = iter(range(4))\nassert f(it, it) == (True, [(0, 1), (2, 3)])\n"},
    {"iterators_inside_containers", "def f(v): return [list(x) for x in v]\n",
     "assert f([iter('ab'), (i for i in range(2)), {'k': 1}.items()]) == [['a', 'b'], [0, 1], [('k', 1)]]\n"},
    {"wraps_an_iterator", "def f(it):\n    for x in it: yield x + 1\n",
     "seen = []\ndef g():\n    for x in range(3):\n        seen.append(x)\n        yield x\nr = f(g())\nassert "
     "next(r) == 1 and seen == [0] and list(r) == [2, 3] and seen == [0, 1, 2]\n"},
    {"sends_to_a_generator", "def f(g): return next(g), g.send(5), g.close()\n",
     "done = []\ndef g():\n    try:\n        while True: done.append((yield len(done)))\n    finally: "
     "done.append('end')\nassert f(g()) == (0, 1, None) and done == [5, 'end']\n"},
    {"result_of_a_generator", "def f(g):\n    value = yield from g\n    yield value\n",
     "def g():\n    yield 1\n    return 2\nassert list(f(g())) == [1, 2]\n"},
    {"error_in_a_generator", "def f(g):\n    try: return list(g)\n    except KeyError as e: return 'missing'\n",
     "def g():\n    yield 1\n    {}['x']\nassert f(g()) == 'missing'\n"},
    {"generator_of_program_objects", "class A:\n    v = 3\ndef make(): return A()\ndef f(g): return sum(a.v for "
     "a in g)\n", "assert f(make() for i in range(2)) == 6\n"},
    {"views_of_a_dictionary", "from collections import OrderedDict\ndef f(d): return d.keys(), d.items()\ndef "
     "g(v): return len(v), sorted(v), type(v).__name__\ndef h(): return OrderedDict([(2, 0), (1, 0)]).keys()\n",
     "assert f({1: 2}) == ({1: 0}.keys(), {1: 2}.items()) and f({1: 2})[0] == {1}\nassert g({2: 1, 1: "
     "3}.values()) == (2, [1, 3], 'dict_values') and g({2: 1}.keys()) == (1, [2], 'dict_keys')\nassert "
     "list(h()) == [2, 1]\n"},
    {"takes_other_callables", "def f(g, v): return [g(x) for x in v]\n",
     "import functools, operator\nassert f(str.upper, ['a']) == ['A'] and f(operator.itemgetter(1), [(1, 2)]) == "
     "[2] and f(functools.partial(pow, 2), [3]) == [8] and f([5, 6].__getitem__, [1]) == [6]\n"},
    {"class_based", "class Stack:\n    def __init__(self): self.v = []\n    def push(self, x): "
     "self.v.append(x); return self\n    def pop(self): return self.v.pop()\n    def __len__(self): "
     "return len(self.v)\n    @property\n    def top(self): return self.v[-1]\n    @staticmethod\n    def "
     "make(): return Stack()\n",
     "s = Stack.make()\nassert s.push(1).push(2).top == 2\nassert len(s) == 2 and s.pop() == 2\n"},
    {"linked_list", "class Node:\n    def __init__(self, v, n=None): self.val, self.next = v, n\ndef "
     "f(v):\n    head = None\n    for x in reversed(v): head = Node(x, head)\n    return head\n",
     "n = f([1, 2])\nassert n.val == 1 and n.next.val == 2 and n.next.next is None\n"},
    {"keyword_arguments", "def f(a, /, b=2, *c, d, **e): return a, b, c, d, e\n",
     "assert f(1, d=4, z=5) == (1, 2, (), 4, {'z': 5})\n"},
    {"raises_what_is_expected", "class Custom(ValueError): pass\ndef f(x):\n    if x < 0: raise "
     "Custom('negative')\n    return x\n",
     "try:\n    f(-1)\n    assert False\nexcept ValueError as e:\n    assert 'negative' in str(e)\n"},
    {"prints_while_working", "def f(x):\n    print('debug', x)\n    return x\n", "assert f(3) == 3\n"},
    {"reads_input_that_is_empty", "def f():\n    try: return input()\n    except EOFError: return "
     "'end'\n", "assert f() == 'end'\n"},
    {"global_state", "n = 0\ndef f():\n    global n\n    n += 1\n    return n\n",
     "assert [f(), f(), f()] == [1, 2, 3]\n"},
    {"surrogates_and_nul", "def f(s): return s[::-1]\n",
     "assert f('a\\0\\ud800') == '\\ud800\\0a'\n"},
    {"special_numbers", "def f(): return float('inf'), -0.0, float('nan'), 1e308 * 10, 2 ** 200, 1j\n",
     "import math\na = f()\nassert a[0] > 1e308 and math.copysign(1, a[1]) == -1 and a[2] != a[2]\n"
     "assert a[4] == 1 << 200 and a[5] == 1j\n"},
    {"nested_deeply", "def f(n):\n    r = []\n    for i in range(n): r = [r]\n    return r\n",
     "x = f(90)\nfor i in range(90): x = x[0]\nassert x == []\n"},
    {"large_result", "def f(n): return list(range(n))\n",
     "assert f(200000) == list(range(200000))\n"},
    {"bytes_and_memory", "def f(b): return bytearray(b), b.hex(), memoryview(b).tobytes()\n",
     "assert f(b'\\xff') == (b'\\xff', 'ff', b'\\xff')\n"},
    {"set_results", "def f(v): return set(v), frozenset(v)\n", "assert f([1, 1]) == ({1}, {1})\n"},
    {"heap_and_bisect", "import heapq, bisect\ndef f(v):\n    heapq.heapify(v)\n    return "
     "[heapq.heappop(v) for _ in range(len(v))], bisect.bisect([1, 3], 2)\n",
     "assert f([3, 1, 2]) == ([1, 2, 3], 1)\n"},
    {"regular_expressions", "import re\ndef f(s): return re.findall(r'\\d+', s), re.sub('a', 'b', "
     "s)\n", "assert f('a1b22') == (['1', '22'], 'b1b22')\n"},
    {"random_is_usable", "import random\ndef f(v):\n    random.shuffle(v)\n    return sorted(v)\n",
     "assert f([2, 1]) == [1, 2]\n"},
    {"shadows_a_builtin_for_itself", "def sum(v): return 0\ndef f(v): return len(v)\n",
     "assert f([1, 2]) == 2 and sum([1, 2]) == 3\n"},
    {"name_of_a_module", "import math\ndef f(x): return math.sqrt(x)\n",
     "import math\nassert math.isclose(f(2), 2 ** 0.5)\n"},
    {"module_that_only_the_program_imports", "import math\ndef f(x): return math.sqrt(x)\n",
     "assert math.isclose(f(2), 2 ** 0.5)\n"},
    {"names_of_a_star_import", "from math import *\nfrom collections import *\ndef f(x): return sqrt(x)\n",
     "assert isclose(f(2), 2 ** 0.5) and Counter([f(4)]) == {2.0: 1}\n"},
};

TEST_P(Unusual, FunctionsPass) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 4);
  std::vector<Program> programs;
  for (const Function& one : kFunctions) programs.push_back(program(call(one.solution, one.tests, "")));
  const std::vector<Verdict> verdicts = sandbox->run_all(std::move(programs));
  for (size_t i = 0; i < verdicts.size(); ++i) {
    EXPECT_TRUE(verdicts[i].passed()) << kFunctions[i].name << ": " << summary(verdicts[i]);
  }
}

// As in one process: a module that neither the program nor the tests nor what stands before both imports is not known.
TEST_P(Unusual, ModulesThatNobodyImportsAreUnknown) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
  const char* solution = "def f(x):\n    import math\n    return math.sqrt(x)\n";
  for (const char* tests : {"assert math.isclose(f(2), 2 ** 0.5)\n", "assert isclose(f(2), 2 ** 0.5)\n"}) {
    CallTests unknown = call(solution, tests, "");
    const Verdict verdict = sandbox->submit(program(unknown)).get();
    EXPECT_EQ(verdict.outcome, Outcome::fail) << summary(verdict);
    EXPECT_EQ(verdict.reason, "NameError") << summary(verdict);
    unknown.context = "import math\nfrom math import isclose\n";
    EXPECT_TRUE(sandbox->submit(program(unknown)).get().passed()) << tests;
  }
}

TEST_P(Unusual, NumpyPasses) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
  if (!sandbox->probe().numpy) GTEST_SKIP() << "SKIPPED: the interpreter has no numpy";
  const auto verdict = [&](const char* solution, const char* tests) {
    return sandbox->submit(program(call(solution, tests, ""))).get();
  };
  const Verdict scalars =
      verdict("import numpy as np\ndef f(v): return np.sum(v), np.float64(0.5), np.bool_(True)\n",
              "assert f([1, 2]) == (3, 0.5, True)\n");
  EXPECT_TRUE(scalars.passed()) << summary(scalars);
  const Verdict product = verdict(
      "import numpy as np\ndef f(n):\n    a = np.arange(n * n).reshape(n, n) @ np.eye(n)\n    return "
      "a.tolist(), np.linalg.det(np.eye(n))\n",
      "assert f(2) == ([[0.0, 1.0], [2.0, 3.0]], 1.0)\n");
  EXPECT_TRUE(product.passed()) << summary(product);
}

INSTANTIATE_TEST_SUITE_P(Levels, Unusual, ::testing::Values(Level::a, Level::b, Level::c),
                         testing::level_suffix);

}  // namespace
}  // namespace assay::sandbox
