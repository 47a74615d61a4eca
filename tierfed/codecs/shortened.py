"""Shortened: a short stage and the array stage that writes its floats, as one array stage.

    topk(0.01) + int8      chunk  ->  head | int8 of the floats that are left

Wire form: the head, then what the array stage wrote of the short array.  The size of both follows
from the number of elements, so a shortened code is of a fixed size if the array stage's is.
Float stages between the two see the short array alone.

What was decoded must be finite: `shorten` refuses what is not, and `none` would carry it.

Sums: where the floats add up (`linear`), those of all codes with the head of the first one are
added as they are, and expanded once at the end.  A code with another head, which no sender of the same
message writes, is expanded at once, into an array that the first such one makes: it costs memory and
time, and breaks nothing.

Source: linear sketches as in Rothchild et al. 2020 (FetchSGD), arXiv:2007.07682, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tierfed.codecs.stage import Array, ArrayStage, Buffer, FloatStage, ShortStage, Summing, add
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types.dtypes import dtype_of, name_of


@dataclass(frozen=True, slots=True)
class Shortened(ArrayStage):
    """See the module docstring; made by the chain, and in no table."""

    short: ShortStage
    between: tuple[FloatStage, ...]
    inner: ArrayStage

    lossy: ClassVar[bool] = True

    @property
    def name(self) -> str:  # type: ignore[override]  # that of the short stage, of which there are several
        return self.short.name

    @property
    def dtypes(self) -> tuple[str, ...]:  # type: ignore[override]
        behind = [*(set(s.dtypes) for s in self.between), set(self.inner.dtypes)]
        return tuple(d for d in self.short.dtypes if all(self.short.floats(d) in names for names in behind))

    @property
    def reach(self) -> float:  # type: ignore[override]
        return min(self.short.reach, self.inner.reach)

    @property
    def unbiased(self) -> bool:
        return self.short.unbiased and self.inner.unbiased and not self.between

    @property
    def linear(self) -> bool:
        return self.short.linear

    @property
    def alike(self) -> bool:
        return self.short.alike

    @property
    def sum_domain(self) -> str:
        return self.short.sum_domain

    @property
    def nmse(self) -> float | None:
        inner = self.inner.nmse if self.inner.lossy else 0.0
        return None if inner is None or self.between else self.short.nmse(inner)

    def nbytes(self, size: int, dtype: str) -> int:
        return self.short.head_bytes(size) + self.inner.nbytes(self.short.length(size), self.short.floats(dtype))

    def encode(self, chunk: Array, first: int, stream: Stream) -> Buffer:
        head, values = self.short.shorten(chunk, first, stream)
        try:
            code = self._written(values, first, stream)
        except CodecError as e:
            places = self.short.places(memoryview(head), chunk.size)
            if places is None:
                what = f"{e.what} (of the {values.size} floats that {self.name} makes)"
                raise CodecError(what, where=e.where, mend=e.mend) from e
            whole = np.zeros_like(chunk)
            whole[places] = values
            self._written(whole, first, stream)  # names the element by its place in the tensor
            raise
        return b"".join((head, code))

    def check(self, data: memoryview, size: int, dtype: str) -> bool:
        head, _ = self.split(data, size, dtype)
        self.short.check(head, size)
        return True

    def decode(self, data: memoryview, out: Array) -> None:
        head, values = self.split(data, out.size, name_of(out.dtype))
        self.short.expand(head, values, out, adding=False)

    def accumulate(self, data: memoryview, out: Array) -> None:
        head, values = self.split(data, out.size, name_of(out.dtype))
        self.short.expand(head, values, out, adding=True)

    def summing(self, size: int, dtype: str) -> Summing | None:
        return ShortSum(self, size, dtype) if self.linear else None

    def bound(self, chunk: Array) -> Array:
        return self.short.bound(chunk, self.inner)

    def split(self, data: memoryview, size: int, dtype: str | None) -> tuple[memoryview, Array]:
        """Return the head in the code of `size` elements, and the floats; raises CodecError for what is not finite."""
        cut = self.short.head_bytes(size)
        assert dtype is not None  # of a chunk
        values = np.empty(self.short.length(size), dtype_of(self.short.floats(dtype)))
        self.inner.decode(data[cut:], values)
        with np.errstate(all="ignore"):
            fine = np.isfinite(values)
        if not fine.all():
            at = int(np.argmin(fine))
            raise CodecError(
                f"value {float(values[at]):g} at place {at} is none that is written",
                where=self.name,
                mend="the bytes were damaged or written by another codec: name one codec for both ends of the link",
            )
        return data[:cut], values

    def _written(self, values: Array, first: int, stream: Stream) -> Buffer:
        for stage in self.between:
            values = stage.apply(values, first)
        return self.inner.encode(values, first, stream)


class ShortSum(Summing):
    """A sum of the floats of one head, and of what had others."""

    __slots__ = ("_dtype", "_head", "_rest", "_size", "_stage", "_total")

    def __init__(self, stage: Shortened, size: int, dtype: str) -> None:
        self._stage, self._size, self._dtype = stage, size, dtype
        self._head: bytes | None = None
        wide = np.float64 if stage.short.floats(dtype) == "float64" else np.float32
        self._total: Array = np.zeros(stage.short.length(size), wide)
        self._rest: Array | None = None

    def add(self, data: memoryview) -> None:
        head, values = self._stage.split(data, self._size, self._dtype)
        if self._head is None:
            self._head = bytes(head)
        if head == self._head:
            add(values, self._total)
            return
        if self._rest is None:
            self._rest = np.zeros(self._size, dtype_of(self._dtype))
        self._stage.short.expand(head, values, self._rest, adding=True)

    def into(self, out: Array) -> None:
        if self._head is not None:
            self._stage.short.expand(memoryview(self._head), self._total, out, adding=True)
        if self._rest is not None:
            add(self._rest, out)
