"""Values as parts: a held value taken apart into flat arrays (layout.py), and put together.

    <w=float32[2,3],tags=str[2]>      w: float32[2,3] · tags:ends uint32[2] · tags:utf8 uint8[9]

    sizes: list[int] = []
    parts = parts_of(value, t, "delta", sizes)
    value_from(t, [p.array for p in parts], sizes)        # the same value, bit for bit

Sound because both ways walk the type, never the bytes.  What only the bytes can say
wrong (an end before its start, shapes that do not add up, a bool of 7, text that is no
UTF-8) is refused when the value is put together, at the cost of the bytes themselves.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tierfed.errors import ValueMismatch
from tierfed.types import SequenceType, StructType, TensorType, Type
from tierfed.types.dtypes import name_of
from tierfed.types.values import Rows
from tierfed.wire.layout import Column, check_rank, child_path, fixed_shape, immobile


@dataclass(frozen=True, slots=True, eq=False)
class Part(Column):
    """A column with its array: C-contiguous, in the machine's order of bytes."""

    array: Any = None


def parts_of(value: Any, t: Type, path: str = "", sizes: list[int] | None = None) -> list[Part]:
    """Return the parts of a held `value` of `t`; the sizes that `t` leaves open are appended to `sizes`.

    Arrays are not copied, except the columns of sequences.

    Raises ValueMismatch for a string that is no UTF-8, and for types whose values do not travel.
    """
    parts: list[Part] = []
    _take_apart(value, t, path, [] if sizes is None else sizes, parts)
    return parts


def _take_apart(value: Any, t: Type, path: str, sizes: list[int], parts: list[Part]) -> None:
    match t:
        case TensorType():
            array = np.asarray(value, object if t.name == "str" else None)
            _check_held(array, t, path)
            if t.shape is None:
                sizes.append(array.ndim)
            sizes.extend(_open_sizes(array.shape, t))
            if t.name == "str":
                _strings(array.reshape(-1).tolist(), path, sizes, parts)
            else:
                parts.append(Part(path, t if t.is_static else TensorType(t.name, array.shape), False, array))
        case StructType():
            for i, (v, (name, e)) in enumerate(zip(value, t.elements, strict=True)):
                _take_apart(v, e, child_path(path, name, i), sizes, parts)
        case SequenceType():
            sizes.append(len(value))
            _take_rows(value, t.element, f"{path}[*]", sizes, parts)
        case _:
            raise immobile(t, path)


def _take_rows(rows: Sequence[Any], t: Type, path: str, sizes: list[int], parts: list[Part]) -> None:
    """Append the columns of `rows`, each a held value of `t`."""
    match t:
        case TensorType():
            is_str = t.name == "str"
            arrays = [np.asarray(r, object if is_str else None) for r in rows]
            for array in arrays:
                _check_held(array, t, path)
            if t.shape is None:
                ranks = [a.ndim for a in arrays]
                sizes.append(sum(ranks))
                parts.append(_structural(f"{path}:ranks", "int64", ranks))
            if not t.is_static:
                shapes = [s for a in arrays for s in _open_sizes(a.shape, t)]
                parts.append(_structural(f"{path}:shapes", "int64", shapes))
                sizes.append(sum(a.size for a in arrays))
            if is_str:
                _strings([s for a in arrays for s in a.reshape(-1).tolist()], path, sizes, parts)
                return
            flat = np.concatenate([np.empty(0, t.dtype), *(a.reshape(-1) for a in arrays)], dtype=t.dtype)
            fixed = fixed_shape(t)
            column = flat if fixed is None else flat.reshape(len(rows), *fixed)
            parts.append(Part(path, TensorType(t.name, column.shape), False, column))
        case StructType():
            for i, (name, e) in enumerate(t.elements):
                _take_rows([r[i] for r in rows], e, child_path(path, name, i), sizes, parts)
        case _:
            raise immobile(t, path)


