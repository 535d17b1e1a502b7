"""The side that runs tests. It is given tests and expected values, and never runs the program.

What it knows of the program arrives on the link as plain data and is taken apart by assay_plain,
which makes nothing but builtin values. The verdict goes to the supervisor over a wire that the
program does not have, with a nonce that it has not seen, as the last act of this process. Whatever
goes wrong on the link ends this process at once, so that no `except` of a test can swallow it.
"""
import ast
import builtins
import functools
import json
import operator
import os
import random
import symtable
import sys
import types

import assay_plain as plain
import assay_server as server

_SOURCE = "<tests>"


class _Verdict:
    nonce = b""

    @classmethod
    def end(cls, outcome, reason="", detail=""):
        server.send_frame(server.WIRE, b"V", server.pack_fields(
            cls.nonce, outcome.encode(), reason.encode("utf-8", "replace")[:200],
            detail.encode("utf-8", "backslashreplace")[:4000]))
        os._exit(0 if outcome == "passed" else 1)


def _fail(reason, detail=""):
    _Verdict.end("failed", reason, detail)


_EXCEPTIONS = {
    name: value for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, Exception)
    # These steer loops of the caller; a program that raises them would end a test early.
    and value not in (StopIteration, StopAsyncIteration)
    # Cannot be made from a text alone.
    and name != "ExceptionGroup"
}

# What tests compare with, should the program have imported it for them: never the program's own.
_COMPARING = {"isclose": "math", "fabs": "math", "isnan": "math", "deepcopy": "copy",
              "Counter": "collections", "OrderedDict": "collections", "defaultdict": "collections",
              "deque": "collections", "Decimal": "decimal", "Fraction": "fractions"}


# What of this side's callables can be handed to the program, which calls back.
_FUNCTIONS = (types.FunctionType, types.MethodType, types.BuiltinFunctionType,
              types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType,
              types.ClassMethodDescriptorType, functools.partial, type(functools.cache(len)),
              operator.itemgetter, operator.attrgetter, operator.methodcaller)


def _is_iterator(value):
    """Of those that are nothing but iterators: a file or an object of the tests is more."""
    kind = type(value)
    return hasattr(kind, "__next__") and kind.__module__ in ("builtins", "itertools")


def _advancing(iterator):
    """What the program does with an iterator of the tests; (whether there is more, value)."""
    def advance(operation="next", *args):
        try:
            if operation == "next":
                return True, next(iterator)
            if operation == "send" and type(iterator) is types.GeneratorType:
                return True, iterator.send(*args)
            if operation == "close" and type(iterator) is types.GeneratorType:
                iterator.close()
            return False, None
        except StopIteration as end:
            return False, end.value
    return advance


