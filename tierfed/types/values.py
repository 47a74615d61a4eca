"""Values: how a value of each type is held, checked on the way in, and given back.

Inside, a value has one form a type, whatever container the user wrote:

| type | held as |
|---|---|
| tensor of shape () | numpy scalar; `str` for str |
| tensor | C-contiguous native-endian ndarray; of object dtype for str |
| struct | tuple of its elements' values |
| sequence | `Rows`: an immutable list of elements' values |
| function | a callable on such values |

`check` takes what users give: only Python scalars and lists take the declared dtype,
a numpy value of another dtype is refused, never cast.  `present` gives containers back.
"""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tierfed.errors import ValueMismatch
from tierfed.types.dtypes import name_of
from tierfed.types.notation import quoted
from tierfed.types.types import (
    FederatedType,
    FunctionType,
    PlacementType,
    SequenceType,
    StructType,
    TensorType,
    Type,
)


class Rows(tuple[Any, ...]):
    """The held value of a sequence: its elements' values, in order."""

    __slots__ = ()


class Struct:
    """A struct with some elements named and some not, as users see it: `s[0]`, `s.name`, `s["name"]`."""

    __slots__ = ("_names", "_values")

    def __init__(self, names: tuple[str | None, ...], values: tuple[Any, ...]) -> None:
        self._names = names
        self._values = values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no element called {name}; there are {self._names}") from None

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, str):
            if key not in self._names:
                raise KeyError(key)
            return self._values[self._names.index(key)]
        return self._values[key]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Struct) and self._names == other._names and self._values == other._values

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    def __repr__(self) -> str:
        rows = (repr(v) if n is None else f"{n}={v!r}" for n, v in zip(self._names, self._values, strict=True))
        return f"<{', '.join(rows)}>"


def check(value: Any, t: Type, where: str = "value") -> Any:
    """Return `value`, as a user gave it, in the form that a value of `t` is held in.

    Raises ValueMismatch, naming the path to the part that does not fit, with both types.
    """
    match t:
        case TensorType():
            return _check_tensor(value, t, where)
        case StructType():
            return _check_struct(value, t, where)
        case SequenceType():
            return _check_sequence(value, t, where)
        case FunctionType():
            if not callable(value):
                raise ValueMismatch(f"expected {t}, got {_described(value)}", where=where, mend="pass a computation")
            return value
    raise ValueMismatch(f"no value has the type {t} here", where=where)


def _check_tensor(value: Any, t: TensorType, where: str) -> Any:
    if t.name == "str":
        return _check_str(value, t, where)
    if isinstance(value, np.ndarray | np.generic):
        found = name_of(value.dtype)
        if found != t.name:
            raise ValueMismatch(
                f"expected {t}, got {_described(value)}", where=where, mend=f"convert it with .astype({t.name!r})"
            )
        array = np.asarray(value)
    elif hasattr(value, "__array__") and not isinstance(value, list | tuple):
        return _check_tensor(np.asarray(value), t, where)
    else:
        array = _from_python(value, t, where)
    array = np.require(array, dtype=t.dtype, requirements="C")
    _check_shape(array.shape, t, value, where)
    return array[()] if array.ndim == 0 else array


def _from_python(value: Any, t: TensorType, where: str) -> np.ndarray[Any, Any]:
    """Return a Python scalar or (nested) list with the declared dtype, if that loses no kind or range."""
    try:
        plain = np.asarray(value)
    except (ValueError, TypeError):
        plain = np.asarray(None)
    kind, want = plain.dtype.kind, t.dtype.kind
    if t.name == "bfloat16":
        want = "f"
    allowed = {"b": "b", "i": "iu", "u": "iu", "f": "iuf", "c": "iufc"}[want]
    empty = plain.size == 0 and isinstance(value, list | tuple)
    if kind not in allowed and not empty:
        raise ValueMismatch(
            f"expected {t}, got {_described(value)}", where=where, mend=f"pass a value that {t.name} can hold"
        )
    if want in "iu" and plain.size:
        low, high = int(plain.min()), int(plain.max())
        info = np.iinfo(t.dtype)
        if low < info.min or high > info.max:
            raise ValueMismatch(
                f"expected {t}, got {low if low < info.min else high}, which it cannot hold",
                where=where,
                mend=f"{t.name} holds {info.min} to {info.max}",
            )
    with np.errstate(over="ignore"):
        return plain.astype(t.dtype)


