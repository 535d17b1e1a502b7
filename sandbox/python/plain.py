"""Plain data between candidate and checker: tagged bytes, no pickle, no eval.

Only values of these exact types are made on the receiving side, whatever was sent: None, bool, int,
float, complex, str, bytes, bytearray, list, tuple, dict and its views, set, frozenset, deque, range, slice,
Fraction, Decimal, date, time, datetime, timedelta, builtins by name, and references. A subclass is
sent as its base type, a numpy scalar as the Python number. References ('h' an object of the
candidate, 'i' one of its iterators, 'g' one of its global names, 'c' a function or iterator of the checker) are
made and resolved by the hooks that the two sides pass in.
"""
import builtins
import collections
import datetime
import decimal
import fractions
import struct

MAX_DEPTH = 200
_u32 = struct.Struct("<I")
_i64 = struct.Struct("<q")
_f64 = struct.Struct("<d")
_pack_u32 = _u32.pack
_KEYS, _VALUES, _ITEMS = type({}.keys()), type({}.values()), type({}.items())
_list_slice, _tuple_slice = list.__getitem__, tuple.__getitem__
_ALL = slice(None)

BUILTINS = {
    name: value
    for name, value in vars(builtins).items()
    if callable(value) and not name.startswith("_") and name not in (
        "exit", "quit", "license", "credits", "copyright", "help", "open", "exec", "eval",
        "compile", "input", "breakpoint", "globals", "locals", "vars")
}
_BUILTIN_NAMES = {id(value): name for name, value in BUILTINS.items()}


class BadFrame(Exception):
    """The bytes are not what encode() makes."""


def _text(out, tag, data):
    out += tag
    out += _pack_u32(len(data))
    out += data


def _int(value, out, depth, refer):
    if -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
        out += b"j"
        out += _i64.pack(value)
    else:  # hexadecimal: linear, and not subject to the limit on decimal digits
        _text(out, b"I", b"%x" % value)


def _float(value, out, depth, refer):
    out += b"f"
    out += _f64.pack(value)


def _complex(value, out, depth, refer):
    out += b"z"
    out += _f64.pack(value.real)
    out += _f64.pack(value.imag)


def _str(value, out, depth, refer):
    _text(out, b"s", value.encode("utf-8", "surrogatepass"))


def _sequence(tag):
    def put(value, out, depth, refer):
        if depth >= MAX_DEPTH:
            raise ValueError("data is nested deeper than %d" % MAX_DEPTH)
        out += tag
        out += _pack_u32(len(value))
        depth += 1
        for item in value:
            encode_into(item, out, depth, refer)
    return put


def _dict(value, out, depth, refer):
    if depth >= MAX_DEPTH:
        raise ValueError("data is nested deeper than %d" % MAX_DEPTH)
    out += b"d"
    out += _pack_u32(len(value))
    depth += 1
    for key, item in value.items():
        encode_into(key, out, depth, refer)
        encode_into(item, out, depth, refer)


def _parts(tag, parts):
    def put(value, out, depth, refer):
        out += tag
        for part in parts(value):
            encode_into(part, out, depth, refer)
    return put


_ENCODERS = {
    type(None): lambda value, out, depth, refer: out.extend(b"N"),
    bool: lambda value, out, depth, refer: out.extend(b"T" if value else b"F"),
    type(...): lambda value, out, depth, refer: out.extend(b"e"),
    type(NotImplemented): lambda value, out, depth, refer: out.extend(b"n"),
    int: _int,
    float: _float,
    complex: _complex,
    str: _str,
    bytes: lambda value, out, depth, refer: _text(out, b"b", value),
    bytearray: lambda value, out, depth, refer: _text(out, b"y", value),
    list: _sequence(b"l"),
    tuple: _sequence(b"t"),
    set: _sequence(b"S"),
    frozenset: _sequence(b"Z"),
    collections.deque: _sequence(b"Q"),
    dict: _dict,
    _KEYS: _sequence(b"K"),
    _VALUES: _sequence(b"V"),
    _ITEMS: _sequence(b"E"),
    range: _parts(b"r", lambda v: (v.start, v.stop, v.step)),
    slice: _parts(b"x", lambda v: (v.start, v.stop, v.step)),
    fractions.Fraction: _parts(b"q", lambda v: (v.numerator, v.denominator)),
    decimal.Decimal: lambda value, out, depth, refer: _text(out, b"D", str(value).encode()),
    datetime.datetime: lambda value, out, depth, refer: _text(out, b"W", value.isoformat().encode()),
    datetime.date: lambda value, out, depth, refer: _text(out, b"w", value.isoformat().encode()),
    datetime.time: lambda value, out, depth, refer: _text(out, b"v", value.isoformat().encode()),
    datetime.timedelta: _parts(b"u", lambda v: (v.days, v.seconds, v.microseconds)),
}

# How to get the plain value out of a subclass without running any method that it overrides.
_BASES = (
    (int, int.__pos__),
    (float, float.__pos__),
    (complex, complex.__pos__),
    (str, str.__str__),
    (bytes, lambda v: bytes.__getitem__(v, _ALL)),
    (bytearray, lambda v: bytearray.__getitem__(v, _ALL)),
    (list, lambda v: _list_slice(v, _ALL)),
    (tuple, lambda v: _tuple_slice(v, _ALL)),
    (dict, lambda v: dict(dict.items(v))),
    (set, lambda v: set(set.__iter__(v))),
    (frozenset, lambda v: frozenset(frozenset.__iter__(v))),
    (collections.deque, lambda v: collections.deque(collections.deque.__iter__(v))),
    # Of an OrderedDict; programs cannot derive from these.
    (_KEYS, lambda v: dict.fromkeys(v).keys()),
    (_VALUES, lambda v: dict(enumerate(v)).values()),
    (_ITEMS, lambda v: dict(v).items()),
)


