"""Terngrad: each element as the largest magnitude of its block, its negative, or zero, drawn so that the mean is x.

    scale = max |x| of the block       x̂ = sign(x) · scale with probability |x| / scale, else 0

Wire form: the scales as little-endian float32, one a block of 4096 (the last block may be
shorter), then for each block its digits x̂ / scale + 1, in 0 … 2, five a byte: the first in
the ones, then in the threes, nines, 27s and 81s; the last byte of a block is filled up with
zeros.  A whole block takes 4 + 820 bytes, 1.609 bits an element.

Unbiased: the probability is kept to 2^-17, the random 16 bits of the element being compared with
|x| / scale.  The variance is high, |x| (scale - |x|) an element; the errors of many
senders, whose streams differ, average out.

Source: Wen et al. 2017, arXiv:1705.07878, equations 1 and 2, with a scale for each 4096
elements in the place of one for each layer.  Their clipping at 2.5 deviations is for the
stage before (`clip`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tierfed.codecs import compiled
from tierfed.codecs.chunks import TILE, rows
from tierfed.codecs.floats import INFINITY, MAGNITUDE, as_float32, ceiling, longest, refuse, unpack
from tierfed.codecs.normal import on_grid
from tierfed.codecs.stage import Array, ArrayStage, Buffer
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS, dtype_of

BLOCK = 4096  # elements that share a scale
_SCALE = np.dtype("<f4")
_DIGITS = 5  # in a byte: 3**5 = 243
_POWERS = np.array([1, 3, 9, 27, 81], np.uint8)
_HIGHEST = 242  # of a byte
_LINE = -(-BLOCK // _DIGITS)  # bytes of the digits of a whole block
_VALUES = (np.arange(256)[:, None] // _POWERS % 3 - 1).astype(np.int8)  # of each byte
_HALF = np.float32(0.5)
_DRAWS = np.float32(65536)


@dataclass(frozen=True, slots=True)
class Terngrad(ArrayStage):
    """See the module docstring."""

    name: ClassVar[str] = "terngrad"
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    lossy: ClassVar[bool] = True
    unbiased: ClassVar[bool] = True
    kernels: ClassVar[str] = "terngrad"

    @property
    def nmse(self) -> float:
        return on_grid(1, BLOCK, stochastic=True)

    def nbytes(self, size: int, dtype: str) -> int:
        return _header(size) + _digit_bytes(size)

    def encode(self, chunk: Array, first: int, stream: Stream) -> Buffer:
        data = np.empty(self.nbytes(chunk.size, ""), np.uint8)
        scales, lines = data[: _header(chunk.size)].view(_SCALE), data[_header(chunk.size) :]
        work, held = np.empty((2, min(chunk.size, TILE)), np.float32)
        loops = compiled.kernels("terngrad", chunk) if stream.begins(first) else None
        with np.errstate(all="ignore"):
            for tile, width in rows(chunk.size, BLOCK, longest(chunk, loops)):
                size = tile.stop - tile.start
                x = as_float32(chunk[tile], held[:size])
                if loops is not None and width == BLOCK:
                    to = scales[tile.start // BLOCK :], lines[_line(tile.start) : _line(tile.stop)].reshape(-1, _LINE)
                    if not loops.encode(x.reshape(-1, BLOCK), *to, *stream.place(first + tile.start)):
                        refuse(self.name, chunk, first)
                    continue
                chance = work[:size]
                np.bitwise_and(x.view(np.uint32), MAGNITUDE, out=chance.view(np.uint32))
                top = chance.view(np.uint32).reshape(-1, width).max(axis=1)
                if top.max() >= INFINITY:  # a NaN is above it
                    refuse(self.name, chunk, first)
                scale = top.view(np.float32)
                scales[tile.start // BLOCK :][: scale.size] = scale
                scale[scale == 0] = 1  # a block of zeros
                negative = (x < 0).view(np.int8)
                grid = chance.reshape(-1, width)
                np.divide(grid, scale[:, None], out=grid)
                np.multiply(chance, _DRAWS, out=chance)
                drawn = held[:size]  # x is not needed any more
                np.copyto(drawn, stream.sixteen(first + tile.start, size))
                np.add(drawn, _HALF, out=drawn)
                digits = _signed(np.less(drawn, chance).view(np.int8), negative)
                lines[_line(tile.start) :][: _digit_bytes(size)] = _packed(digits.reshape(-1, width))
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
        """How far the farther one of zero and the scale is."""
        x = np.abs(chunk.astype(np.float64))
        top = np.maximum.reduceat(x, np.arange(0, x.size, BLOCK)) if x.size else x
        wide = np.repeat(top, BLOCK)[: x.size]
        farther: Array = np.where(x > 0, np.maximum(x, wide - x), 0) + 2.0**-24 * wide
        return farther


def _header(size: int) -> int:
    """Return the bytes of the scales of `size` elements."""
    return -(-size // BLOCK) * _SCALE.itemsize


def _digit_bytes(size: int) -> int:
    """Return the bytes of the digits of `size` elements."""
    return size // BLOCK * _LINE + -(-(size % BLOCK) // _DIGITS)


def _line(start: int) -> int:
    """Return where the digits of a block start that starts at element `start`."""
    return start // BLOCK * _LINE


def _signed(kept: Array, negative: Array) -> Array:
    """Return the digits (uint8) of elements that are `kept` or not, and `negative` or not."""
    np.multiply(negative, np.int8(-2), out=negative)
    np.add(negative, np.int8(1), out=negative)
    np.multiply(kept, negative, out=kept)
    np.add(kept, np.int8(1), out=kept)
    return kept.view(np.uint8)


def _packed(digits: Array) -> Array:
    """Return the bytes of rows of digits."""
    count, width = digits.shape
    filled = np.zeros((count, -(-width // _DIGITS), _DIGITS), np.uint8)
    filled.reshape(count, -1)[:, :width] = digits
    packed = filled[:, :, 0].copy()
    for place in range(1, _DIGITS):
        packed += filled[:, :, place] * _POWERS[place]
    return packed.reshape(-1)


def _unpack(data: memoryview, out: Array, *, adding: bool) -> None:
    scales, lines = _checked(data, out)

    def write(tile: slice, width: int, values: Array) -> None:
        grid = values.reshape(-1, width)
        packed = lines[_line(tile.start) :][: _digit_bytes(values.size)]
        digits = np.take(_VALUES, packed, axis=0, mode="clip").reshape(len(grid), -1)
        np.copyto(grid, digits[:, :width])
        np.multiply(grid, scales[tile.start // BLOCK :][: len(grid), None], out=grid)

    loops = compiled.kernels("terngrad", out)

    def whole(tile: slice, values: Array, adding: bool) -> None:
        assert loops is not None  # or this is not called
        packed = lines[_line(tile.start) : _line(tile.stop)].reshape(-1, _LINE)
        (loops.add if adding else loops.decode)(packed, scales[tile.start // BLOCK :], values.reshape(-1, BLOCK))

    with np.errstate(all="ignore"):
        unpack(out, write, width=BLOCK, adding=adding, whole=whole if loops is not None else None)


def _checked(data: memoryview, out: Array) -> tuple[Array, Array]:
    """Return the scales and digits in `data`; raises CodecError for what `encode` never writes."""
    scales = np.frombuffer(data[: _header(out.size)], _SCALE).astype(np.float32)
    lines = np.frombuffer(data[_header(out.size) :], np.uint8)
    wrong = None
    if scales.size:
        highest = scales.view(np.uint32).max()  # a negative scale or a NaN is above all others
        ends = lines[_LINE - 1 :: _LINE]  # of whole blocks
        if highest >= INFINITY or highest.view(np.float32) > ceiling(out.dtype):
            at = int(scales.view(np.uint32).argmax())
            wrong = f"scale {scales[at]:g} of block {at} is none that {out.dtype.name} values have"
        elif lines.max() > _HIGHEST:
            wrong = f"byte {lines.max()} at {int(lines.argmax())} is no five digits"
        elif (ends.size and ends.max() >= 3 ** _last(BLOCK)) or (
            out.size % BLOCK and lines[-1] >= 3 ** _last(out.size % BLOCK)
        ):
            wrong = f"digits are set after the end of a block of the {out.size} elements"
    if wrong is not None:
        raise CodecError(
            wrong,
            where="terngrad",
            mend="the bytes were damaged or written by another codec: name one codec for both ends of the link",
        )
    return scales, lines


def _last(size: int) -> int:
    """Return the digits in the last byte of a block of `size` elements."""
    return (size - 1) % _DIGITS + 1