def _check_str(value: Any, t: TensorType, where: str) -> Any:
    if isinstance(value, str):
        _check_shape((), t, value, where)
        return str(value)
    array = np.asarray(value)
    flat = array.astype(object) if array.dtype.kind in "UT" or array.dtype == object or not array.size else None
    if flat is None or not all(isinstance(s, str) for s in flat.flat):
        raise ValueMismatch(f"expected {t}, got {_described(value)}", where=where, mend="pass str")
    _check_shape(flat.shape, t, value, where)
    return str(flat[()]) if flat.ndim == 0 else np.ascontiguousarray(flat)


def _check_shape(shape: tuple[int, ...], t: TensorType, value: Any, where: str) -> None:
    fits = t.shape is None or (
        len(shape) == len(t.shape) and all(want is None or want == got for want, got in zip(t.shape, shape, strict=True))
    )
    if not fits:
        raise ValueMismatch(
            f"expected {t}, got {_described(value)}", where=where, mend="reshape it, or declare unknown sizes with ?"
        )


def _check_struct(value: Any, t: StructType, where: str) -> tuple[Any, ...]:
    names = t.names
    parts: list[Any]
    if isinstance(value, Mapping):
        if set(value) != set(names):
            missing = sorted(str(n) for n in names if n is not None and n not in value)
            extra = sorted(str(n) for n in value if n not in names)
            told = "; ".join(
                f"{label} {', '.join(of)}" for label, of in (("missing", missing), ("unknown", extra)) if of
            )
            raise ValueMismatch(
                f"expected {t}, got a dict with other names: {told or 'the type has unnamed elements'}",
                where=where,
                mend="give each element of the type, and no other",
            )
        parts = [value[n] for n in names]
    elif isinstance(value, Struct):
        if value._names != names:
            raise ValueMismatch(f"expected {t}, got {value!r}", where=where, mend="use the type's names")
        parts = list(value)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        parts = _by_fields(value, value._fields, t, where)
    elif isinstance(value, tuple | list):
        parts = list(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = _by_fields(value, tuple(f.name for f in dataclasses.fields(value)), t, where)
    elif hasattr(type(value), "__attrs_attrs__"):
        parts = _by_fields(value, tuple(a.name for a in type(value).__attrs_attrs__), t, where)
    else:
        raise ValueMismatch(
            f"expected {t}, got {_described(value)}", where=where, mend="pass a tuple, list, dict or dataclass"
        )
    if len(parts) != len(t):
        raise ValueMismatch(
            f"expected {t}, got {len(parts)} elements", where=where, mend=f"pass the {len(t)} elements of the type"
        )
    return tuple(
        check(v, e, f"{where}{'.' + quoted(n) if n is not None else f'[{i}]'}")
        for i, (v, (n, e)) in enumerate(zip(parts, t.elements, strict=True))
    )


def _by_fields(value: Any, fields: tuple[str, ...], t: StructType, where: str) -> list[Any]:
    """Return the fields of a NamedTuple, dataclass or attrs value in the order of `t`."""
    if all(n is None for n in t.names):
        return [getattr(value, f) for f in fields]
    if set(fields) != set(t.names):
        raise ValueMismatch(
            f"expected {t}, got {type(value).__name__} with the fields {', '.join(fields)}",
            where=where,
            mend="use a class with the type's names",
        )
    return [getattr(value, n) for n in t.names if n is not None]


def _check_sequence(value: Any, t: SequenceType, where: str) -> Rows:
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        raise ValueMismatch(f"expected {t}, got {_described(value)}", where=where, mend="pass a list or an iterator")
    return Rows(check(v, t.element, f"{where}[{i}]") for i, v in enumerate(value))


def present(value: Any, t: Type) -> Any:
    """Return a held `value` of `t` as users see it: containers as the type remembers them.

    A struct without a remembered container is a dict when all its elements are named, a
    tuple when none is, and a `Struct` when mixed.  A sequence is a list.
    """
    match t:
        case StructType():
            parts = [present(v, e) for v, e in zip(value, t.parts(), strict=True)]
            return _contained(parts, t)
        case SequenceType():
            return [present(v, t.element) for v in value]
    return value


def _contained(parts: list[Any], t: StructType) -> Any:
    names, container = t.names, t.container
    named = [n for n in names if n is not None]
    if container in (list, tuple) and not named:
        return container(parts)
    if len(named) == len(names) and names:
        if container in (None, dict, OrderedDict, list, tuple):
            return (container if container is OrderedDict else dict)(zip(named, parts, strict=True))
        return container(**dict(zip(named, parts, strict=True)))
    if not named:
        return {} if container in (dict, OrderedDict) and not names else tuple(parts)
    return Struct(names, tuple(parts))


def present_lazily(value: Any, t: Type) -> Any:
    """Return `value` as leaves get it: as `present`, but each sequence is a fresh iterator."""
    match t:
        case StructType():
            return _contained([present_lazily(v, e) for v, e in zip(value, t.parts(), strict=True)], t)
        case SequenceType():
            return (present_lazily(v, t.element) for v in value)
    return value


def zero(t: Type, where: str = "zero") -> Any:
    """Return the zero of `t`: of every tensor zeros, of a sequence nothing.

    Raises ValueMismatch for strings, unknown dimensions, and functions.
    """
    match t:
        case TensorType() if t.name != "str":
            if not t.is_static or t.shape is None:
                raise ValueMismatch(
                    f"{t} has no zero, its shape is unknown",
                    where=where,
                    mend="use federated_aggregate with an explicit zero",
                )
            zeros = np.zeros([s for s in t.shape if s is not None], t.dtype)
            return zeros[()] if zeros.ndim == 0 else zeros
        case StructType():
            return tuple(zero(e, where) for e in t.parts())
        case SequenceType():
            return Rows()
    raise ValueMismatch(f"{t} has no zero", where=where, mend="use federated_aggregate with an explicit zero")


def same(a: Any, b: Any, t: Type) -> bool:
    """Return whether two held values of `t` are equal bit for bit (so NaN equals itself, -0.0 is not 0.0)."""
    match t:
        case TensorType() if t.name == "str":
            return bool(np.array_equal(np.asarray(a, object), np.asarray(b, object)))
        case TensorType():
            x, y = np.asarray(a), np.asarray(b)
            return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
        case StructType():
            return all(same(x, y, e) for x, y, e in zip(a, b, t.parts(), strict=True))
        case SequenceType():
            return len(a) == len(b) and all(same(x, y, t.element) for x, y in zip(a, b, strict=True))
        case FederatedType():
            if t.all_equal:
                return same(a, b, t.member)
            return len(a) == len(b) and all(same(x, y, t.member) for x, y in zip(a, b, strict=True))
    raise ValueMismatch(f"values of {t} are not compared", where="same")


def nbytes(value: Any, t: Type) -> int:
    """Return the bytes of the tensors in a held `value`."""
    match t:
        case TensorType() if t.name == "str":
            return sum(len(str(s).encode()) + 4 for s in np.asarray(value, object).flat)
        case TensorType():
            return math.prod(np.shape(value)) * t.dtype.itemsize
        case StructType():
            return sum(nbytes(v, e) for v, e in zip(value, t.parts(), strict=True))
        case SequenceType():
            return sum(nbytes(v, t.element) for v in value)
    return 0


def infer(value: Any, where: str = "value") -> Type:
    """Return the type of a value that a user gave: Python's bool, int, float are bool, int32, float32."""
    if isinstance(value, bool):
        return TensorType("bool")
    if isinstance(value, int):
        return TensorType("int32" if -(2**31) <= value < 2**31 else "int64")
    if isinstance(value, float):
        return TensorType("float32")
    if isinstance(value, complex):
        return TensorType("complex64")
    if isinstance(value, str):
        return TensorType("str")
    if isinstance(value, np.ndarray | np.generic):
        return TensorType(value.dtype, value.shape)
    if isinstance(value, Mapping):
        container: Callable[..., Any] = OrderedDict if isinstance(value, OrderedDict) else dict
        return StructType([(n, infer(v, f"{where}.{n}")) for n, v in value.items()], container)
    if isinstance(value, Struct):
        return StructType([(n, infer(v, where)) for n, v in zip(value._names, value._values, strict=True)])
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return StructType([(n, infer(getattr(value, n), f"{where}.{n}")) for n in value._fields], type(value))
    if isinstance(value, tuple | list):
        return StructType([(None, infer(v, f"{where}[{i}]")) for i, v in enumerate(value)], type(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return StructType(
            [(f.name, infer(getattr(value, f.name), f"{where}.{f.name}")) for f in dataclasses.fields(value)],
            type(value),
        )
    raise ValueMismatch(
        f"{_described(value)} has no type of ours", where=where, mend="use numbers, strings, numpy arrays or containers"
    )


def _described(value: Any) -> str:
    """Return what `value` is, in notation where it has one, for an error."""
    if isinstance(value, np.ndarray | np.generic):
        name = name_of(value.dtype)
        return str(TensorType(name, value.shape)) if name else f"an array of dtype {value.dtype}"
    if isinstance(value, Type | FederatedType | PlacementType):
        return f"the type {value}"
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 60 else shown[:57] + '...'}"
