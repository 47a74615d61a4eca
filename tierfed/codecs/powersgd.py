"""Powersgd: a matrix as the product of two thin ones, of a rank that the senders share.

    M: float32[n, m], the tensor as shape[0] rows        Q: float32[m, r], random, the same for all senders
    offer    P = M Q                                     answer  P̂ = the sum of all P, made orthonormal
    code     Qᵢ = Mᵀ P̂                                   sum     P̂ (Σ Qᵢ)ᵀ = P̂ P̂ᵀ Σ M

So the sum is that of all matrices, projected onto r directions: exact, but for rounding, if its rank is at most r,
and biased if it is more.  It is meant for residuals, which send later what was left out.

Tensors of fewer than two dimensions, and those that would not be smaller, r (n + m) >= n m, are written as they
are, chunk by chunk.  A matrix is one chunk, however large.

Q is fresh in each message: numbers of 16 random bits, (2 k + 1) / 2^16 - 1.  In the paper Q is
that of the step before, which all workers have; here only the parent has the sum of Qᵢ, and a member may
be new, so it would have to come down before each offer, as a third message.  Without it, a third less is captured
of gradients whose spectrum falls slowly (docs/codecs.md), and error feedback sends it later.

Wire form, of one who has agreed: Qᵢ as float32, m r of them; offer and answer are n r.  Alone: P̂, then
Q: 32 r (n + m) / (n m) bits an element.  Matrices are in row-major order.  What is not a matrix: its raw little-endian
bytes.

P is made orthonormal by Householder's QR, which gives orthonormal columns for any P, of zeros too.  A
magnitude may be at most 2^80, so that no sum of 2^16 senders overflows.

Source: Vogels et al. 2019, arXiv:1905.13727, algorithms 1 and 2 (without warm start).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tierfed.codecs.agreeing import FLOAT, Agreeing, damaged
from tierfed.codecs.floats import LARGEST, as_float32, ceiling, refuse, unpack
from tierfed.codecs.none import Raw
from tierfed.codecs.stage import Array, ArrayStage, Buffer, Summing
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS

RANKS = range(1, 65)
_REACH = 2.0**80
_SLACK = 1.001  # what rounding may make of a length of 1
_NAME = "powersgd"
_RAW = Raw()


@dataclass(frozen=True, slots=True)
class Powersgd(ArrayStage):
    """See the module docstring; `rank` is 1 to 64.  This is the stage of what is no matrix; `of_shape` gives others."""

    name: ClassVar[str] = _NAME
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    lossy: ClassVar[bool] = True
    agrees: ClassVar[bool] = True
    unbiased: ClassVar[bool] = False
    linear: ClassVar[bool] = True
    rank: int = 4

    def __post_init__(self) -> None:
        if type(self.rank) is not int or self.rank not in RANKS:
            raise CodecError(f"there is no rank {self.rank!r}", where=_NAME, mend="give a rank of 1 to 64")

    def of_shape(self, shape: tuple[int, ...]) -> ArrayStage:
        rows, columns = (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (0, 0)
        if self.rank * (rows + columns) >= rows * columns:
            return self
        return LowRank(self.rank, rows, columns)

    def nbytes(self, size: int, dtype: str) -> int:
        return _RAW.nbytes(size, dtype)

    def encode(self, chunk: Array, first: int, stream: Stream) -> Buffer:
        _float32(chunk, first, LARGEST)
        return _RAW.encode(chunk, first, stream)

    def decode(self, data: memoryview, out: Array) -> None:
        held = np.empty_like(out)
        _RAW.decode(data, held)
        with np.errstate(all="ignore"):
            wrong = ~np.isfinite(as_float32(held, np.empty(held.size, np.float32)))
        if wrong.any():
            at = int(wrong.argmax())
            raise damaged(_NAME, f"{float(held[at]):g} at element {at} is no value")
        np.copyto(out, held)

    def bound(self, chunk: Array) -> Array:
        return np.zeros(chunk.size)


class LowRank(Agreeing):
    """The stage of matrices of `rows` x `columns`."""

    name: ClassVar[str] = _NAME
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    lossy: ClassVar[bool] = True
    agrees: ClassVar[bool] = True
    unbiased: ClassVar[bool] = False
    reach: ClassVar[float] = _REACH
    grain: ClassVar[str] = "tensor"
    seeded: ClassVar[bool] = False
    sum_domain: ClassVar[str] = "floats"
    __dataclass_fields__ = Powersgd.__dataclass_fields__

    def __init__(self, rank: int, rows: int, columns: int) -> None:
        self.rank, self.rows, self.columns = rank, rows, columns

    def offer_size(self, size: int) -> int:
        return self.rows * self.rank

    def answer_size(self, size: int) -> int:
        return self.rows * self.rank

    def code_bytes(self, size: int, dtype: str) -> int:
        return FLOAT.itemsize * self.columns * self.rank

    def offer(self, chunk: Array, first: int, seed: int) -> Array:
        matrix = _float32(chunk, first, _REACH).reshape(self.rows, self.columns)
        numbers = Stream(seed).sixteen(0, self.columns * self.rank).astype(np.float32)
        shared = (2 * numbers + np.float32(1)) * np.float32(2.0**-16) - np.float32(1)
        product: Array = matrix @ shared.reshape(self.columns, self.rank)
        return product.reshape(-1)

    def check_offer(self, offer: Array) -> None:
        _check(offer, _REACH * self.columns, "the offer")

    def combine(self, total: Array, offer: Array) -> None:
        np.add(total, offer, out=total)

    def answer(self, total: Array) -> Array:
        matrix = total.reshape(self.rows, self.rank)
        top = float(np.abs(matrix).max())
        scaled = matrix.astype(np.float64) / top if top else np.zeros(matrix.shape)
        directions: Array = np.linalg.qr(scaled)[0].astype(np.float32)
        return directions.reshape(-1)

    def agreed(self, answer: Array, seed: int) -> SharedDirections:
        _check(answer, _SLACK, "the shared matrix")
        return SharedDirections(self, answer.reshape(self.rows, self.rank))

    def bound(self, chunk: Array) -> Array:
        """Return the length of each element's column, which a projection leaves no more of."""
        matrix = chunk.astype(np.float64).reshape(self.rows, self.columns)
        lengths = np.sqrt((matrix**2).sum(axis=0)) * 1.00001 + 2.0**-100
        return np.broadcast_to(lengths, matrix.shape).reshape(-1).copy()