def _check_held(array: Any, t: TensorType, path: str) -> None:
    """Raise ValueMismatch unless `array` is a held value of `t`: its bytes would be read as another's."""
    fits = t.name == "str" or array.dtype == t.dtype
    if t.shape is not None:
        fits = fits and len(t.shape) == array.ndim
        fits = fits and all(w is None or w == s for w, s in zip(t.shape, array.shape, strict=True))
    if not fits:
        name = "str" if t.name == "str" else name_of(array.dtype)
        found = str(TensorType(name, array.shape)) if name else f"an array of dtype {array.dtype}"
        raise ValueMismatch(f"expected {t}, got {found}", where=path, mend="return what the type declares")


def _open_sizes(shape: tuple[int, ...], t: TensorType) -> list[int]:
    if t.shape is None:
        return list(shape)
    return [s for s, known in zip(shape, t.shape, strict=True) if known is None]


def _structural(path: str, name: str, items: Sequence[int]) -> Part:
    array = np.array(items, name)
    return Part(path, TensorType(name, array.shape), True, array)


def _strings(strings: list[str], path: str, sizes: list[int], parts: list[Part]) -> None:
    coded: list[bytes] = []
    for s in strings:
        try:
            coded.append(s.encode())
        except UnicodeEncodeError as e:
            raise ValueMismatch(
                f"{s[:60]!r} has a lone surrogate, which UTF-8 cannot carry", where=path, mend="send text, or uint8[?]"
            ) from e
    ends = np.cumsum([len(c) for c in coded], dtype=np.int64) if coded else np.empty(0, np.int64)
    total = int(ends[-1]) if coded else 0
    if total >= 1 << 32:
        raise ValueMismatch(f"{total} bytes of text, at most {2**32 - 1} travel", where=path, mend="send it in pieces")
    sizes.append(total)
    parts.append(Part(f"{path}:ends", TensorType("uint32", (len(coded),)), True, ends.astype(np.uint32)))
    text = np.frombuffer(b"".join(coded), np.uint8)
    parts.append(Part(f"{path}:utf8", TensorType("uint8", (total,)), True, text))


def value_from(t: Type, arrays: Iterable[Any], sizes: Iterable[int] = (), path: str = "") -> Any:
    """Return the held value of `t` from the arrays of its columns, which are not copied.

    `arrays` and `sizes` may be iterators; of them no more is taken than the value needs.

    Raises ValueMismatch for bytes that are no value of `t`.
    """
    return _put_together(t, iter(arrays), iter(sizes), path)


def _put_together(t: Type, arrays: Iterator[Any], sizes: Iterator[int], path: str) -> Any:
    match t:
        case TensorType():
            if t.shape is None:
                shape = tuple(next(sizes) for _ in range(next(sizes)))
            else:
                shape = tuple(next(sizes) if s is None else s for s in t.shape)
            if t.name == "str":
                next(sizes)
                return _text(_words(arrays, path), shape)
            array = _checked(next(arrays), t, path).reshape(shape)
            return array if shape else array[()]
        case StructType():
            return tuple(
                _put_together(e, arrays, sizes, child_path(path, name, i)) for i, (name, e) in enumerate(t.elements)
            )
        case SequenceType():
            return Rows(_rows(t.element, next(sizes), arrays, sizes, f"{path}[*]"))
    raise immobile(t, path)