def encode_into(value, out, depth, refer):
    kind = type(value)
    encoder = _ENCODERS.get(kind)
    if encoder is not None:
        return encoder(value, out, depth, refer)
    name = _BUILTIN_NAMES.get(id(value))
    if name is not None:
        return _text(out, b"B", name.encode())
    for base, plain in _BASES:
        if base in kind.__mro__:
            return _ENCODERS[base](plain(value), out, depth, refer)
    if kind.__module__ == "numpy" and hasattr(kind, "item") and hasattr(kind, "dtype") \
            and getattr(value, "ndim", None) == 0:
        return encode_into(value.item(), out, depth, refer)
    tag, number, text = refer(value)
    out += tag
    out += _pack_u32(number)
    _text(out, b"", text)


def encode(value, refer):
    out = bytearray()
    encode_into(value, out, 0, refer)
    return bytes(out)


def has_mutable(value):
    """Whether a callee could change this value for its caller."""
    kind = type(value)
    if kind in (list, dict, set, bytearray, collections.deque):
        return True
    return kind is tuple and any(has_mutable(item) for item in value)


class Decoder:
    """Reads values from bytes that may have been made to do harm; any misfit is BadFrame."""

    def __init__(self, data, resolve):
        self.data = data
        self.at = 0
        self.resolve = resolve

    def take(self, count):
        start = self.at
        self.at = end = start + count
        if end > len(self.data):
            raise BadFrame("truncated")
        return self.data[start:end]

    def u32(self):
        return _u32.unpack(self.take(4))[0]

    def text(self):
        return self.take(self.u32())

    def items(self, depth):
        count = self.u32()
        if count > len(self.data) - self.at:
            raise BadFrame("count")
        return [self.value(depth) for _ in range(count)]

    def whole(self, depth, count):
        parts = [self.value(depth) for _ in range(count)]
        for part in parts:
            if type(part) is not int and part is not None:
                raise BadFrame("number expected")
        return parts

    def value(self, depth=0):
        if depth > MAX_DEPTH:
            raise BadFrame("nesting")
        tag = self.take(1)
        depth += 1
        if tag == b"j":
            return _i64.unpack(self.take(8))[0]
        if tag == b"s":
            return self.text().decode("utf-8", "surrogatepass")
        if tag == b"f":
            return _f64.unpack(self.take(8))[0]
        if tag == b"l":
            return self.items(depth)
        if tag == b"t":
            return tuple(self.items(depth))
        if tag == b"N":
            return None
        if tag == b"T":
            return True
        if tag == b"F":
            return False
        if tag == b"d":
            count = self.u32()
            if count > len(self.data) - self.at:
                raise BadFrame("count")
            result = {}
            for _ in range(count):
                key = self.value(depth)
                result[key] = self.value(depth)
            return result
        if tag == b"I":
            return int(self.text(), 16)
        if tag == b"z":
            return complex(_f64.unpack(self.take(8))[0], _f64.unpack(self.take(8))[0])
        if tag == b"b":
            return bytes(self.text())
        if tag == b"y":
            return bytearray(self.text())
        if tag == b"S":
            return set(self.items(depth))
        if tag == b"Z":
            return frozenset(self.items(depth))
        if tag == b"Q":
            return collections.deque(self.items(depth))
        if tag == b"K":
            return dict.fromkeys(self.items(depth)).keys()
        if tag == b"V":
            return dict(enumerate(self.items(depth))).values()
        if tag == b"E":
            return dict(self.items(depth)).items()
        if tag == b"r":
            return range(*self.whole(depth, 3))
        if tag == b"x":
            return slice(*self.whole(depth, 3))
        if tag == b"q":
            return fractions.Fraction(*self.whole(depth, 2))
        if tag == b"D":
            return decimal.Decimal(self.text().decode("ascii"))
        if tag == b"W":
            return datetime.datetime.fromisoformat(self.text().decode("ascii"))
        if tag == b"w":
            return datetime.date.fromisoformat(self.text().decode("ascii"))
        if tag == b"v":
            return datetime.time.fromisoformat(self.text().decode("ascii"))
        if tag == b"u":
            return datetime.timedelta(*self.whole(depth, 3))
        if tag == b"B":
            value = BUILTINS[self.text().decode("ascii")]
            self.resolve(tag, 0, "")
            return value
        if tag == b"e":
            return ...
        if tag == b"n":
            return NotImplemented
        if tag in (b"h", b"i", b"g", b"c"):
            number = self.u32()
            return self.resolve(tag, number, self.text().decode("utf-8", "surrogatepass"))
        raise BadFrame("tag %r" % (bytes(tag),))


def decode(data, resolve):
    """The one value that `data` holds."""
    try:
        decoder = Decoder(data, resolve)
        value = decoder.value()
        if decoder.at != len(data):
            raise BadFrame("trailing bytes")
        return value
    except BadFrame:
        raise
    except Exception as error:
        raise BadFrame("%s: %s" % (type(error).__name__, error)) from None
