"""Inert: a pickle read as a document, so that nothing of it is ever called.

    document(b"…")        {"X": [Call("numpy.core.multiarray._reconstruct", …), …], "y": …}
    array(call)           the numpy array that such a call would have made

Some packages keep their data as pickles.  Unpickling runs what the file names; here a stack machine for the opcodes
that data needs makes a tree of what *would* be called, with its arguments, and `array` takes the bytes out of the calls
that make numpy's arrays of numbers, and of texts.  Any other opcode, name or dtype is an error.

Source: the opcodes are those of the standard library's `pickletools`, which parses and never executes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tierfed.errors import DataError

_DTYPES = ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
_OBJECTS = ("O", "O8")


@dataclass(slots=True)
class Call:
    """What unpickling would call: `name` with `arguments`, then set its `state`; nothing was called."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = field(default=None)


class _Mark:
    """Where a group of values on the stack begins."""


_MARK = _Mark()


def document(data: bytes) -> Any:
    """Return what a pickle holds; raises DataError for one that is broken, or is more than data."""
    import pickletools

    machine = _Machine()
    try:
        for opcode, argument, position in pickletools.genops(data):
            known = _STEPS.get(opcode.name)
            if known is None:
                raise DataError(f"the opcode {opcode.name} is none of data's", where=f"pickle, byte {position}")
            known(machine, argument)
        return machine.result
    except DataError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"it cannot be read: {type(error).__name__}: {error}", where="pickle") from error


def array(call: Any) -> np.ndarray[Any, Any]:
    """Return the array that `call` would have made; one of objects holds texts alone.

    Raises DataError for any other call.
    """
    order: Literal["C", "F"]
    try:
        match call:
            case Call(
                "numpy.core.multiarray._reconstruct" | "numpy._core.multiarray._reconstruct",
                _,
                (_, shape, dtype, fortran, data),
            ):
                order = "F" if fortran else "C"
            case Call(
                "numpy.core.numeric._frombuffer" | "numpy._core.numeric._frombuffer", (data, dtype, shape, written), _
            ):
                order = "F" if written == "F" else "C"
            case _:
                raise DataError(f"{getattr(call, 'name', type(call).__name__)} makes no array", where="pickle")
        if dtype.name != "numpy.dtype":
            raise DataError(f"{dtype.name} is no dtype", where="pickle")
        kind = dtype.arguments[0]
        if kind in _OBJECTS:
            if not isinstance(data, list) or not all(isinstance(one, str) for one in data):
                raise DataError("an array of objects that are not all texts", where="pickle")
            return np.array(data, dtype=np.str_).reshape(shape, order=order)
        if kind not in _DTYPES:
            raise DataError(f"arrays of {kind!r} are not read", where="pickle")
        numbers = np.dtype(kind).newbyteorder(dtype.state[1] if dtype.state else "=")
        return np.frombuffer(_raw(data), numbers).reshape(shape, order=order)
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise DataError(f"it is no array: {type(error).__name__}: {error}", where="pickle") from error


def _raw(data: Any) -> bytes:
    """Return bytes, also those that an old protocol has as text."""
    match data:
        case bytes() | bytearray():
            return bytes(data)
        case Call("_codecs.encode", (str() as text, "latin1"), _):
            return text.encode("latin1")
        case Call("__builtin__.bytes", (), _):  # none, in protocol 2
            return b""
    raise DataError(f"{type(data).__name__} is no memory of an array", where="pickle")


class _Machine:
    """The stack, and what was put aside."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.result: Any = None

    def push(self, value: Any) -> None:
        """Put a value on top."""
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        """Return what stands above the last mark, and take both away."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found

    def last(self, count: int) -> tuple[Any, ...]:
        """Return the topmost values, and take them away."""
        if len(self.stack) < count:
            raise IndexError("too few values")
        found = tuple(self.stack[-count:])
        del self.stack[-count:]
        return found

    def name(self) -> None:
        """Two texts become a name."""
        self.push(".".join(self.last(2)))

    def call(self) -> None:
        """A name and its arguments become what would be called."""
        name, arguments = self.last(2)
        if not isinstance(name, str) or not isinstance(arguments, tuple):
            raise TypeError("a call of what is no name")
        self.push(Call(name, arguments))

    def build(self) -> None:
        """What would be called gets its state."""
        made, state = self.last(2)
        made.state = state
        self.push(made)

    def items(self, pairs: list[Any]) -> None:
        """The mapping on top gets items."""
        self.stack[-1].update(dict(zip(pairs[::2], pairs[1::2], strict=True)))

    def stop(self) -> None:
        """The end: one value is left."""
        (self.result,) = self.stack


def _constant(value: Any) -> Callable[[_Machine, Any], None]:
    return lambda m, a: m.push(value)


def _tuple(count: int) -> Callable[[_Machine, Any], None]:
    return lambda m, a: m.push(m.last(count))


def _put(m: _Machine, a: Any) -> None:
    m.memo[len(m.memo) if a is None else a] = m.stack[-1]


_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT")
_TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
_STEPS: Mapping[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda m, a: None),
    **dict.fromkeys([*_NUMBERS, *_TEXTS], lambda m, a: m.push(a)),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, a: m.push(m.memo[a])),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), lambda m, a: m.call()),
    "BYTEARRAY8": lambda m, a: m.push(bytes(a)),
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "MARK": _constant(_MARK),
    "EMPTY_TUPLE": _constant(()),
    "EMPTY_LIST": lambda m, a: m.push([]),
    "EMPTY_DICT": lambda m, a: m.push({}),
    "TUPLE": lambda m, a: m.push(tuple(m.since_mark())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "LIST": lambda m, a: m.push(m.since_mark()),
    "GLOBAL": lambda m, a: m.push(a.replace(" ", ".")),
    "STACK_GLOBAL": lambda m, a: m.name(),
    "BUILD": lambda m, a: m.build(),
    "APPEND": lambda m, a: (lambda one: m.stack[-1].append(one))(m.stack.pop()),
    "APPENDS": lambda m, a: (lambda more: m.stack[-1].extend(more))(m.since_mark()),
    "SETITEM": lambda m, a: m.items(list(m.last(2))),
    "SETITEMS": lambda m, a: m.items(m.since_mark()),
    "STOP": lambda m, a: m.stop(),
}
