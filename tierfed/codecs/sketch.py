"""Sketch: sums of elements under random signs, a few of them each, of which every element can be estimated.

    sketch(rows=5, fraction=0.1)     of 1000 elements 5 rows of 20 cells: 100 floats

In each row an element has a cell and a sign, at random; a cell is the sum of its elements under their signs.  The
element is estimated by the mean, over the rows, of its cells under its signs.  What else is in those cells has
independent signs, so the mean of that is zero, and the squared error is (‖x‖² - x²) / (rows · columns) an
element: about 1 / fraction of ‖x‖² together.

It is linear: the sketch of a sum is the sum of sketches that were made with the same seed, which all senders of a
message have.  An aggregator adds cells, and estimates once, at the end; since the mean is linear too (the
median of the rows, which some take, is not), that is the sum of what the single sketches give, and their
errors do not average out, as they are alike.  What is sent has the size of randomk's at the same fraction and
about its error; but of a few large elements among small ones, none is ever left out.

Wire form: the seed (uint64, little-endian; of no elements none), then rows · columns cells, row by row, as float32
by the array stage; columns = round(fraction · n / rows), one at least.  With v the 32 bits of `Stream(seed)` at
row · n + element (two of its 16-bit numbers, the first in the lower half), the column is ⌊(v >> 1) · columns / 2^31⌋,
and the sign a minus if v is odd.  Cells are added in float64, element by element, tile by tile (65536
elements), then the tiles; estimates in float32, row by row, then times 1 / rows.

The elements of n may be up to 1.3e33, so that no cell is infinite; an estimate beyond the declared dtype
is its largest value.

Source: Charikar, Chen and Farach-Colton 2002, "Finding frequent items in data streams", section 3; as the
compression of updates in Rothchild et al. 2020 (FetchSGD), arXiv:2007.07682.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tierfed.codecs import sparse
from tierfed.codecs.chunks import CHUNK, TILE, tiles
from tierfed.codecs.floats import LARGEST, as_float32, ceiling, unpack
from tierfed.codecs.stage import Array, ArrayStage, Buffer, ShortStage
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS

_SEED = 8  # bytes
_MOST_ROWS = 64
_SURE = 20.0  # minus the logarithm of half the chance that an element errs by more than `bound`


@dataclass(frozen=True, slots=True)
class Sketch(ShortStage):
    """See the module docstring."""

    name: ClassVar[str] = "sketch"
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    unbiased: ClassVar[bool] = True
    linear: ClassVar[bool] = True
    alike: ClassVar[bool] = True
    sum_domain: ClassVar[str] = "the cells"
    reach: ClassVar[float] = LARGEST / CHUNK
    rows: int = 5
    fraction: float = 0.1

    def __post_init__(self) -> None:
        if type(self.rows) is not int or not 1 <= self.rows <= _MOST_ROWS:
            raise CodecError(f"rows is {self.rows!r}", where=self.name, mend=f"give from 1 to {_MOST_ROWS} rows")
        sparse.check_fraction(self.name, self.fraction)

    def nmse(self, inner: float) -> float | None:
        return (1 + inner) / self.fraction

    def floats(self, dtype: str) -> str:
        return "float32"

    def length(self, size: int) -> int:
        return self.rows * self._columns(size)

    def head_bytes(self, size: int) -> int:
        return _SEED if size else 0

    def shorten(self, chunk: Array, first: int, stream: Stream) -> tuple[Buffer, Array]:
        sparse.check_finite(self.name, chunk, first, self.reach)
        seed = stream.common.at(self.name, first).key % (1 << 64)
        columns = self._columns(chunk.size)
        cells = np.zeros((self.rows, columns))
        scratch = np.empty(min(chunk.size, TILE), np.float32)
        for tile in tiles(chunk.size):
            x = as_float32(chunk[tile], scratch[: tile.stop - tile.start])
            for row in range(self.rows):
                column, minus = _hashed(Stream(seed), row * chunk.size, tile, columns)
                signed = (x.view(np.uint32) ^ minus).view(np.float32)
                cells[row] += np.bincount(column, signed, columns)
        head = seed.to_bytes(_SEED, "little") if chunk.size else b""
        return head, cells.reshape(-1).astype(np.float32)

    def expand(self, head: memoryview, values: Array, out: Array, *, adding: bool) -> None:
        columns = self._columns(out.size)
        grid = values.reshape(self.rows, columns)
        stream = Stream(int.from_bytes(head, "little"))
        largest = ceiling(out.dtype)

        def write(tile: slice, _: int, estimates: Array) -> None:
            estimates[:] = 0
            for row in range(self.rows):
                column, minus = _hashed(stream, row * out.size, tile, columns)
                picked = np.take(grid[row], column, mode="clip")
                np.add(estimates, (picked.view(np.uint32) ^ minus).view(np.float32), out=estimates)
            np.multiply(estimates, np.float32(1 / self.rows), out=estimates)
            np.clip(estimates, -largest, largest, out=estimates)

        with np.errstate(all="ignore"):
            unpack(out, write, width=1, adding=adding)

    def places(self, head: memoryview, size: int) -> None:
        return None

    def bound(self, chunk: Array, inner: ArrayStage) -> Array:
        """By Bernstein's inequality, what of 4e8 elements one errs by; at most all that can be in its cells."""
        x = np.abs(chunk.astype(np.float64))
        if not x.size:
            return x
        most, norm, columns = x.max(), math.sqrt((x**2).sum()), self._columns(x.size)
        cell = min(x.sum(), _most(most, norm / math.sqrt(columns)))
        within = inner.bound(np.full(self.length(x.size), cell, np.float32)).max() + cell * 2.0**-22
        spread = _most(most / self.rows, norm / math.sqrt(self.rows * columns))
        far: Array = np.minimum(x.sum() - x, spread) + within
        return far

    def _columns(self, size: int) -> int:
        return max(1, round(self.fraction * size / self.rows)) if size else 0


def _most(term: float, deviation: float) -> float:
    """Return what a sum of independent terms, of mean zero and up to `term`, does not pass."""
    third = _SURE * term / 3
    return third + math.sqrt(third**2 + 2 * _SURE * deviation**2)


def _hashed(stream: Stream, start: int, tile: slice, columns: int) -> tuple[Array, Array]:
    """Return the columns of a tile's elements in the row whose numbers begin at `start`, and the signs, as bits."""
    numbers = stream.sixteen(2 * (start + tile.start), 2 * (tile.stop - tile.start))
    drawn = numbers.astype("<u2", copy=False).view("<u4").astype(np.uint32, copy=False)
    column = ((drawn >> np.uint32(1)).astype(np.int64) * columns) >> 31
    return column, drawn << np.uint32(31)
