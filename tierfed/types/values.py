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

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from tierfed.errors import ValueMismatch
from tierfed.types.containers import Struct, contained, fields_of, names_of
from tierfed.types.difference import shown
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

__all__ = ["Rows", "Struct", "check", "infer", "nbytes", "present", "present_lazily", "same", "zero"]


class Rows(tuple[Any, ...]):
    """The held value of a sequence: its elements' values, in order."""

    __slots__ = ()


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
                raise ValueMismatch(_unlike(value, t), where=where, mend="pass a computation")
            return value
    raise ValueMismatch(f"no value has the type {t} here", where=where)


def _check_tensor(value: Any, t: TensorType, where: str) -> Any:
    if t.name == "str":
        return _check_str(value, t, where)
    if type(value) is t.dtype.type and t.shape == ():
        return value
    if isinstance(value, np.ndarray | np.generic):
        found = name_of(value.dtype)
        if found != t.name:
            raise ValueMismatch(_unlike(value, t), where=where, mend=f"convert it with .astype({t.name!r})")
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
        raise ValueMismatch(_unlike(value, t), where=where, mend=f"pass a value that {t.name} can hold")
    if want in "iu" and plain.size:
        low, high = int(plain.min()), int(plain.max())
        info = np.iinfo(t.dtype)
        if low < info.min or high > info.max:
            raise ValueMismatch(
                f"expected {shown(t)}, got {low if low < info.min else high}, which it cannot hold",
                where=where,
                mend=f"use a wider dtype, or another value: {t.name} holds {info.min} to {info.max}",
            )
    with np.errstate(over="ignore"):
        array = plain.astype(t.dtype)
    if want in "fc" and not np.array_equal(np.isfinite(array), np.isfinite(plain)):
        raise ValueMismatch(
            f"expected {shown(t)}, got {described(value)}, which it cannot hold",
            where=where,
            mend="use float64, or a value in its range",
        )
    return array


def _check_str(value: Any, t: TensorType, where: str) -> Any:
    if isinstance(value, str):
        _check_shape((), t, value, where)
        _check_text(value, t, where)
        return str(value)
    try:
        flat = np.array(value, object)  # a copy: strings are few, and an array of them is mutable
    except ValueError:  # ragged lists
        flat = np.array(None, object)
    if not all(isinstance(s, str) for s in flat.flat):
        raise ValueMismatch(_unlike(value, t), where=where, mend="pass str")
    _check_shape(flat.shape, t, value, where)
    for s in flat.flat:
        _check_text(s, t, where)
    return str(flat[()]) if flat.ndim == 0 else flat


def _check_text(value: str, t: TensorType, where: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueMismatch(
            f"expected {shown(t)}, got {value!r}, which is no Unicode text",
            where=where,
            mend="decode the bytes it came from without surrogates",
        ) from None


def _check_shape(shape: tuple[int, ...], t: TensorType, value: Any, where: str) -> None:
    wanted = t.shape
    if wanted is None:
        return
    if len(shape) != len(wanted) or any(w is not None and w != got for w, got in zip(wanted, shape, strict=True)):
        raise ValueMismatch(_unlike(value, t), where=where, mend="reshape it, or declare unknown sizes with ?")


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
                f"expected {shown(t)}, got a dict with other names: {told or 'the type has unnamed elements'}",
                where=where,
                mend="give each element of the type, and no other",
            )
        parts = [value[n] for n in names]
    elif isinstance(value, Struct):
        if names_of(value) != names:
            raise ValueMismatch(f"expected {shown(t)}, got {value!r}", where=where, mend="use the type's names")
        parts = list(value)
    elif (fields := fields_of(type(value))) is not None:
        parts = _by_fields(value, fields, t, where)
    elif isinstance(value, tuple | list):
        parts = list(value)
    else:
        raise ValueMismatch(_unlike(value, t), where=where, mend="pass a tuple, list, dict or dataclass")
    if len(parts) != len(t):
        raise ValueMismatch(
            f"expected {shown(t)}, got {len(parts)} elements",
            where=where,
            mend=f"pass the {len(t)} elements of the type",
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
            f"expected {shown(t)}, got {type(value).__name__} with the fields {', '.join(fields)}",
            where=where,
            mend="use a class with the type's names",
        )
    return [getattr(value, n) for n in t.names if n is not None]


