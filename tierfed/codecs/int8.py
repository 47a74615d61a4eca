"""Int8: one byte an element, on an even grid of its own for each 256 elements.

    scale = max |x| of the block / 127          code = round(x / scale), in -127 … 127

Wire form: the scales as little-endian float32, one a block of 256 (the last block may be
shorter), then one int8 an element in row-major order.  n elements take
n + 4 ceil(n / 256) bytes, 8.125 bits an element.

Sound because |x / scale| <= 127, so nothing is clipped, and rounding to nearest leaves
each element within half a scale.  A scale below the normal float32 range is rounded
up, or few bits of it would be left and the codes would pass 127; the scale of the very
largest floats is rounded down to one whose 127-fold is still finite.  Rounding to
nearest is biased, but has half the error of an unbiased rounding.

Source: block-wise absmax quantisation as in Dettmers et al. 2022, arXiv:2110.02861,
section 2.1, with a linear grid in the place of the dynamic one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tierfed.codecs.chunks import TILE, rows
from tierfed.codecs.floats import INFINITY, MAGNITUDE, as_float32, ceiling, refuse, unpack
from tierfed.codecs.stage import Array, ArrayStage, Buffer
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS

BLOCK = 256  # elements that share a scale
_SCALE = np.dtype("<f4")
_STEPS = np.float32(127)
_SMALLEST_NORMAL = np.finfo(np.float32).smallest_normal
_LARGEST_SCALE = np.nextafter(np.finfo(np.float32).max / _STEPS, np.float32(0))


@dataclass(frozen=True, slots=True)
class Int8(ArrayStage):
    """See the module docstring."""

    name: ClassVar[str] = "int8"
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    lossy: ClassVar[bool] = True
    unbiased: ClassVar[bool] = False

    def nbytes(self, size: int, dtype: str) -> int:
        return size + _header(size)

    def encode(self, chunk: Array, first: int) -> Buffer:
        data = np.empty(self.nbytes(chunk.size, ""), np.uint8)
        scales, codes = data[: _header(chunk.size)].view(_SCALE), data[_header(chunk.size) :].view(np.int8)
        work, held = np.empty((2, min(chunk.size, TILE)), np.float32)
        with np.errstate(all="ignore"):
            for tile, width in rows(chunk.size, BLOCK):
                size = tile.stop - tile.start
                x = as_float32(chunk[tile], held[:size])
                scale = _scales(x, width, work[:size].view(np.uint32))
                if scale is None:
                    refuse(self.name, chunk, first)
                scales[tile.start // BLOCK :][: scale.size] = scale
                scale[scale == 0] = 1  # a block of zeros
                code = np.divide(x.reshape(-1, width), scale[:, None], out=work[:size].reshape(-1, width))
                np.rint(code, out=code)
                np.copyto(codes[tile], code.reshape(-1), casting="unsafe")
        return data.data

    def decode(self, data: memoryview, out: Array) -> None:
        _unpack(data, out, adding=False)

    def accumulate(self, data: memoryview, out: Array) -> None:
        _unpack(data, out, adding=True)

    def bound(self, chunk: Array) -> Array:
        """Half a scale, and half a unit more where scales are subnormal."""
        x = np.abs(chunk.astype(np.float64))
        starts = np.arange(0, x.size, BLOCK)
        top = np.maximum.reduceat(x, starts) if x.size else x
        half = top / 254 + 2.0**-150
        return np.repeat(half, BLOCK)[: x.size]


def _header(size: int) -> int:
    """Return the bytes of the scales of `size` elements."""
    return -(-size // BLOCK) * _SCALE.itemsize


def _scales(x: Array, width: int, work: Array) -> Array | None:
    """Return the scale of each row of `x`, None if one holds a NaN or an infinity.

    Magnitudes are compared as integers, in which order a NaN comes above infinity.
    """
    np.bitwise_and(x.view(np.uint32), MAGNITUDE, out=work)
    top = work.reshape(-1, width).max(axis=1)
    if top.max() >= INFINITY:
        return None
    scale: Array = np.minimum(top.view(np.float32) / _STEPS, _LARGEST_SCALE)
    small = scale < _SMALLEST_NORMAL
    if small.any():
        short = small & (scale.astype(np.float64) * 127 < top.view(np.float32))
        scale[short] = np.nextafter(scale[short], np.float32(1))
    return scale


def _unpack(data: memoryview, out: Array, *, adding: bool) -> None:
    scales, codes = _checked(data, out)

    def write(tile: slice, width: int, values: Array) -> None:
        np.copyto(values, codes[tile])
        grid = values.reshape(-1, width)
        np.multiply(grid, scales[tile.start // BLOCK :][: len(grid), None], out=grid)

    with np.errstate(all="ignore"):
        unpack(out, write, width=BLOCK, adding=adding)


def _checked(data: memoryview, out: Array) -> tuple[Array, Array]:
    """Return the scales and codes in `data`; raises CodecError for what `encode` never writes."""
    header = _header(out.size)
    scales = np.frombuffer(data[:header], _SCALE).astype(np.float32)  # aligned and native
    codes = np.frombuffer(data[header:], np.int8)
    if not out.size:
        return scales, codes
    highest = scales.view(np.uint32).max()  # a negative scale or a NaN is above all others
    wrong = None
    with np.errstate(all="ignore"):
        if highest >= INFINITY or highest.view(np.float32) * _STEPS > ceiling(out.dtype):
            at = int(scales.view(np.uint32).argmax())
            wrong = f"scale {scales[at]:g} of block {at} is none that {out.dtype.name} values have"
    if wrong is None and codes.min() == -128:
        wrong = f"code -128 at element {int(codes.argmin())} is off the grid"
    if wrong is not None:
        raise CodecError(
            wrong,
            where="int8",
            mend="the bytes were damaged or written by another codec: name one codec for both ends of the link",
        )
    return scales, codes
