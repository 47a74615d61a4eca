"""Fp8: a float of eight bits, e4m3, with a power of two for each 4096 elements.

    2^(k-1) <= max |x| of the block < 2^k          code = e4m3(x / 2^e),  e = k - 9, or k - 8 near 2^k

Wire form: e + 127 as one byte a block of 4096 (the last block may be shorter), then one e4m3
an element in row-major order: sign, 4 bits of exponent, 3 of significand, rounded to nearest,
ties to even.  n elements take n + ceil(n / 4096) bytes, 8.002 bits an element.

A float where int8 has a grid: an element is at most 1/16 of itself away, whatever its
neighbours, down to 2^-15 of the largest of its block, and below that 2^-10 · 2^e.  So small
elements beside large ones survive, which int8 makes zeros; even ones are coarser.
e4m3 ends at 448, so e is k - 9 where max |x| <= 448 / 512 · 2^k, and one more above; no
code overflows.  Biased: the same value always errs the same way.

Source: Micikevicius et al. 2022, arXiv:2209.05433, section 3 (e4m3: one NaN, no infinity)
and section 2 (scales), with a power of two, so that scaling rounds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tierfed.codecs import compiled
from tierfed.codecs.chunks import TILE, rows
from tierfed.codecs.floats import BFLOAT16_LARGEST, INFINITY, MAGNITUDE, as_float32, longest, refuse, unpack
from tierfed.codecs.minifloats import Minifloat
from tierfed.codecs.normal import as_float
from tierfed.codecs.stage import Array, ArrayStage, Buffer
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS, dtype_of

BLOCK = 4096  # elements that share a power of two
_E4M3 = Minifloat(fraction=3, lowest=-6, bits=8)
_SIGN, _NAN = 0x80, 0x7F
_BIAS = 127
_LOWEST = -126  # of e: 2^-e is a float32
_ABOVE = 9  # e4m3 ends below 2^9 …
_FULL = np.uint32(0x0060_0000)  # … at 1.75 · 2^8: the fraction of 1.75 in a float32


def _value(code: int) -> float:
    """Return the value of an e4m3 code."""
    exponent, fraction = code >> 3 & 15, code & 7
    size = (8 + fraction) * 2.0 ** (exponent - 10) if exponent else fraction * 2.0**-9
    return -size if code & _SIGN else size


_VALUES = np.array([_value(code) for code in range(256)], np.float32)


@dataclass(frozen=True, slots=True)
class Fp8(ArrayStage):
    """See the module docstring."""

    name: ClassVar[str] = "fp8"
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    lossy: ClassVar[bool] = True
    unbiased: ClassVar[bool] = False
    kernels: ClassVar[str] = "fp8"

    @property
    def nmse(self) -> float:
        return as_float(_E4M3.fraction, _LOWEST)

    def nbytes(self, size: int, dtype: str) -> int:
        return _header(size) + size

    def encode(self, chunk: Array, first: int, stream: Stream) -> Buffer:
        data = np.empty(self.nbytes(chunk.size, ""), np.uint8)
        powers, codes = data[: _header(chunk.size)], data[_header(chunk.size) :]
        most = min(chunk.size, TILE)
        held, work = np.empty(most, np.float32), np.empty((2, most), np.uint32)
        loops = compiled.kernels("fp8", chunk)
        with np.errstate(all="ignore"):
            for tile, width in rows(chunk.size, BLOCK, longest(chunk, loops)):
                size = tile.stop - tile.start
                x = as_float32(chunk[tile], held[:size])
                if loops is not None and width == BLOCK:
                    to = powers[tile.start // BLOCK :], codes[tile].reshape(-1, BLOCK)
                    if not loops.encode(x.reshape(-1, BLOCK), *to):
                        refuse(self.name, chunk, first)
                    continue
                np.bitwise_and(x.view(np.uint32), MAGNITUDE, out=work[0, :size])
                top = work[0, :size].reshape(-1, width).max(axis=1)
                if top.max() >= INFINITY:  # a NaN is above it
                    refuse(self.name, chunk, first)
                e = _powers(top)
                powers[tile.start // BLOCK :][: e.size] = e + _BIAS
                scaled = held[:size]
                np.multiply(x.reshape(-1, width), _power_of_two(-e)[:, None], out=scaled.reshape(-1, width))
                _E4M3.write(scaled, codes[tile], work)
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
        x = np.abs(chunk.astype(np.float64))
        top = np.maximum.reduceat(x, np.arange(0, x.size, BLOCK)) if x.size else x
        e = _powers(top.astype(np.float32).view(np.uint32)).astype(np.float64)
        least: Array = np.maximum(x / 16, np.repeat(2.0 ** (e - 10), BLOCK)[: x.size])
        return least


def _header(size: int) -> int:
    """Return the bytes of the powers of `size` elements."""
    return -(-size // BLOCK)


def _powers(top: Array) -> Array:
    """Return e of blocks whose largest magnitudes have the bits `top`; the module docstring's k is exponent + 1."""
    exponent = (top >> np.uint32(23)).astype(np.int32) - _BIAS  # of a subnormal, -127: too low anyway
    over = (top & np.uint32(0x007F_FFFF)) > _FULL
    e: Array = np.maximum(exponent + 1 - _ABOVE + over, _LOWEST)
    return e