class SharedDirections(ArrayStage):
    """Powersgd with the directions that its senders have agreed on, the columns of `directions`."""

    name: ClassVar[str] = _NAME
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    lossy: ClassVar[bool] = True
    unbiased: ClassVar[bool] = False
    reach: ClassVar[float] = _REACH
    grain: ClassVar[str] = "tensor"
    linear: ClassVar[bool] = True
    sum_domain: ClassVar[str] = "floats"
    __dataclass_fields__ = Powersgd.__dataclass_fields__

    def __init__(self, shape: LowRank, directions: Array) -> None:
        self.rank = shape.rank
        self._shape = shape
        self._directions = directions

    def nbytes(self, size: int, dtype: str) -> int:
        return self._shape.code_bytes(size, dtype)

    def encode(self, chunk: Array, first: int, stream: Stream) -> Buffer:
        matrix = _float32(chunk, first, _REACH).reshape(self._shape.rows, self._shape.columns)
        product = np.ascontiguousarray(matrix.T @ self._directions, FLOAT)
        return product.reshape(-1).view(np.uint8).data

    def decode(self, data: memoryview, out: Array) -> None:
        self.unpack(self.factor(data), out, adding=False)

    def accumulate(self, data: memoryview, out: Array) -> None:
        self.unpack(self.factor(data), out, adding=True)

    def summing(self, size: int, dtype: str) -> Summing:
        return FactorSum(self)

    def bound(self, chunk: Array) -> Array:
        return self._shape.bound(chunk)

    def check(self, data: memoryview, size: int, dtype: str) -> bool:
        self.factor(data)
        return True

    def factor(self, data: memoryview) -> Array:
        """Return the matrix in `data`, transposed; raises CodecError for what `encode` never writes."""
        factor = np.frombuffer(data, FLOAT).astype(np.float32)
        _check(factor, _REACH * self._shape.rows**0.5 * _SLACK, "the code")
        return factor.reshape(self._shape.columns, self._shape.rank).T

    def unpack(self, factor: Array, out: Array, *, adding: bool) -> None:
        """Fill `out`, or add to it, with the directions times `factor` (rank, columns), a few rows at a time."""
        largest = ceiling(out.dtype)
        width = self._shape.columns

        def write(tile: slice, _: int, values: Array) -> None:
            start, stop = tile.start // width, -(-tile.stop // width)
            if stop - start == 1:
                product = self._directions[start] @ factor[:, tile.start - start * width : tile.stop - start * width]
            else:
                product = (self._directions[start:stop] @ factor).reshape(-1)[tile.start - start * width :]
            np.clip(product[: values.size], -largest, largest, out=values)

        with np.errstate(all="ignore"):
            unpack(out, write, width=1, adding=adding)


class FactorSum(Summing):
    """The sum of the factors of senders who share their directions."""

    __slots__ = ("_stage", "_sum")

    def __init__(self, stage: SharedDirections) -> None:
        self._stage = stage
        self._sum: Array | None = None

    def add(self, data: memoryview) -> None:
        factor = self._stage.factor(data)
        self._sum = factor if self._sum is None else np.add(self._sum, factor, out=self._sum)

    def into(self, out: Array) -> None:
        if self._sum is not None:
            self._stage.unpack(self._sum, out, adding=True)


def _float32(chunk: Array, first: int, reach: float) -> Array:
    """Return `chunk` as float32.  Raises CodecError for what is not finite, or beyond `reach`."""
    with np.errstate(all="ignore"):
        values = as_float32(chunk, np.empty(0 if chunk.dtype == np.float32 else chunk.size, np.float32))
        if not (np.abs(values) <= np.float32(reach)).all():
            refuse(_NAME, chunk, first, reach)
    return values


def _check(numbers: Array, most: float, what: str) -> None:
    """Raise CodecError unless all of `numbers` are within ±`most`."""
    with np.errstate(all="ignore"):
        wrong = ~(np.abs(numbers) <= np.float32(most))
    if wrong.any():
        at = int(wrong.argmax())
        raise damaged(_NAME, f"{numbers[at]:g} at {at} of {what} is none that values have")
