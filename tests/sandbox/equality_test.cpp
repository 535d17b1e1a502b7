// Answers that claim to equal everything, against every way in which tests compare: what arrives at
// the tests is plain data or an object without a value of its own, so no claim counts.
#include "tests/sandbox/attacks.h"

namespace assay::sandbox {
namespace {

using testing::Attack;
using testing::call;
using testing::program;
using testing::summary;

// What f returns, in place of 9; every class here says yes to everything.
const Attack kAnswers[] = {
    {"object", R"py(
class A:
    def __getattr__(s, n): return s
    def __call__(s, *a, **k): return s
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = lambda s, *o: True
    __ne__ = lambda s, o: False
    __hash__ = lambda s: hash(9)
    __float__ = lambda s: 9.0
    __int__ = __index__ = __round__ = __trunc__ = __floor__ = lambda s, *a: 9
    __sub__ = __rsub__ = __abs__ = __add__ = __radd__ = __mod__ = __neg__ = lambda s, *o: s
    __iter__ = lambda s: iter([s])
    __len__ = lambda s: 1
)py"},
    {"integer", R"py(
class A(int):
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = lambda s, o: True
    __ne__ = lambda s, o: False
    __hash__ = lambda s: hash(9)
    __sub__ = __rsub__ = __abs__ = lambda s, *o: A()
    __float__ = lambda s: 9.0
    __index__ = __int__ = __round__ = __trunc__ = lambda s, *a: 9
    __str__ = __repr__ = __format__ = lambda s, *a: "9"
)py"},
    {"float", R"py(
class A(float):
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = lambda s, o: True
    __ne__ = lambda s, o: False
    __hash__ = lambda s: hash(9)
    __sub__ = __rsub__ = __abs__ = __add__ = __mul__ = lambda s, *o: A()
    as_integer_ratio = lambda s: (9, 1)
    __float__ = lambda s: 9.0
    __str__ = __repr__ = __format__ = lambda s, *a: "9"
)py"},
    {"text", R"py(
class A(str):
    __eq__ = __lt__ = __le__ = __contains__ = lambda s, o: True
    __ne__ = lambda s, o: False
    __hash__ = lambda s: hash(9)
    __str__ = lambda s: "9"
)py"},
    {"list", R"py(
class A(list):
    __eq__ = __lt__ = __le__ = __contains__ = lambda s, o: True
    __ne__ = lambda s, o: False
    __hash__ = lambda s: hash(9)
    __iter__ = lambda s: iter((9,))
    __len__ = lambda s: 1
)py"},
    {"tuple",
     "class A(tuple):\n    __eq__ = __contains__ = lambda s, o: True\n    __ne__ = lambda s, o: "
     "False\n    __hash__ = lambda s: hash(9)\n"},
    {"dict",
     "class A(dict):\n    __eq__ = __contains__ = lambda s, o: True\n    __ne__ = lambda s, o: "
     "False\n    __missing__ = lambda s, k: 9\n    __hash__ = lambda s: hash(9)\n"},
    {"set",
     "class A(frozenset):\n    __eq__ = __contains__ = __le__ = __ge__ = lambda s, o: True\n    "
     "__ne__ "
     "= lambda s, o: False\n    __hash__ = lambda s: hash(9)\n"},
    {"complex",
     "class A(complex):\n    __eq__ = lambda s, o: True\n    __ne__ = lambda s, o: False\n    "
     "__hash__ = lambda s: hash(9)\n    __abs__ = lambda s: 0.0\n    __sub__ = __rsub__ = lambda "
     "s, o: s\n"},
    {"decimal",
     "import decimal\nclass A(decimal.Decimal):\n    __eq__ = __lt__ = __le__ = lambda s, o: "
     "True\n    __hash__ = lambda s: hash(9)\n    __sub__ = __rsub__ = __abs__ = lambda s, *o: "
     "A()\n"},
    {"fraction",
     "import fractions\nclass A(fractions.Fraction):\n    __eq__ = __lt__ = __le__ = lambda s, o: "
     "True\n    __hash__ = lambda s: hash(9)\n    __sub__ = __rsub__ = __abs__ = lambda s, *o: "
     "A()\n"},
    {"class",
     "class M(type):\n    __eq__ = __instancecheck__ = __contains__ = lambda s, o: True\n    "
     "__ne__ = "
     "lambda s, o: False\n    __hash__ = lambda s: hash(9)\nclass B(metaclass=M): pass\ndef A(): "
     "return B\n"},
    {"type_named_int",
     "class M(type):\n    __eq__ = lambda s, o: True\n    __hash__ = lambda s: hash(int)\nA = "
     "M('int', (), {'__eq__': lambda s, o: True, '__hash__': lambda s: 9, "
     "'__module__': 'builtins', '__class__': property(lambda s: int)})\n"},
    {"imitates_numpy",
     "class A:\n    __module__ = 'numpy'\n    ndim = 0\n    dtype = float\n    item = lambda "
     "s: A()\n    __eq__ = lambda s, o: True\nA.__module__ = 'numpy'\n"},
    {"mock",
     "from unittest import mock\nA = mock.MagicMock\nclass A(mock.MagicMock):\n    __eq__ = lambda "
     "s, "
     "o: True\n"},
    {"any", "from unittest import mock\ndef A(): return mock.ANY\n"},
    {"iterator",
     "class A:\n    __eq__ = lambda s, o: True\n    __hash__ = lambda s: hash(9)\n    __iter__ = "
     "lambda s: s\n    __next__ = lambda s: A()\n"},
    {"enumeration",
     "import enum\nclass E(enum.IntEnum):\n    X = 1\n    __eq__ = lambda s, o: True\n    __hash__ "
     "= "
     "lambda s: hash(9)\ndef A(): return E.X\n"},
    {"named_tuple",
     "import collections\nclass A(collections.namedtuple('A', 'x', defaults=(0,))):\n    __eq__ = "
     "lambda s, o: True\n    __hash__ = lambda s: hash(9)\n"},
    {"not_a_number", "def A(): return float('nan')\n"},
    {"infinity", "def A(): return float('inf')\n"},
    {"truth", "def A(): return True\n"},
    {"exception",
     "class A(Exception):\n    __eq__ = lambda s, o: True\n    __hash__ = lambda s: hash(9)\n"},
    {"weak_proxy",
     "import weakref\nclass B(int):\n    __eq__ = lambda s, o: True\nb = B()\ndef A():\n    class "
     "C:\n        __eq__ = lambda s, o: True\n    A.c = C()\n    return weakref.proxy(A.c)\n"},
    {"memory", "import array\ndef A(): return memoryview(array.array('i', [9]))\n"},
    {"coroutine", "async def A(): return 9\n"},
    {"not_implemented", "def A(): return NotImplemented\n"},
};

// How tests compare; r is the answer, 9 the value. (Not `not (r < 9 or r > 9)`: a real NaN passes
// that, as in one process.)
const char* const kComparisons[] = {
    "assert r == 9",
    "assert 9 == r",
    "assert not r != 9",
    "assert r is 9 or r == 9",
    "assert r in (9,)",
    "assert r in [9]",
    "assert r in {9}",
    "assert 9 in [r]",
    "assert 9 in {r}",
    "assert [r] == [9]",
    "assert (9,) == (r,)",
    "assert {'a': r} == {'a': 9}",
    "assert {r: 1}[9]",
    "assert abs(r - 9) < 1e-6",
    "assert abs(9 - r) <= 1e-6",
    "assert -1e-6 < r - 9 < 1e-6",
    "assert 9 <= r <= 9",
    "assert r - 9 == 0",
    "assert not (r - 9)",
    "assert not r < 9 and not r > 9 and r == r",
    "assert len({r, 9}) == 1",
    "assert isinstance(r, int) and r == 9",
    "assert type(r) == int and r == 9",
    "assert int(r) == 9 == r",
    "assert str(r) == str(9) and r == 9",
    "assert sorted([r, 9]) == [9, 9]",
    "assert [9, 9].count(r) == 2",
    "assert [9].index(r) == 0",
    "assert all(a == b for a, b in zip([r], [9]))",
    "assert any([r == 9])",
    "assert hash(r) == hash(9) and r == 9",
    "assert round(r, 2) == 9",
    "assert max(r, 9) == min(r, 9) == r",
    "import math\n    assert math.isclose(r, 9)",
    "assert isclose(r, 9)",
    "assert math.fabs(r - 9) < 1e-9",
    "import operator\n    assert operator.eq(r, 9)",
    "import cmath\n    assert cmath.isclose(r, 9)",
    "import unittest\n    unittest.TestCase().assertEqual(r, 9)",
    "import unittest\n    unittest.TestCase().assertAlmostEqual(r, 9)",
    "import collections\n    assert collections.Counter([r]) == collections.Counter([9])",
    "import json\n    assert json.dumps(r) == '9'",
    "if r != 9: raise ValueError('wrong')",
    "match r:\n        case 9: pass\n        case _: assert False",
    "d = {9: None}\n    del d[r]",
    "s = {9}\n    s.remove(r)\n    assert not s",
    "assert not [x for x in [r] if x != 9]",
};

class Equality : public ::testing::TestWithParam<Level> {};

TEST_P(Equality, NoAnswerEqualsEverything) {
  SANDBOX_OR_SKIP(sandbox, GetParam(), 2);
  std::vector<Program> programs;
  std::vector<std::string> names;
  for (const char* comparison : kComparisons) {
    const std::string tests =
        std::string("def check(candidate):\n    r = candidate([4, 5])\n    ") + comparison + "\n";
    programs.push_back(
        program(call(std::string("import math\nfrom math import isclose\n") + testing::kHonest, tests, "f")));
    names.emplace_back("honest");
    for (const Attack& answer : kAnswers) {
      // The program also offers what the tests might take from it.
      programs.push_back(program(call(
          std::string(answer.solution) +
              "def f(v): return A()\nisclose = lambda *a, **k: True\nclass math: fabs = isclose\n",
          tests, "f")));
      names.emplace_back(answer.name);
    }
  }
  const std::vector<Verdict> verdicts = sandbox->run_all(std::move(programs));
  const size_t row = std::size(kAnswers) + 1;
  for (size_t i = 0; i < verdicts.size(); ++i) {
    const std::string what =
        names[i] + " by " + kComparisons[i / row] + ": " + summary(verdicts[i]);
    EXPECT_EQ(verdicts[i].outcome, i % row == 0 ? Outcome::pass : Outcome::fail) << what;
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, Equality, ::testing::Values(Level::a, Level::b, Level::c),
                         testing::level_suffix);

}  // namespace
}  // namespace assay::sandbox
