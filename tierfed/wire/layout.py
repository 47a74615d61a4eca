"""Layout: which flat arrays a value of a type is made of, and how large they may be.

    <w=float32[2,3],n=int32>      w: float32[2,3] · n: int32
    float32[?,3]                  float32[5,3]                              sizes 5
    str[2]                        :ends uint32[2] · :utf8 uint8[9]          sizes 9
    <x=float32[4],y=str>*         [*].x: float32[7,4]                       sizes 7 (rows)
                                  [*].y:ends uint32[7] · :utf8 uint8[30]    sizes 30
    float32[?]*                   [*]:shapes int64[7] · [*]: float32[31]    sizes 7, 31

A tensor is its elements in row-major order.  A string is UTF-8; `ends` says where each
ends.  A sequence is its columns, the rows of each end to end; rows of differing shapes
have a column of their unknown sizes (and one of `:ranks` before it, where the rank is
unknown).

Sound because the receiver starts from its own type: a peer chooses nothing but `sizes`,
the numbers that the type leaves open, in the order in which they are met, and what they
ask for is added up and bounded by `Limits` before there is memory for any of it.

Source: the columns of Apache Arrow's columnar format, without its validity bitmaps, and
with shapes where Arrow has offsets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tierfed.errors import ValueMismatch
from tierfed.types import SequenceType, StructType, TensorType, Type
from tierfed.types.notation import quoted

MOST_RANK = 32
_ROW_BYTES = 64  # what a row or a string costs as a Python object, whatever it holds


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may fill in where a type leaves it open.

    `nbytes` bounds the memory of one message's values whose size the peer chooses; what a
    program fixes is not counted.  `items` bounds the values in a slot of many.
    """

    nbytes: int = 1 << 31
    items: int = 1 << 16


@dataclass(frozen=True, slots=True)
class Column:
    """One flat array of a value: its path, its type with every size known, and whether it is bookkeeping.

    A structural column (ends, shapes, ranks, UTF-8 bytes) never goes through a lossy codec.
    """

    path: str
    type: TensorType
    structural: bool = False


def child_path(path: str, name: str | None, index: int) -> str:
    """Return the path of an element of the struct at `path`: `.name`, or `[index]` where it has no name."""
    return f"{path}[{index}]" if name is None else f"{path}.{quoted(name)}"


def fixed_shape(t: TensorType) -> tuple[int, ...] | None:
    """Return the shape of `t` if every size in it is known, else None."""
    return None if t.shape is None or None in t.shape else tuple(s for s in t.shape if s is not None)


def immobile(t: Type, path: str) -> ValueMismatch:
    """Return the error for a type whose values stay where they are: functions, placements."""
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


def least_cost(t: Type) -> int:
    """Return the memory that each of many values of `t` takes, whatever it leaves open, in bytes."""
    match t:
        case TensorType():
            return _ROW_BYTES + (t.nbytes or 0)
        case StructType():
            return _ROW_BYTES + sum(map(least_cost, t.parts()))
    return _ROW_BYTES


def _lay_out(t: Type, sizes: Sizes, path: str, columns: list[Column]) -> None:
    match t:
        case TensorType():
            shape = _shape(t, sizes, path)
            if t.name == "str":
                count = math.prod(shape)
                if not t.is_static:
                    sizes.charge(_ROW_BYTES * math.prod(max(1, s) for s in shape), path)
                _lay_out_strings(count, sizes, path, columns)
                return
            if not t.is_static:  # a zero beside a huge size takes no bytes, and numpy still cannot have it
                sizes.charge(math.prod(max(1, s) for s in shape) * t.dtype.itemsize, path)
            columns.append(Column(path, t if t.is_static else TensorType(t.name, shape)))
        case StructType():
            for i, (name, e) in enumerate(t.elements):
                _lay_out(e, sizes, child_path(path, name, i), columns)
        case SequenceType():
            count = sizes.take(path)
            sizes.charge(count * _ROW_BYTES, path)
            _lay_out_rows(t.element, count, sizes, f"{path}[*]", columns)
        case _:
            raise immobile(t, path)


def _shape(t: TensorType, sizes: Sizes, path: str) -> tuple[int, ...]:
    if t.shape is not None:
        return tuple(sizes.take(path) if s is None else s for s in t.shape)
    return tuple(sizes.take(path) for _ in range(check_rank(sizes.take(path), path)))


def check_rank(rank: int, path: str) -> int:
    """Return `rank`; raises ValueMismatch if no tensor that travels has so many dimensions."""
    if not 0 <= rank <= MOST_RANK:
        raise ValueMismatch(f"a tensor of {rank} dimensions, at most {MOST_RANK} travel", where=path, mend="reshape it")
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
            fixed = fixed_shape(t)
            if fixed is None:
                sizes.charge(8 * dims, path)
                columns.append(Column(f"{path}:shapes", TensorType("int64", (dims,)), True))
            shape = (sizes.take(path),) if fixed is None else (rows, *fixed)
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
            raise immobile(t, path)


def _lay_out_strings(count: int, sizes: Sizes, path: str, columns: list[Column]) -> None:
    total = sizes.take(path)
    sizes.charge(total + 4 * count, path)
    columns.append(Column(f"{path}:ends", TensorType("uint32", (count,)), True))
    columns.append(Column(f"{path}:utf8", TensorType("uint8", (total,)), True))
