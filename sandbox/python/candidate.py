"""The side that runs untrusted programs. It is given programs and inputs, never tests.

Everything here may be tampered with by the program; nothing here decides anything. What leaves is
standard output, and on the link plain data that the checker compares.
"""
import ast
import atexit
import builtins
import io
import os
import random
import sys
import threading
import types

import assay_plain as plain
import assay_server as server

_FRAME_LIMIT = 1 << 30  # what the checker sends is trusted; what we send is capped by its reader


class _CheckerFunction:
    """A function of the tests that was passed as an argument."""

    def __init__(self, channel, number):
        self._channel, self._number = channel, number

    def __call__(self, *args, **kwargs):
        return self._channel.call_back(self._number, args, kwargs)


class _CheckerIterator:
    """An iterator of the tests that was passed as an argument; asked for every item when it is needed,
    so that the tests' own iterator stands where the program left it."""

    def __init__(self, channel, number):
        self._channel, self._number = channel, number

    def _advance(self, *operation):
        return self._channel.call_back(self._number, operation, {})

    def __iter__(self):
        return self

    def __next__(self):
        more, value = self._advance("next")
        if not more:
            raise StopIteration(value)
        return value


def _checker_generator(iterator):
    """The same of a generator, as a generator."""
    operation = ("next",)
    try:
        while True:
            more, value = iterator._advance(*operation)
            if not more:
                return value
            sent = yield value
            operation = ("next",) if sent is None else ("send", sent)
    except GeneratorExit:
        iterator._advance("close")
        raise


class _Channel:
    """Serves the checker's requests about the program's names and objects."""

    def __init__(self, names, frame_limit):
        self.names = names
        self.frame_limit = frame_limit
        self.objects = []
        self.numbers = {}  # id -> number; the objects list keeps every object alive
        self.iterators = {}  # of the tests, by number; kept, because they would end with their last name

    # References in plain data.

    def refer(self, value):
        if type(value) is _CheckerFunction:
            return b"c", value._number, b""
        for number, iterator in self.iterators.items():
            if iterator is value:
                return b"c", number, b""
        number = self.numbers.get(id(value))
        if number is None:
            number = len(self.objects)
            self.objects.append(value)
            self.numbers[id(value)] = number
        kind = type(value)
        tag = b"i" if hasattr(kind, "__next__") else b"h"
        return tag, number, kind.__name__.encode("utf-8", "surrogatepass")[:200]

    def resolve(self, tag, number, text):
        if tag == b"c":
            return self.checker_iterator(number, text) if text else _CheckerFunction(self, number)
        if tag == b"g":
            return self.names[text]
        if tag == b"B":
            return None
        return self.objects[number]

    def checker_iterator(self, number, kind):
        if number not in self.iterators:
            iterator = _CheckerIterator(self, number)
            self.iterators[number] = _checker_generator(iterator) if kind == "generator" else iterator
        return self.iterators[number]

    def send(self, tag, *values):
        data = plain.encode(values, self.refer)
        if len(data) > self.frame_limit:
            raise ValueError("a result of %d bytes is over the limit of %d"
                             % (len(data), self.frame_limit))
        server.send_frame(server.LINK, tag, data)

    def send_error(self, error):
        kind = type(error).__name__
        bases = [base.__name__ for base in type(error).__mro__]
        try:
            text = str(error)
        except BaseException:
            text = "<no text>"
        server.send_frame(server.LINK, b"x", plain.encode(
            (str(kind), bases, str(text)[:2000]), self.refer))

    def receive(self):
        frame = server.read_frame(server.LINK, _FRAME_LIMIT)
        if frame is None:
            os._exit(0)  # the checker has finished
        return frame

    def call_back(self, number, args, kwargs):
        self.send(b"k", number, args, kwargs)
        while True:
            tag, data = self.receive()
            if tag == b"v":
                return plain.decode(data, self.resolve)
            if tag == b"w":
                kind, text = plain.decode(data, self.resolve)
                raise plain.BUILTINS.get(kind, RuntimeError)(text)
            self.answer(tag, data)  # the function called the program again

    # Requests.

    def answer(self, tag, data):
        try:
            getattr(self, "on_" + tag.decode())(plain.decode(data, self.resolve), data)
        except BaseException as error:
            self.send_error(error)

    def on_c(self, request, data):  # call
        function, args, kwargs = request
        mutable = plain.has_mutable(args) or any(map(plain.has_mutable, kwargs.values()))
        before = plain.encode((args, kwargs), self.refer) if mutable else None
        result = function(*args, **kwargs)
        after = None
        if mutable and plain.encode((args, kwargs), self.refer) != before:
            after = (args, kwargs)
        self.send(b"r", result, after)

    def on_m(self, request, data):  # one of a few operations on an object
        operation, target, args = request
        self.send(b"r", _OPERATIONS[operation](target, *args), None)

    def on_n(self, request, data):  # next
        try:
            self.send(b"r", (True, next(request)), None)
        except StopIteration:
            self.send(b"r", (False, None), None)

    def on_l(self, request, data):  # look up a global name
        found = request in self.names
        if found and isinstance(self.names[request], types.ModuleType):
            found = False  # the checker has modules of its own
        self.send(b"r", (found, self.names[request] if found else None), None)

    def on_d(self, request, data):  # whether a global name is defined
        self.send(b"r", request in self.names, None)

    def on_q(self, request, data):  # evaluate an answer
        self.send(b"r", _evaluate(request, self.names), None)


