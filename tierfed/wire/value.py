"""Values as parts: what of a value of a type travels as flat arrays, and back.

    <w=float32[2,3],n=int32>      w: float32[2,3] · n: int32
    float32[?,3]                  float32[5,3]                              sizes 5
    str[2]                        :ends uint32[2] · :utf8 uint8[9]          sizes 9
    <x=float32[4],y=str>*         [*].x: float32[7,4]                       sizes 7 (rows)
                                  [*].y:ends uint32[7] · :utf8 uint8[30]    sizes 30
    float32[?]*                   [*]:shapes int64[7,1] · [*]: float32[31]  sizes 7, 31

A tensor is its elements in row-major order.  A string is UTF-8; `ends` says where each
ends.  A sequence is its columns, the rows of each end to end; rows of differing shapes
have a column of their unknown sizes (and `:ranks`, where the rank is unknown) before.

The receiver starts from its own type, so a peer chooses nothing but `sizes`: the
numbers that the type leaves open, in the order in which they are met.  `columns_of`
bounds them by `Limits` before there is memory for anything; what only the bytes can
say wrong (an end before its start, shapes that do not add up, a bool of 7, bytes that
are no UTF-8) is refused by `value_from`.  So the round trip is exact, bit for bit, and
what is refused costs no more than its own bytes.

Source: the columns are those of Apache Arrow's columnar format, without its validity
bitmaps and with shapes where Arrow has offsets.
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
from tierfed.types.notation import quoted
from tierfed.types.values import Rows

_MAX_RANK = 32
_ROW_BYTES = 64  # what a row or a string costs as a Python object, whatever it holds
_DTYPE = {"uint32": np.dtype("<u4"), "int64": np.dtype("<i8"), "uint8": np.dtype("u1")}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may fill in where a type leaves it open.

    `nbytes` bounds the memory of one message's values whose size the peer chooses; what a
    program fixes is not counted.  `items` bounds the values in a slot of many.
    """

    nbytes: int = 1 << 30
    items: int = 1 << 16


@dataclass(frozen=True, slots=True)
class Column:
    """One flat array of a value: its path, its type with every size known, and whether it is bookkeeping.

    A structural column (ends, shapes, ranks, UTF-8 bytes) never goes through a lossy codec.
    """

    path: str
    type: TensorType
    structural: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Part(Column):
    """A column with its array: C-contiguous, in the machine's order of bytes."""

    array: Any = None


def child_path(path: str, name: str | None, index: int) -> str:
    """Return the path of an element of the struct at `path`: `.name`, or `[index]` where it has no name."""
    return f"{path}[{index}]" if name is None else f"{path}.{quoted(name)}"


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
            if t.shape is None:
                sizes.append(array.ndim)
            sizes.extend(_open_sizes(array.shape, t))
            if t.name == "str":
                _strings(array.reshape(-1).tolist(), path, sizes, parts)
            else:
                parts.append(Part(path, TensorType(t.name, array.shape), False, array))
        case StructType():
            for i, (v, (name, e)) in enumerate(zip(value, t.elements, strict=True)):
                _take_apart(v, e, child_path(path, name, i), sizes, parts)
        case SequenceType():
            sizes.append(len(value))
            _take_rows(value, t.element, f"{path}[*]", sizes, parts)
        case _:
            raise _immobile(t, path)


def _take_rows(rows: Sequence[Any], t: Type, path: str, sizes: list[int], parts: list[Part]) -> None:
    """Append the columns of `rows`, each a held value of `t`."""
    match t:
        case TensorType():
            is_str = t.name == "str"
            arrays = [np.asarray(r, object if is_str else None) for r in rows]
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
            column = flat.reshape(len(rows), *t.shape) if t.is_static and t.shape is not None else flat
            parts.append(Part(path, TensorType(t.name, column.shape), False, column))
        case StructType():
            for i, (name, e) in enumerate(t.elements):
                _take_rows([r[i] for r in rows], e, child_path(path, name, i), sizes, parts)
        case _:
            raise _immobile(t, path)


def _open_sizes(shape: tuple[int, ...], t: TensorType) -> list[int]:
    if t.shape is None:
        return list(shape)
    return [s for s, known in zip(shape, t.shape, strict=True) if known is None]


def _structural(path: str, name: str, items: Sequence[int]) -> Part:
    array = np.array(items, _DTYPE[name]).astype(name, copy=False)
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


def _immobile(t: Type, path: str) -> ValueMismatch:
    return ValueMismatch(f"no value of type {t} travels", where=path, mend="send tensors, structs and sequences")


class Sizes:
    """The open sizes of a message, as they are used up: each checked, in order, against `limits`.

    `charge` adds to the memory that a peer has chosen; raises ValueMismatch past the limit.
    """

    __slots__ = ("_items", "_limits", "_spent", "taken")

    def __init__(self, items: Iterable[int], limits: Limits) -> None:
        self._items = iter(items)
        self._limits = limits
        self._spent = 0
        self.taken: list[int] = []

    def take(self, path: str) -> int:
        """Return the next size, 0 to the limit of bytes."""
        item = next(self._items, None)
        if item is None:
            raise ValueMismatch("its size is missing", where=path, mend="list every size that the type leaves open")
        if type(item) is not int or not 0 <= item <= self._limits.nbytes:
            raise ValueMismatch(
                f"a size of {item!r}, expected 0 to {self._limits.nbytes}",
                where=path,
                mend="send less, or raise the limit of the link",
            )
        self.taken.append(item)
        return item

    def charge(self, nbytes: int, path: str) -> None:
        """Count `nbytes` of memory that the sizes ask for."""
        self._spent += nbytes
        if self._spent > self._limits.nbytes:
            raise ValueMismatch(
                f"takes the values to {self._spent} bytes, at most {self._limits.nbytes} are taken",
                where=path,
                mend="send less, or raise the limit of the link",
            )

    def finish(self, path: str) -> None:
        """Raise ValueMismatch if there are sizes that no type asks for."""
        if next(self._items, None) is not None:
            raise ValueMismatch(
                f"sizes beyond the {len(self.taken)} that the types leave open",
                where=path,
                mend="list only the sizes that the types leave open",
            )


