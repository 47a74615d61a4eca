"""Sign: one bit an element, and the mean magnitude of each 4096.

    x̂ = sign(x) · mean |x| of the block          a zero counts as positive

Wire form: the means as little-endian float32, one a block of 4096 (the last block may be
shorter), then a plane (planes.py) of bits that are set where x < 0.  n elements take
ceil(n / 8) + 4 ceil(n / 4096) bytes, 1.008 bits an element.

Of all x̂ that have one magnitude a block, this is the nearest to x: the squared error is that of
|x| about its mean, 1 - 2/π of the squared norm for normal numbers.  It is biased, on sparse
arrays above all, where most of what it gives are signs of nothing: such a codec
needs the residual of what it lost (error feedback) to be of use in training.

Source: Bernstein et al. 2018, arXiv:1802.04434; the mean as in Karimireddy et al. 2019,
arXiv:1901.09847, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tierfed.codecs import compiled, planes
from tierfed.codecs.chunks import TILE, rows
from tierfed.codecs.floats import INFINITY, as_float32, ceiling, longest, refuse, unpack
from tierfed.codecs.normal import by_sign
from tierfed.codecs.stage import Array, ArrayStage, Buffer
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS, dtype_of

BLOCK = 4096  # elements that share a magnitude
_MEAN = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class Sign(ArrayStage):
    """See the module docstring."""

    name: ClassVar[str] = "sign"
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    lossy: ClassVar[bool] = True
    unbiased: ClassVar[bool] = False
    kernels: ClassVar[str] = "sign"

    @property
    def nmse(self) -> float:
        return by_sign(BLOCK)

    def nbytes(self, size: int, dtype: str) -> int:
        return _header(size) + planes.nbytes(size, 1)

    def encode(self, chunk: Array, first: int, stream: Stream) -> Buffer:
        data = np.empty(self.nbytes(chunk.size, ""), np.uint8)
        means = data[: _header(chunk.size)].view(_MEAN)
        signs = planes.planes_of(data[_header(chunk.size) :], 1)
        work, held = np.empty((2, min(chunk.size, TILE)), np.float32)
        loops = compiled.kernels("sign", chunk)
        with np.errstate(all="ignore"):
            for tile, width in rows(chunk.size, BLOCK, longest(chunk, loops)):
                size = tile.stop - tile.start
                x = as_float32(chunk[tile], held[:size])
                if loops is not None and width == BLOCK:
                    block = tile.start // BLOCK
                    if not loops.encode(x.reshape(-1, BLOCK), means[block:], signs[0], block):
                        refuse(self.name, chunk, first)
                    continue
                np.abs(x, out=work[:size])
                mean = _means(work[:size].reshape(-1, width))
                if not np.isfinite(mean).all():  # a sum of finite float32s is finite in float64
                    refuse(self.name, chunk, first)
                means[tile.start // BLOCK :][: mean.size] = mean
                planes.write((x < 0).view(np.uint8), signs, tile)
        return data.data

    def decode(self, data: memoryview, out: Array) -> None:
        _unpack(data, out, adding=False)

    def accumulate(self, data: memoryview, out: Array) -> None:
        _unpack(data, out, adding=True)

    def check(self, data: memoryview, size: int, dtype: str) -> bool:
        like = np.empty(size, dtype_of(dtype))  # of which nothing is touched
        _checked(data, like)
        return True

    def bound(self, chunk: Array) -> Array:
        """How far the magnitude is from the mean of its block, in float32."""
        x = np.abs(chunk.astype(np.float64))
        starts = np.arange(0, x.size, BLOCK)
        sums = np.add.reduceat(x, starts) if x.size else x
        means = np.repeat(sums / np.minimum(BLOCK, x.size - starts), BLOCK)[: x.size]
        slack: Array = np.abs(x - means) + means * 2.0**-23 + 2.0**-149
        return slack


def _header(size: int) -> int:
    """Return the bytes of the means of `size` elements."""
    return -(-size // BLOCK) * _MEAN.itemsize


def _means(magnitudes: Array) -> Array:
    """Return the mean of each row as float32, summed in float64: float32 sums differ from machine to machine."""
    means: Array = np.add.reduce(magnitudes, axis=1, dtype=np.float64) / magnitudes.shape[1]
    return means.astype(np.float32)


def _unpack(data: memoryview, out: Array, *, adding: bool) -> None:
    means, signs = _checked(data, out)

    def write(tile: slice, width: int, values: Array) -> None:
        np.copyto(values, planes.read(signs, tile))
        np.multiply(values, np.float32(-2), out=values)
        np.add(values, np.float32(1), out=values)
        grid = values.reshape(-1, width)
        np.multiply(grid, means[tile.start // BLOCK :][: len(grid), None], out=grid)

    loops = compiled.kernels("sign", out)

    def whole(tile: slice, values: Array, adding: bool) -> None:
        assert loops is not None  # or this is not called
        block = tile.start // BLOCK
        (loops.add if adding else loops.decode)(signs[0], block, means[block:], values.reshape(-1, BLOCK))

    with np.errstate(all="ignore"):
        unpack(out, write, width=BLOCK, adding=adding, whole=whole if loops is not None else None)


def _checked(data: memoryview, out: Array) -> tuple[Array, Array]:
    """Return the means and the plane in `data`; raises CodecError for what `encode` never writes."""
    means = np.frombuffer(data[: _header(out.size)], _MEAN).astype(np.float32)
    signs = planes.planes_of(np.frombuffer(data[_header(out.size) :], np.uint8), 1)
    wrong = None
    if means.size:
        highest = means.view(np.uint32).max()  # a negative mean or a NaN is above all others
        if highest >= INFINITY or highest.view(np.float32) > ceiling(out.dtype):
            at = int(means.view(np.uint32).argmax())
            wrong = f"mean {means[at]:g} of block {at} is none that {out.dtype.name} values have"
        elif planes.is_filled_up(signs, out.size):
            wrong = f"bits are set after the {out.size} elements"
    if wrong is not None:
        raise CodecError(
            wrong,
            where="sign",
            mend="the bytes were damaged or written by another codec: name one codec for both ends of the link",
        )
    return means, signs