_OPERATIONS = {
    "getattr": lambda target, name: getattr(target, name),
    "setattr": lambda target, name, value: setattr(target, name, value),
    "len": lambda target: len(target),
    "getitem": lambda target, key: target[key],
    "setitem": lambda target, key, value: target.__setitem__(key, value),
    "contains": lambda target, value: value in target,
    "iter": lambda target: iter(target),
    "str": lambda target: str(target),
    "repr": lambda target: repr(target),
    "isinstance": lambda target, value: isinstance(value, target),
}


def _evaluate(answer, names):
    """The value of what follows `assert expected == `; statements after it run too."""
    try:
        module = ast.parse("assert None == " + answer)
        test = module.body[0].test
        simple = (isinstance(module.body[0], ast.Assert) and isinstance(test, ast.Compare)
                  and len(test.ops) == 1 and isinstance(test.left, ast.Constant))
    except SyntaxError:
        simple = False
    if not simple:
        return eval(compile(answer.strip(), "<answer>", "eval"), names)
    value = eval(compile(ast.Expression(test.comparators[0]), "<answer>", "eval"), names)
    exec(compile(ast.Module(module.body[1:], []), "<answer>", "exec"), names)
    return value


def _streams():
    """Standard streams as a fresh interpreter under LANG=C.UTF-8 makes them.

    Made once for all children, while pipes like theirs stand in for the descriptors.
    """
    stand_in = os.pipe()
    kept = [os.dup(fd) for fd in (0, 1, 2)]
    for fd in (0, 1, 2):
        os.dup2(stand_in[fd > 0], fd)
    sys.stdin = sys.__stdin__ = io.open(0, "r", encoding="utf-8", errors="surrogateescape",
                                        newline="\n", closefd=False)
    sys.stdout = sys.__stdout__ = io.open(1, "w", encoding="utf-8", errors="surrogateescape",
                                          newline="\n", closefd=False)
    sys.stderr = sys.__stderr__ = io.open(2, "w", encoding="utf-8", errors="backslashreplace",
                                          newline="\n", closefd=False, buffering=1)
    for fd in (0, 1, 2):
        os.dup2(kept[fd], fd)
    for fd in (*stand_in, *kept):
        os.close(fd)


def _report(error):
    kind = type(error).__name__.encode("utf-8", "surrogatepass")[:100]
    try:
        text = str(error)
    except BaseException:
        text = ""
    server.send_frame(server.WIRE, b"E", server.pack_fields(
        kind, text[:2000].encode("utf-8", "surrogatepass")))


def _namespace(name):
    module = types.ModuleType(name)
    module.__builtins__ = builtins
    sys.modules[name] = module
    return vars(module)


def _run_script(source):
    """Runs a whole program as `python3 file` would, and ends the process."""
    names = _namespace("__main__")
    status = 0
    try:
        exec(compile(source, "<program>", "exec", dont_inherit=True), names)
    except SystemExit as end:
        code = end.code
        if code is None:
            status = 0
        elif isinstance(code, int):
            status = code & 0xFF
        else:
            print(code, file=sys.stderr)
            status = 1
    except BaseException as error:
        status = 1
        _report(error)
        sys.excepthook(type(error), error, error.__traceback__)
    try:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        status = status or 120
    os._exit(status)


def _serve(source, frame_limit, function):
    names = _namespace("solution")
    channel = _Channel(names, frame_limit)
    try:
        exec(compile(source, "<program>", "exec", dont_inherit=True), names)
        if function:  # LiveCodeBench call form
            holder = names["Solution"]() if "Solution" in names else None
            names[function] = getattr(holder, function) if holder is not None else names[function]
    except BaseException as error:
        _report(error)
        channel.send_error(error)
    else:
        channel.send(b"r", None, None)
    while True:
        channel.answer(*channel.receive())


_SAMPLE = b"""
import math
class Holder:
    def __init__(self, value=1): self.value = value
def f(values, text="a"):
    found = {text: [value + 1 for value in values], "b": (1.5, None, True)}
    return sorted(found.items(), key=lambda item: str(item[1]))
"""


def prepare():
    """What a child will do, before there are children."""
    _streams()
    names = _namespace("solution")
    channel = _Channel(names, _FRAME_LIMIT)
    exec(compile(_SAMPLE, "<program>", "exec", dont_inherit=True), names)

    def call(*args):
        return server.pack_frame(b"c", plain.encode((names["f"], args, {}), channel.refer))
    requests = [server.pack_frame(b"l", plain.encode("f", channel.refer)), call([3, 1, 2]), call(1)]

    def play():
        for _ in requests:
            channel.answer(*channel.receive())
    server.rehearse(requests, play)
    del sys.modules["solution"]


def run(fields):
    kind, source, frame_limit, function = fields
    random.seed(0)  # a verdict must not depend on the run
    if kind == b"stdio":
        _run_script(source)
    else:
        _serve(source, int(frame_limit), function.decode())