def _power_of_two(e: Array) -> Array:
    """Return 2^e as float32, for e from -126 to 127."""
    bits: Array = ((e + _BIAS) << 23).astype(np.uint32)
    return bits.view(np.float32)


def _largest(dtype: np.dtype[Any]) -> np.float32:
    """Return the largest float32 that `dtype` has."""
    if dtype.kind != "f":
        return BFLOAT16_LARGEST
    return np.float32(min(float(np.finfo(dtype).max), float(np.finfo(np.float32).max)))


def _unpack(data: memoryview, out: Array, *, adding: bool) -> None:
    powers, codes = _checked(data, out)
    largest = _largest(out.dtype)

    def write(tile: slice, width: int, values: Array) -> None:
        np.take(_VALUES, codes[tile], out=values, mode="clip")
        grid = values.reshape(-1, width)
        part = powers[tile.start // BLOCK :][: len(grid)]
        np.multiply(grid, part[:, None], out=grid)
        if part.max() * _VALUES[_NAN - 1] > largest:  # what was near the end may have been rounded beyond it
            np.clip(values, -largest, largest, out=values)

    loops = compiled.kernels("fp8", out)

    def whole(tile: slice, values: Array, adding: bool) -> None:
        assert loops is not None  # or this is not called
        blocks = codes[tile].reshape(-1, BLOCK), powers[tile.start // BLOCK :]
        (loops.add if adding else loops.decode)(*blocks, largest, values.reshape(-1, BLOCK))

    with np.errstate(all="ignore"):
        unpack(out, write, width=BLOCK, adding=adding, whole=whole if loops is not None else None)


def _checked(data: memoryview, out: Array) -> tuple[Array, Array]:
    """Return the powers of two and codes in `data`; raises CodecError for what `encode` never writes."""
    written = np.frombuffer(data[: _header(out.size)], np.uint8)
    codes = np.frombuffer(data[_header(out.size) :], np.uint8)
    e = written.astype(np.int32) - _BIAS
    wrong = None
    if e.size:
        highest = int(_powers(np.array([_largest(out.dtype)]).view(np.uint32))[0])
        if e.min() < _LOWEST or e.max() > highest:
            at = int(np.argmax((e < _LOWEST) | (e > highest)))
            wrong = f"2^{e[at]} of block {at} is no scale that {out.dtype.name} values have"
        elif (codes & _NAN).max() == _NAN:
            at = int(np.argmax((codes & _NAN) == _NAN))
            wrong = f"code 0x{codes[at]:02x} at element {at} is no number"
    if wrong is not None:
        raise CodecError(
            wrong,
            where="fp8",
            mend="the bytes were damaged or written by another codec: name one codec for both ends of the link",
        )
    return _power_of_two(e), codes