def _rows(t: Type, count: int, arrays: Iterator[Any], sizes: Iterator[int], path: str) -> Iterable[Any]:
    if isinstance(t, StructType):
        columns = [_rows(e, count, arrays, sizes, child_path(path, name, i)) for i, (name, e) in enumerate(t.elements)]
        return zip(*columns, strict=True) if columns else [()] * count
    if not isinstance(t, TensorType):
        raise immobile(t, path)
    fixed = fixed_shape(t)
    if fixed is not None:
        if t.name == "str":
            next(sizes)
            size = math.prod(fixed)
            words = _words(arrays, path)
            return [_text(words[i * size : (i + 1) * size], fixed) for i in range(count)]
        column = _checked(next(arrays), t, path).reshape(count, *fixed)
        return list(column)  # of scalars where the shape is (), of views otherwise
    shapes = _shapes(t, count, arrays, sizes, path)
    total = next(sizes)
    if sum(map(math.prod, shapes)) != total:
        raise ValueMismatch(
            f"its shapes have {sum(map(math.prod, shapes))} elements, its column {total}",
            where=path,
            mend="the peer's value is broken; it has to send again",
        )
    flat: Any
    if t.name == "str":
        next(sizes)
        flat = _words(arrays, path)
    else:
        flat = _checked(next(arrays), t, path).reshape(-1)
    rows: list[Any] = []
    at = 0
    for shape in shapes:
        piece = flat[at : at + math.prod(shape)]
        at += len(piece)
        if t.name == "str":
            rows.append(_text(piece, shape))
        else:
            rows.append(piece.reshape(shape) if shape else piece.reshape(())[()])
    return rows


def _shapes(t: TensorType, count: int, arrays: Iterator[Any], sizes: Iterator[int], path: str) -> list[tuple[int, ...]]:
    """Return the shape of each row of an open tensor, from its columns of ranks and sizes."""
    if t.shape is None:
        dims = next(sizes)
        known: list[tuple[int | None, ...]] = [(None,) * check_rank(r, path) for r in next(arrays).tolist()]
        if sum(map(len, known)) != dims:
            raise ValueMismatch(
                f"its ranks need {sum(map(len, known))} sizes, there are {dims}",
                where=path,
                mend="the peer's value is broken; it has to send again",
            )
    else:
        known = [t.shape] * count
    left = iter(next(arrays).reshape(-1).tolist())
    shapes = [tuple(next(left) if s is None else s for s in k) for k in known]
    for shape in shapes:
        if any(s < 0 for s in shape) or math.prod(max(1, s) for s in shape) >= 1 << 58:
            raise ValueMismatch(f"no tensor has the shape {shape}", where=path, mend="send sizes that fit in memory")
    return shapes


def _words(arrays: Iterator[Any], path: str) -> list[str]:
    ends, text = next(arrays).astype(np.int64), next(arrays)
    starts = np.concatenate([np.zeros(1, np.int64), ends])
    if (np.diff(starts) < 0).any() or starts[-1] != len(text):
        raise ValueMismatch(
            f"the ends of its strings do not rise to {len(text)}, the bytes of its text",
            where=path,
            mend="the peer's value is broken; it has to send again",
        )
    raw = text.tobytes()
    try:
        return [raw[a:b].decode() for a, b in zip(starts.tolist(), ends.tolist(), strict=False)]
    except UnicodeDecodeError as e:
        raise ValueMismatch(f"a string is no UTF-8: {e}", where=path, mend="send text as UTF-8, or uint8[?]") from e


def _text(words: list[str], shape: tuple[int, ...]) -> Any:
    if not shape:
        return words[0]
    array = np.empty(len(words), object)
    array[:] = words
    return array.reshape(shape)


def _checked(array: Any, t: TensorType, path: str) -> Any:
    if t.name == "bool" and array.size and int(array.view(np.uint8).max()) > 1:
        raise ValueMismatch("a bool is neither 0 nor 1", where=path, mend="send one byte a bool, 0 or 1")
    return array


def raw_bytes(array: Any) -> Any:
    """Return `array` as a flat uint8 array of its little-endian bytes, a view where that can be."""
    flat = array.reshape(-1)
    if sys.byteorder == "big":
        flat = flat.byteswap()
    return flat.view(np.uint8)


def from_raw(data: Any, t: TensorType, offset: int = 0) -> Any:
    """Return a new array of type `t` from its little-endian bytes at `offset` of `data`."""
    array = np.frombuffer(data, t.dtype, count=t.size or 0, offset=offset)
    array = array.byteswap() if sys.byteorder == "big" else array.copy()
    return array.reshape(t.shape)