class _Link:
    """Requests to the candidate."""

    def __init__(self, frame_limit):
        self.frame_limit = frame_limit
        self.remotes = {}
        self.functions = []  # what was handed to the program: the value, and what a call of it runs
        self.numbers = {}
        self.raised = None  # the last exception that came from the program
        self.used = False  # the tests asked the program for anything
        self.lent = False  # the program named builtins of this side as its answers

    def refer(self, value):
        if isinstance(value, (_Object, _Iterator)):
            return (b"i" if isinstance(value, _Iterator) else b"h"), _number(value), b""
        name = getattr(value, "_assay_name", None) if isinstance(value, types.FunctionType) else None
        if name is not None:
            return b"g", 0, name.encode()
        if isinstance(value, _FUNCTIONS):
            return b"c", self.hand_out(value, value), b""
        if _is_iterator(value):
            kind = b"generator" if type(value) is types.GeneratorType else b"iterator"
            return b"c", self.hand_out(value, _advancing(value)), kind
        what = "an object of type %s cannot be sent to another process" % type(value).__name__
        if self.lent:  # then it may be what the program's builtin made, and the program's fault
            _fail("TypeError", what)
        _Verdict.end("unsupported", "argument", "the tests pass it: " + what)

    def hand_out(self, value, call):
        number = self.numbers.get(id(value))
        if number is None:
            number = self.numbers[id(value)] = len(self.functions)
            self.functions.append((value, call))
        return number

    def resolve(self, tag, number, text):
        if tag == b"c":
            return self.functions[number][0]
        if tag == b"B":
            self.lent = True
            return None
        if tag == b"g":
            raise plain.BadFrame("name")
        key = (tag, number)
        remote = self.remotes.get(key)
        if remote is None:
            remote = self.remotes[key] = (_Iterator if tag == b"i" else _Object)(self, number, text)
        return remote

    def receive(self):
        try:
            frame = server.read_frame(server.LINK, self.frame_limit)
        except ValueError as error:
            _fail("frame", str(error))
        except OSError as error:
            _fail("candidate_exit", str(error))
        if frame is None:
            _fail("candidate_exit")
        return frame

    def decode(self, data):
        try:
            return plain.decode(data, self.resolve)
        except plain.BadFrame as error:
            _fail("frame", str(error))
        except MemoryError:
            _fail("frame", "value too large")

    def answer(self):
        """(result, arguments after the call) of the request just sent."""
        while True:
            tag, data = self.receive()
            value = self.decode(data)
            try:
                if tag == b"r":
                    result, after = value
                    return result, after
                if tag == b"x":
                    kind, bases, text = value
                    error = self.exception(str(kind), [str(base) for base in bases], str(text))
                elif tag == b"k":
                    number, args, kwargs = value
                    function = self.functions[number][1]
                    args, kwargs = tuple(args), dict(kwargs)
                else:
                    raise ValueError("tag")
            except (TypeError, ValueError, IndexError) as misfit:
                _fail("frame", str(misfit))
            if tag == b"x":
                self.raised = (error, kind)
                raise error
            try:
                result = function(*args, **kwargs)
            except Exception as error:
                self.send(b"w", (type(error).__name__, str(error)[:2000]))
            else:
                self.send(b"v", result)

    @staticmethod
    def exception(kind, bases, text):
        """The builtin exception that stands for one of the program's."""
        if "Exception" not in bases:  # SystemExit, KeyboardInterrupt, GeneratorExit, ...
            _fail(kind, text)
        error_type = next((_EXCEPTIONS[base] for base in bases if base in _EXCEPTIONS
                           and base != "Exception"), None)
        if error_type is None or kind not in _EXCEPTIONS:
            error_type = _EXCEPTIONS.get(kind, error_type or RuntimeError)
        error = error_type.__new__(error_type)
        error.args = (text,)
        return error

    def send(self, tag, value):
        data = plain.encode(value, self.refer)
        try:
            server.send_frame(server.LINK, tag, data)
        except OSError as error:
            _fail("candidate_exit", str(error))

    def request(self, tag, value):
        self.used = True
        self.send(tag, value)
        return self.answer()[0]

    def call(self, target, args, kwargs):
        self.used = True
        self.send(b"c", (target, args, kwargs))
        result, after = self.answer()
        if after is not None:
            try:
                new_args, new_kwargs = after
                _copy_back(args, tuple(new_args))
                _copy_back(tuple(kwargs.values()), tuple(new_kwargs[name] for name in kwargs))
            except (TypeError, ValueError, KeyError, IndexError) as error:
                _fail("frame", str(error))
        return result


def _copy_back(old, new):
    """Makes the containers in `old` equal to those in `new`, in place."""
    kind = type(old)
    if kind is not type(new):
        return
    if kind is tuple:
        for one, other in zip(old, new):
            _copy_back(one, other)
    elif kind is list:
        kept = []
        for i, value in enumerate(new):
            if i < len(old) and type(old[i]) is type(value) and plain.has_mutable(value):
                _copy_back(old[i], value)
                value = old[i]
            kept.append(value)
        old[:] = kept
    elif kind is dict:
        kept = {}
        for key, value in new.items():
            if key in old and type(old[key]) is type(value) and plain.has_mutable(value):
                _copy_back(old[key], value)
                value = old[key]
            kept[key] = value
        old.clear()
        old.update(kept)
    elif kind in (set, bytearray) or kind.__name__ == "deque":
        new = list(new)
        old.clear()
        (old.update if kind is set else old.extend)(new)


def _number(remote):
    return object.__getattribute__(remote, "_number")


def _link(remote):
    return object.__getattribute__(remote, "_link")


def _operate(remote, operation, *args):
    return _link(remote).request(b"m", (operation, remote, args))


