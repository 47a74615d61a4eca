"""Randomk: a fraction of the elements, drawn evenly, times what makes the mean x.

    randomk(0.1): of each ten elements in a row, one, at random      x̂ = 10 · x there, else 0

Of n elements k are taken, each with the probability k / n, and multiplied by n / k: so the mean is x, and the
squared error is n / k - 1 of ‖x‖², whatever is in x.

Drawn are they from strata of the width w = n / k, one of each.  Stratum j covers [j w, (j + 1) w), and if w is no
whole number, then an element may lie across two: with the part a in stratum j - 1, and b = 1 - a in j (a = 0
where they meet between elements).  Let u_j be the j-th 32 bits of `Stream(seed)` (two of its 16-bit numbers, the
first in the lower half) over 2^32.  Stratum j takes its first element s = ⌊j w⌋, unless stratum j - 1 has, if u < q
for q = b / (w - a), and u becomes (u - q) / (1 - q) if not; else s + 1 + ⌊u (w - b)⌋.  This gives all
elements the same probability (to 2^-32), in float64 as it is written in `_places`.  The elements ascend,
none comes twice, and a decoder that has the seed knows them: no index travels.

`shared=true`: the seed is one that all senders of a message have, so all take the same elements, and
an aggregator adds k floats a sender; their errors do not average out, as they are the same elements.

Wire form: the seed (uint64, little-endian; of no elements none), then the k elements, not yet
multiplied, by the array stage.  A product beyond the declared dtype is its largest value.

Source: Konečný et al. 2016, arXiv:1610.05492, section 4 (a random mask from a seed); drawn by the ordered
pivotal method of Deville and Tillé 1998, in the form of Chauvet 2012, "On a characterization of ordered
pivotal sampling".
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tierfed.codecs import sparse
from tierfed.codecs.chunks import CHUNK
from tierfed.codecs.stage import Array, ArrayStage, Buffer, ShortStage
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS

_SEED = 8  # bytes
_UNIT = 2.0**-32


@dataclass(frozen=True, slots=True)
class Randomk(ShortStage):
    """See the module docstring."""

    name: ClassVar[str] = "randomk"
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    unbiased: ClassVar[bool] = True
    fraction: float = 0.1
    shared: bool = False

    def __post_init__(self) -> None:
        sparse.check_fraction(self.name, self.fraction)
        if type(self.shared) is not bool:
            raise CodecError(f"shared is {self.shared!r}", where=self.name, mend="write true or false")

    @property
    def linear(self) -> bool:
        return self.shared

    @property
    def alike(self) -> bool:
        return self.shared

    @property
    def sum_domain(self) -> str:
        return "the kept elements" if self.shared else "elements"

    def nmse(self, inner: float) -> float | None:
        return (1 + inner) / self.fraction - 1

    def length(self, size: int) -> int:
        return sparse.length(size, self.fraction)

    def head_bytes(self, size: int) -> int:
        return _SEED if size else 0

    def shorten(self, chunk: Array, first: int, stream: Stream) -> tuple[Buffer, Array]:
        sparse.check_finite(self.name, chunk, first)
        drawn = stream.common if self.shared else stream
        seed = drawn.at(self.name, first).key % (1 << 64)
        head = seed.to_bytes(_SEED, "little") if chunk.size else b""
        return head, chunk[self.places(memoryview(head), chunk.size)]

    def expand(self, head: memoryview, values: Array, out: Array, *, adding: bool) -> None:
        weighed = sparse.weigh(values, out.size / max(values.size, 1), out.dtype)
        sparse.scatter(_places(head, out.size, values.size), weighed, out, adding=adding)

    def places(self, head: memoryview, size: int) -> Array:
        return _places(head, size, self.length(size))

    def bound(self, chunk: Array, inner: ArrayStage) -> Array:
        """How far it is from zero, or from its product, with the error of the array stage as many times."""
        x = np.abs(chunk.astype(np.float64))
        if not x.size:
            return x
        count = self.length(x.size)
        width = x.size / count
        within = inner.bound(np.full(count, x.max(), chunk.dtype)).max()
        far: Array = np.maximum(x, (width - 1) * x + width * within)
        return far


def _places(head: memoryview, size: int, count: int) -> Array:
    """Return the indices of the elements that the seed draws, ascending.

    Whether a stratum takes the element that lies across its end depends on whether it may take the one across
    its start, if at all: where it does not, that is known at once, and elsewhere it is as for the stratum before.
    """
    starts, ends, first, rest = (_kept_strata if size <= CHUNK else _strata)(size, count)
    drawn = Stream(int.from_bytes(head, "little")).sixteen(0, 2 * count).astype("<u2", copy=False).view("<u4")
    u = drawn * _UNIT
    with np.errstate(all="ignore"):
        free = np.where(u < first, 0, 1 + ((u - first) / (1 - first) * rest).astype(np.int64))  # after the start
    if size % max(count, 1):
        held = 1 + (u * rest).astype(np.int64)  # if the first one is taken
        to_end = free == ends
        known = np.where(to_end == (held == ends), np.arange(count), -1)
        last = np.maximum.accumulate(known)
        taken = to_end[last] & (last >= 0)
        np.copyto(free[1:], held[1:], where=taken[:-1])
    places: Array = np.add(starts, free, out=free)
    return places


def _strata(size: int, count: int) -> tuple[Array, Array, Array, Array]:
    """Return the first element of each stratum and how far the next one's is, b / (w - a), and w - b."""
    starts, left = np.divmod(np.arange(count, dtype=np.int64) * size, max(count, 1))
    ends = np.diff(starts, append=size)
    return starts, ends, (count - left) / (size * 1.0 - left), (size - count + left) / max(count, 1)


_kept_strata = functools.lru_cache(maxsize=2)(_strata)  # of chunks, which mostly are of one size