def layout_of(t: Type, sizes: Sequence[int], path: str = "", limits: Limits | None = None) -> list[Column]:
    """Return the columns of a value of `t` whose open sizes are `sizes`.

    Raises ValueMismatch if there are too few, too many, or more than `limits` has room for.
    """
    left = Sizes(sizes, limits or Limits())
    columns = columns_of(t, left, path)
    left.finish(path)
    return columns


def columns_of(t: Type, sizes: Sizes, path: str = "") -> list[Column]:
    """Return the columns of a value of `t`, taking what it leaves open from `sizes`."""
    columns: list[Column] = []
    _lay_out(t, sizes, path, columns)
    return columns


def _lay_out(t: Type, sizes: Sizes, path: str, columns: list[Column]) -> None:
    match t:
        case TensorType():
            shape = _shape(t, sizes, path)
            if t.name == "str":
                count = math.prod(shape)
                sizes.charge(_ROW_BYTES * (count if t.is_static else math.prod(max(1, s) for s in shape)), path)
                _lay_out_strings(count, sizes, path, columns)
                return
            if not t.is_static:  # a zero beside a huge size takes no bytes, and numpy still cannot have it
                sizes.charge(math.prod(max(1, s) for s in shape) * t.dtype.itemsize, path)
            columns.append(Column(path, TensorType(t.name, shape)))
        case StructType():
            for i, (name, e) in enumerate(t.elements):
                _lay_out(e, sizes, child_path(path, name, i), columns)
        case SequenceType():
            count = sizes.take(path)
            sizes.charge(count * _ROW_BYTES, path)
            _lay_out_rows(t.element, count, sizes, f"{path}[*]", columns)
        case _:
            raise _immobile(t, path)


def _shape(t: TensorType, sizes: Sizes, path: str) -> tuple[int, ...]:
    if t.shape is not None:
        return tuple(sizes.take(path) if s is None else s for s in t.shape)
    return tuple(sizes.take(path) for _ in range(_rank(sizes.take(path), path)))


def _rank(rank: int, path: str) -> int:
    if not 0 <= rank <= _MAX_RANK:
        raise ValueMismatch(f"a tensor of {rank} dimensions, at most {_MAX_RANK} travel", where=path, mend="reshape it")
    return rank


def _lay_out_rows(t: Type, rows: int, sizes: Sizes, path: str, columns: list[Column]) -> None:
    match t:
        case TensorType():
            sizes.charge(rows * _ROW_BYTES, path)
            if t.shape is None:
                dims = sizes.take(path)
                columns.append(Column(f"{path}:ranks", TensorType("int64", (rows,)), True))
            else:
                dims = rows * t.shape.count(None)
            if t.is_static and t.shape is not None:
                shape = (rows, *t.shape)
            else:
                sizes.charge(8 * dims, path)
                columns.append(Column(f"{path}:shapes", TensorType("int64", (dims,)), True))
                shape = (sizes.take(path),)
            if t.name == "str":
                sizes.charge(_ROW_BYTES * math.prod(shape), path)
                _lay_out_strings(math.prod(shape), sizes, path, columns)
            else:
                sizes.charge(math.prod(shape) * t.dtype.itemsize, path)
                columns.append(Column(path, TensorType(t.name, shape)))
        case StructType():
            for i, (name, e) in enumerate(t.elements):
                sizes.charge(rows * _ROW_BYTES, path)
                _lay_out_rows(e, rows, sizes, child_path(path, name, i), columns)
        case _:
            raise _immobile(t, path)


def _lay_out_strings(count: int, sizes: Sizes, path: str, columns: list[Column]) -> None:
    total = sizes.take(path)
    sizes.charge(total + 4 * count, path)
    columns.append(Column(f"{path}:ends", TensorType("uint32", (count,)), True))
    columns.append(Column(f"{path}:utf8", TensorType("uint8", (total,)), True))


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
    raise _immobile(t, path)


def _rows(t: Type, count: int, arrays: Iterator[Any], sizes: Iterator[int], path: str) -> Iterable[Any]:
    if isinstance(t, StructType):
        columns = [
            _rows(e, count, arrays, sizes, child_path(path, name, i)) for i, (name, e) in enumerate(t.elements)
        ]
        return zip(*columns, strict=True) if columns else [()] * count
    if not isinstance(t, TensorType):
        raise _immobile(t, path)
    if t.is_static and t.shape is not None:
        if t.name == "str":
            next(sizes)
            size = math.prod(t.shape)
            words = _words(arrays, path)
            return [_text(words[i * size : (i + 1) * size], t.shape) for i in range(count)]
        column = _checked(next(arrays), t, path).reshape(count, *t.shape)
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
        known: list[tuple[int | None, ...]] = [(None,) * _rank(r, path) for r in next(arrays).tolist()]
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
