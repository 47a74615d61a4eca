"""Bf16: the upper half of a float32, rounded to nearest, ties to even.

Wire form: one little-endian uint16 an element in row-major order: sign, 8 bits of
exponent, 7 of significand.  n elements take 2 n bytes.

Sound because bfloat16 has float32's exponents: an element is at most 2**-8 of itself
away (2**-134 where it is subnormal), whatever its neighbours.  The largest float32
values, which would round to infinity, become the largest bfloat16, within the same
bound.  Rounding to nearest is biased: the same value always errs the same way.

Source: Kalamkar et al. 2019, arXiv:1905.12322, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

import numpy as np

from tierfed.codecs import compiled
from tierfed.codecs.chunks import TILE, tiles
from tierfed.codecs.floats import BFLOAT16_CEILING, BFLOAT16_LARGEST, as_float32, narrow, pieces, refuse, unpack, widen
from tierfed.codecs.normal import as_float
from tierfed.codecs.stage import Array, ArrayStage, Buffer
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS, dtype_of

_CODE = np.dtype("<u2")
_SIGN = 0x8000
_HIGHEST = 0x7F7F  # the largest finite bfloat16
_HIGHEST_FLOAT16 = 0x4780  # 65536: what float16's largest, 65504, rounds to
_FLOAT16_LARGEST = np.float32(65504)


@dataclass(frozen=True, slots=True)
class Bf16(ArrayStage):
    """See the module docstring."""

    name: ClassVar[str] = "bf16"
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    lossy: ClassVar[bool] = True
    unbiased: ClassVar[bool] = False
    kernels: ClassVar[str] = "bf16"

    @property
    def nmse(self) -> float:
        return as_float(7, -126)

    def nbytes(self, size: int, dtype: str) -> int:
        return size * _CODE.itemsize

    def encode(self, chunk: Array, first: int, stream: Stream) -> Buffer:
        codes = np.empty(chunk.size, _CODE)
        loops = compiled.kernels("bf16", chunk)
        if loops is not None and all(loops.encode(x, codes[tile]) for tile, x in pieces(chunk)):
            return codes.view(np.uint8).data
        work = np.empty(min(chunk.size, TILE), np.uint32)
        held = np.empty(0 if chunk.dtype == np.float32 else work.size, np.float32)
        with np.errstate(all="ignore"):
            for tile in tiles(chunk.size):
                size = tile.stop - tile.start
                x = as_float32(chunk[tile], held[:size])
                if not (x.max() <= BFLOAT16_CEILING and x.min() >= -BFLOAT16_CEILING):  # a NaN too
                    if not np.isfinite(x).all():
                        refuse(self.name, chunk, first)
                    x = np.clip(x, -BFLOAT16_LARGEST, BFLOAT16_LARGEST)
                narrow(x, codes[tile], work[:size])
        return codes.view(np.uint8).data

    def decode(self, data: memoryview, out: Array) -> None:
        _unpack(data, out, adding=False)

    def accumulate(self, data: memoryview, out: Array) -> None:
        _unpack(data, out, adding=True)

    def check(self, data: memoryview, size: int, dtype: str) -> bool:
        like = np.empty(size, dtype_of(dtype))  # of which nothing is touched
        _checked(data, like, compiled.kernels("bf16", like))
        return True

    def bound(self, chunk: Array) -> Array:
        return np.maximum(np.abs(chunk.astype(np.float64)) * 2.0**-8, 2.0**-134)


def _unpack(data: memoryview, out: Array, *, adding: bool) -> None:
    half = out.dtype == np.float16
    loops = None if half else compiled.kernels("bf16", out)
    codes = _checked(data, out, loops)

    def write(tile: slice, width: int, values: Array) -> None:
        widen(codes[tile], values)
        if half:
            np.clip(values, -_FLOAT16_LARGEST, _FLOAT16_LARGEST, out=values)

    def whole(tile: slice, values: Array, adding: bool) -> None:
        assert loops is not None  # or this is not called
        (loops.add if adding else loops.decode)(codes[tile], values)

    with np.errstate(all="ignore"):
        unpack(out, write, width=1, adding=adding, whole=whole if loops is not None else None)


def _checked(data: memoryview, out: Array, loops: ModuleType | None) -> Array:
    """Return the codes in `data`; raises CodecError for what `encode` never writes."""
    codes = np.frombuffer(data, _CODE)
    highest = _HIGHEST_FLOAT16 if out.dtype == np.float16 else _HIGHEST
    if loops is not None:
        codes = np.require(codes, requirements="A")
        beyond = loops.highest(codes) > highest
    else:
        beyond = codes.size and (codes.view("<i2").max() > highest or codes.max() > _SIGN + highest)
    if beyond:
        at = int(np.argmax((codes & ~np.uint16(_SIGN)) > highest))
        raise CodecError(
            f"code 0x{codes[at]:04x} at element {at} is none that {out.dtype.name} values have",
            where="bf16",
            mend="the bytes were damaged or written by another codec: name one codec for both ends of the link",
        )
    return codes