class _Object:
    """An object of the program: no value of its own, equal only to itself, always true."""

    def __init__(self, link, number, kind):
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_number", number)
        object.__setattr__(self, "_kind", kind)

    def __call__(self, *args, **kwargs):
        return _link(self).call(self, args, kwargs)

    def __getattr__(self, name):
        if name.startswith("__"):  # protocols of this interpreter, such as copying
            raise AttributeError(name)
        return _operate(self, "getattr", name)

    def __setattr__(self, name, value):
        _operate(self, "setattr", name, value)

    def __len__(self):
        size = _operate(self, "len")
        if type(size) is not int or size < 0:
            _fail("frame", "length")
        return size

    def __bool__(self):
        return True

    def __getitem__(self, key):
        return _operate(self, "getitem", key)

    def __setitem__(self, key, value):
        _operate(self, "setitem", key, value)

    def __contains__(self, value):
        # Answered by iterating, so that the comparison happens here.
        return any(value is item or value == item for item in self)

    def __iter__(self):
        iterator = _operate(self, "iter")
        if type(iterator) is not _Iterator:
            raise TypeError("'%s' object is not iterable" % object.__getattribute__(self, "_kind"))
        return iterator

    def __str__(self):
        text = _operate(self, "str")
        return text if type(text) is str else ""

    def __repr__(self):
        text = _operate(self, "repr")
        return text if type(text) is str else ""

    def __instancecheck__(self, value):
        return isinstance(value, (_Object, _Iterator)) and \
            _operate(self, "isinstance", value) is True


class _Iterator:
    """An iterator of the program."""

    def __init__(self, link, number, kind):
        self._link, self._number = link, number

    def __iter__(self):
        return self

    def __next__(self):
        try:
            more, value = self._link.request(b"n", self)
        except (TypeError, ValueError) as error:
            if self._link.raised and error is self._link.raised[0]:
                raise
            _fail("frame", str(error))
        if more is not True:
            raise StopIteration
        return value


def _function(link, name):
    def function(*args, **kwargs):
        return link.call(function, args, kwargs)
    function.__name__ = function.__qualname__ = name
    function._assay_name = name
    return function


def _lent(link, builtin):
    """A builtin of this side that the program gave as its own."""
    def function(*args, **kwargs):
        link.used = True
        return builtin(*args, **kwargs)
    return function


# Which names of the tests are the program's.

def _scopes(table):
    yield table
    for child in table.get_children():
        yield from _scopes(child)


def _free_names(source):
    """The names that the tests use and nowhere bind, in whatever scope."""
    used, bound = set(), set()
    for table in _scopes(symtable.symtable(source, _SOURCE, "exec")):
        for symbol in table.get_symbols():
            if symbol.is_referenced():
                used.add(symbol.get_name())
            if (symbol.is_assigned() or symbol.is_parameter() or symbol.is_imported()
                    or symbol.is_namespace()):
                bound.add(symbol.get_name())
    return used - bound


def _reference_names(source):
    """The functions, classes and variables that a reference solution defines at its top level."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return set()
    names = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            names.update(target.id for target in ast.walk(node) if isinstance(target, ast.Name)
                         and not isinstance(target.ctx, ast.Load))
    return names


def _module(name, tests):
    """The module that the tests mean by `name.something`, from this side's library."""
    name = {"np": "numpy"}.get(name, name)
    known = getattr(sys, "stdlib_module_names", None)
    if known is not None and name not in known and name != "numpy":
        return None
    if any(isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
           for node in ast.walk(ast.parse(tests))):
        return None  # a function of the program that happens to be called so
    try:
        return __import__(name)
    except Exception:
        return None


def _library(name, tests):
    """What a name that nobody bound means in this side's library, if anything."""
    value = _module(name, tests)
    if value is None and name in _COMPARING:
        value = getattr(__import__(_COMPARING[name]), name)
    return value


def _bind(link, names, tests, wanted):
    for name in sorted(_free_names(tests) | wanted):
        if name not in wanted:
            if name in names or hasattr(builtins, name):
                continue
            value = _library(name, tests)
            if value is not None:  # known to the tests only if the program has the name
                link.send(b"d", name)
                if link.answer()[0] is True:
                    names[name] = value
                continue
        link.send(b"l", name)
        found, value = _pair(link.answer()[0])
        if found is not True:
            continue
        if callable(value) and not isinstance(value, (_Object, type)):
            value = _lent(link, value)
        elif not isinstance(value, _Object):
            link.used = True
        elif object.__getattribute__(value, "_kind") == "function":
            value = _function(link, name)
        names[name] = value


def _pair(value):
    if type(value) is not tuple or len(value) != 2:
        _fail("frame", "pair")
    return value


def _detail(error, source):
    """The line of the tests that failed, and the exception."""
    line, at = "", error.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename == _SOURCE:
            lines = source.splitlines()
            if 0 < at.tb_lineno <= len(lines):
                line = lines[at.tb_lineno - 1].strip()
        at = at.tb_next
    try:
        text = str(error)
    except Exception:
        text = ""
    text = type(error).__name__ + (": " + text if text else "")
    return (line[:1000] + "\n" if line else "") + text