def _check_sequence(value: Any, t: SequenceType, where: str) -> Rows:
    if isinstance(value, str | bytes | Mapping | set | frozenset) or not hasattr(value, "__iter__"):
        raise ValueMismatch(_unlike(value, t), where=where, mend="pass a list or an iterator")
    return Rows(check(v, t.element, f"{where}[{i}]") for i, v in enumerate(value))


def present(value: Any, t: Type) -> Any:
    """Return a held `value` of `t` as users see it: containers as the type remembers them.

    A struct without a remembered container is a dict when all its elements are named, a
    tuple when none is, and a `Struct` when mixed.  A sequence is a list.
    """
    match t:
        case StructType():
            parts = [present(v, e) for v, e in zip(value, t.parts(), strict=True)]
            return contained(t.names, parts, t.container)
        case SequenceType():
            return [present(v, t.element) for v in value]
    return value


def present_lazily(value: Any, t: Type) -> Any:
    """Return `value` as leaves get it: as `present`, but each sequence is a fresh iterator."""
    match t:
        case StructType():
            parts = [present_lazily(v, e) for v, e in zip(value, t.parts(), strict=True)]
            return contained(t.names, parts, t.container)
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
            return int(math.prod(np.shape(value)) * t.dtype.itemsize)
        case StructType():
            return sum(nbytes(v, e) for v, e in zip(value, t.parts(), strict=True))
        case SequenceType():
            return sum(nbytes(v, t.element) for v in value)
    return 0


def infer(value: Any, where: str = "value") -> Type:
    """Return the type of a value that a user gave: Python's bool, int, float are bool, int32, float32."""
    if isinstance(value, np.ndarray | np.generic):  # before Python's: np.float64 is a float too
        return TensorType(_dtype_name(value, where), value.shape)
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
    if isinstance(value, Mapping):
        container = OrderedDict if isinstance(value, OrderedDict) else dict
        return StructType([(n, infer(v, f"{where}.{n}")) for n, v in value.items()], container)
    if isinstance(value, Struct):
        return StructType([(n, infer(v, where)) for n, v in zip(names_of(value), value, strict=True)])
    if (fields := fields_of(type(value))) is not None:
        return StructType([(n, infer(getattr(value, n), f"{where}.{n}")) for n in fields], type(value))
    if isinstance(value, tuple | list):
        parts = [(None, infer(v, f"{where}[{i}]")) for i, v in enumerate(value)]
        return StructType(parts, tuple if isinstance(value, tuple) else list)
    raise ValueMismatch(
        f"{described(value)} has no type of ours", where=where, mend="use numbers, strings, numpy arrays or containers"
    )


def _dtype_name(value: Any, where: str) -> str:
    name = name_of(value.dtype)
    if name is None and value.dtype == object and all(isinstance(s, str) for s in value.flat):
        return "str"
    if name is None:
        raise ValueMismatch(
            f"{described(value)} has no type of ours", where=where, mend="use numbers, strings or containers of them"
        )
    return name


def _unlike(value: Any, t: Type) -> str:
    return f"expected {shown(t)}, got {described(value)}"


def described(value: Any) -> str:
    """Return what `value` is, in notation where it has one, for an error."""
    if isinstance(value, np.ndarray | np.generic):
        name = name_of(value.dtype)
        return str(TensorType(name, value.shape)) if name else f"an array of dtype {value.dtype}"
    if isinstance(value, Type | FederatedType | PlacementType):
        return f"the type {value}"
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 60 else shown[:57] + '...'}"
