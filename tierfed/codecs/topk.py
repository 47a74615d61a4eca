"""Topk: the largest magnitudes of a chunk, and where they are.

    topk(0.01) + int8      of 2^18 elements, 2621 indices and as many values

Kept are k = round(fraction · n) elements, one at least; of equal magnitudes those of the lowest index.
Magnitudes are compared as float32.  What is not kept is lost: topk is biased, and is meant
to stand behind `error_feedback`, which sends it in a later round.

Wire form of the head: for each block of 65536 elements how many of it are kept (uint32), then of each
kept element its place in its block (uint16), ascending, all little-endian; where a bitmap is no
larger (from about a sixteenth on) that in its place: ⌈n / 8⌉ bytes, the first element in the
lowest bit of the first.  The values follow, ascending by index, as the array stage writes them.

Source: Aji and Heafield 2017, arXiv:1704.05021; Lin et al. 2018 (DGC), arXiv:1712.01887, whose
sampled threshold here only says where to look: the selection is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np

from tierfed.codecs import compiled, sparse
from tierfed.codecs.floats import INFINITY, MAGNITUDE, as_float32, refuse
from tierfed.codecs.stage import Array, ArrayStage, Buffer, ShortStage
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS

_BLOCK = 1 << 16  # elements that share the upper bits of their index
_COUNT = np.dtype("<u4")
_PLACE = np.dtype("<u2")
_STRIDE = 512  # elements from one run that is looked at for a threshold to the next
_RUN = 8  # elements of a run: half a line of the cache
KERNELS = "topk"


@dataclass(frozen=True, slots=True)
class Topk(ShortStage):
    """See the module docstring."""

    name: ClassVar[str] = "topk"
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    unbiased: ClassVar[bool] = False
    kernels: ClassVar[str] = KERNELS
    fraction: float = 0.01

    def __post_init__(self) -> None:
        sparse.check_fraction(self.name, self.fraction)

    def nmse(self, inner: float) -> float | None:
        if inner:
            return None  # what is kept of normal numbers is not normal
        edge = NormalDist().inv_cdf(1 - self.fraction / 2) if self.fraction < 1 else 0.0
        return 1 - self.fraction - 2 * edge * math.exp(-(edge**2) / 2) / math.sqrt(2 * math.pi)

    def length(self, size: int) -> int:
        return sparse.length(size, self.fraction)

    def head_bytes(self, size: int) -> int:
        return min(_bitmap_bytes(size), _offset_bytes(size, self.length(size)))

    def shorten(self, chunk: Array, first: int, stream: Stream) -> tuple[Buffer, Array]:
        if not chunk.size:
            return b"", chunk
        with np.errstate(all="ignore"):
            values = as_float32(chunk, np.empty(0 if chunk.dtype == np.float32 else chunk.size, np.float32))
        places = select(values, self.length(chunk.size))
        kept = values[places]
        if (kept.view(np.uint32) & MAGNITUDE).max() >= INFINITY:  # a NaN is above it
            refuse(self.name, chunk, first)
        return _head(places, chunk.size), kept if chunk.dtype == np.float32 else chunk[places]

    def check(self, head: memoryview, size: int) -> None:
        self.places(head, size)

    def expand(self, head: memoryview, values: Array, out: Array, *, adding: bool) -> None:
        sparse.scatter(self.places(head, out.size), values, out, adding=adding)

    def places(self, head: memoryview, size: int) -> Array:
        count = self.length(size)
        places, wrong = (_of_bitmap if _is_bitmap(size, count) else _of_offsets)(head, size, count)
        if wrong is not None:
            raise CodecError(
                wrong,
                where=self.name,
                mend="the bytes were damaged or written by another codec: name one codec for both ends of the link",
            )
        return places

    def bound(self, chunk: Array, inner: ArrayStage) -> Array:
        """Itself if it is not kept, else what the array stage errs by."""
        far: Array = np.abs(chunk.astype(np.float64))
        if far.size:
            head, values = self.shorten(chunk, 0, Stream())
            far[self.places(memoryview(head), far.size)] = inner.bound(values)
        return far


def select(values: Array, count: int) -> Array:
    """Return the indices, ascending, of the `count` largest magnitudes of float32 `values`, of equal ones the first.

    `count` is one at least; a NaN is above infinity.  A threshold that a sample lets expect leaves a few
    candidates, among which the selection is exact; if it leaves too few, all are candidates.
    """
    bits = values.view(np.uint32)
    loops = compiled.kernels(KERNELS, values)
    above, largest = (_above, _largest) if loops is None else (loops.above, loops.largest)
    magnitudes = bits & MAGNITUDE if loops is None else bits  # which the kernels look at without their signs
    among = None
    if count < bits.size // 8:
        runs = bits[: bits.size - bits.size % _STRIDE].reshape(-1, _STRIDE)
        sample = runs[:, :_RUN].reshape(-1) & MAGNITUDE
        wanted = count * sample.size / bits.size
        rank = int(wanted + 3 * wanted**0.5) + 2
        while among is None and rank < sample.size // 2:
            places, found = above(magnitudes, _from_above(sample, rank))
            among = found if places.size >= count else None
            rank *= 2  # the sample was of small ones
    if among is None:
        edge = _from_above(bits & MAGNITUDE, count)
        places, among = above(magnitudes, edge)
    else:
        edge = _from_above(among, count)
    kept: Array = largest(places, among, edge, count)
    return kept


def _from_above(magnitudes: Array, rank: int) -> Any:
    """Return the one of this rank, the largest of which is 1."""
    return np.partition(magnitudes, magnitudes.size - rank)[magnitudes.size - rank]


def _above(magnitudes: Array, low: Any) -> tuple[Array, Array]:
    """Return the indices, ascending, of the magnitudes that are not below `low`, and these."""
    places = np.flatnonzero(magnitudes >= low)
    return places, magnitudes[places]


def _largest(places: Array, magnitudes: Array, edge: Any, count: int) -> Array:
    """Return those `count` of `places` whose magnitude is above `edge` or, the first of these, equal to it."""
    kept = np.flatnonzero(magnitudes >= edge)
    if kept.size > count:
        tied = np.flatnonzero(magnitudes[kept] == edge)
        kept = np.delete(kept, tied[tied.size - (kept.size - count) :])
    return places[kept]


def _bitmap_bytes(size: int) -> int:
    return -(-size // 8)


def _offset_bytes(size: int, count: int) -> int:
    return -(-size // _BLOCK) * _COUNT.itemsize + count * _PLACE.itemsize


def _is_bitmap(size: int, count: int) -> bool:
    return _bitmap_bytes(size) <= _offset_bytes(size, count)


def _head(places: Array, size: int) -> bytes:
    """Return the head that says `places`."""
    if _is_bitmap(size, places.size):
        kept = np.zeros(size, np.uint8)
        kept[places] = 1
        return np.packbits(kept, bitorder="little").tobytes()
    edges = np.searchsorted(places, np.arange(0, size + _BLOCK, _BLOCK))
    return np.diff(edges).astype(_COUNT).tobytes() + places.astype(_PLACE).tobytes()


def _of_bitmap(head: memoryview, size: int, count: int) -> tuple[Array, str | None]:
    """Return the places that a bitmap says, and what is wrong with it."""
    bits = np.frombuffer(head, np.uint8)
    if size % 8 and bits[-1] >> (size % 8):
        return bits, f"bits are set after the {size} elements"
    loops = compiled.load(KERNELS) if size >= compiled.LEAST else None
    if loops is None:
        places = np.flatnonzero(np.unpackbits(bits, count=size, bitorder="little"))
    else:
        places = loops.set_bits(bits)
    return places, None if places.size == count else f"{places.size} of {size} elements are marked, expected {count}"


def _of_offsets(head: memoryview, size: int, count: int) -> tuple[Array, str | None]:
    """Return the places that counts and offsets say, and what is wrong with them."""
    blocks = -(-size // _BLOCK)
    counts = np.frombuffer(head, _COUNT, blocks).astype(np.int64)
    if int(counts.sum()) != count:
        return counts, f"{int(counts.sum())} of {size} elements are counted, expected {count}"
    places = np.frombuffer(head, _PLACE, count, blocks * _COUNT.itemsize).astype(np.int64)
    places += np.repeat(np.arange(blocks) * _BLOCK, counts)
    falls = places[1:] <= places[:-1]
    if falls.any():
        at = int(np.argmax(falls))
        return places, f"index {places[at + 1]} follows index {places[at]}, expected them to ascend"
    if count and places[-1] >= size:
        return places, f"index {places[-1]} is none of {size} elements"
    return places, None