def _context(source):
    """The names that preamble and prompt define; an unfinished last function gets a body."""
    names = {"__name__": "tests", "__builtins__": builtins}
    for ending in ("", "\n    pass\n", "\n        pass\n"):
        try:
            code = compile(source + ending, "<context>", "exec", dont_inherit=True)
            break
        except SyntaxError:
            code = None
    if code is not None:
        try:
            exec(code, names)
        except Exception:
            pass  # what it would have defined is missing, and the tests will say so
    return names


def _loaded(link):
    """Waits until the candidate has run the program's text."""
    link.answer()


def _run_call(link, fields):
    context, tests, entry_point, solution_names, reference = (
        field.decode("utf-8", "surrogatepass") for field in fields)
    try:
        code = compile(tests, _SOURCE, "exec", dont_inherit=True)
    except SyntaxError as error:
        _Verdict.end("unsupported", "tests", "the tests do not compile: %s" % error)
    names = _context(context)
    wanted = set(solution_names.split())
    wanted |= {name for name in _reference_names(reference) if name not in names}
    if entry_point:
        wanted.add(entry_point)
    _guarded(link, "", lambda: _loaded(link))
    if entry_point:
        names.pop(entry_point, None)
    _guarded(link, "", lambda: _bind(link, names, tests, wanted))
    if entry_point and entry_point not in names:
        _fail("no_entry_point", "the program does not define " + entry_point)

    def body():
        exec(code, names)
        if entry_point:
            if "check" not in names:
                _Verdict.end("unsupported", "tests", "the tests do not define check(candidate)")
            names["check"](names[entry_point])
    _guarded(link, tests, body)
    if not link.used:  # would pass every program
        _Verdict.end("unsupported", "tests", "the tests end without using the program")


def _run_function(link, fields):
    arguments, expected, function = (field.decode("utf-8", "surrogatepass") for field in fields)
    try:
        args = tuple(json.loads(line) for line in arguments.split("\n") if line.strip())
        wanted = json.loads(expected)
    except ValueError as error:
        _Verdict.end("unsupported", "tests", "not JSON: %s" % error)

    def body():
        _loaded(link)
        result = link.call(_function(link, function), args, {})
        if type(result) is tuple:
            result = list(result)
        if not result == wanted:
            raise AssertionError("got %.500r, expected %.500r" % (result, wanted))
    _guarded(link, "", body)


def _run_expression(link, fields):
    expected, answer = (field.decode("utf-8", "surrogatepass") for field in fields)
    try:
        wanted = eval(compile(expected.strip(), "<expected>", "eval"), {})
    except Exception as error:
        _Verdict.end("unsupported", "tests", "expected value: %s" % error)

    def body():
        _loaded(link)
        result = link.request(b"q", answer)
        if not wanted == result:
            raise AssertionError("got %.500r, expected %.500r" % (result, wanted))
    _guarded(link, "", body)


def _guarded(link, source, body):
    try:
        body()
    except BaseException as error:
        if link.raised and error is link.raised[0]:
            kind = link.raised[1]
            if kind in ("SyntaxError", "IndentationError", "TabError"):
                kind = "syntax"
            _fail(kind, _detail(error, source))
        if isinstance(error, MemoryError):  # nothing may be left to describe it with
            _fail("MemoryError")
        if isinstance(error, AssertionError):
            _fail("wrong_answer", _detail(error, source))
        _fail(type(error).__name__, _detail(error, source))


_RUNNERS = {b"call": _run_call, b"function": _run_function, b"expression": _run_expression}


_SAMPLE = b"""
def check(candidate):
    assert candidate([3, 1]) == [("a", [2, 4])] and len(candidate([])) == 1
"""


def prepare():
    """What a child will do, before there are children."""
    def answer(*values):
        return server.pack_frame(b"r", plain.encode(values, lambda value: (b"h", 0, b"function")))
    answers = [answer(None, None), answer((True, prepare), None), answer([("a", [2, 4])], None),
               answer([0], (([],), {}))]
    fields = [b"import math\ndef f(values):\n", _SAMPLE, b"f", b"", b"def f(v): pass\n"]
    server.rehearse(answers, lambda: _run_call(_Link(1 << 20), fields))


def run(fields):
    _Verdict.nonce, kind, frame_limit = fields[:3]
    random.seed(0)
    link = _Link(int(frame_limit))
    _RUNNERS[kind](link, fields[3:])
    _Verdict.end("passed")
