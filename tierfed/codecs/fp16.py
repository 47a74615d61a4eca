"""Fp16: IEEE half precision, rounded to nearest, ties to even.

Wire form: one little-endian float16 an element in row-major order: sign, 5 bits of
exponent, 10 of significand.  n elements take 2 n bytes.

An element is at most 2**-11 of itself away, an eighth of bf16's bound, or 2**-25 where it is
below 2**-14.  The price is the range: what would round to infinity (from 65520 on) is
refused, not turned into infinity, which would spoil a sum.  Rounding to nearest is biased:
the same value always errs the same way.

Source: IEEE 754-2019, binary16.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

import numpy as np

from tierfed.codecs import compiled
from tierfed.codecs.chunks import TILE, tiles
from tierfed.codecs.floats import FLOAT16_CEILING, as_float32, pieces, refuse, unpack
from tierfed.codecs.minifloats import Minifloat
from tierfed.codecs.normal import as_float
from tierfed.codecs.stage import Array, ArrayStage, Buffer
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS, dtype_of

_CODE = np.dtype("<u2")
_SIGN = 0x8000
_HIGHEST = 0x7BFF  # 65504, the largest finite float16
_FLOAT16 = Minifloat(fraction=10, lowest=-14, bits=16)


@dataclass(frozen=True, slots=True)
class Fp16(ArrayStage):
    """See the module docstring."""

    name: ClassVar[str] = "fp16"
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    lossy: ClassVar[bool] = True
    unbiased: ClassVar[bool] = False
    kernels: ClassVar[str] = "fp16"
    reach: ClassVar[float] = float(FLOAT16_CEILING)

    @property
    def nmse(self) -> float:
        return as_float(10, -14)

    def nbytes(self, size: int, dtype: str) -> int:
        return size * _CODE.itemsize

    def encode(self, chunk: Array, first: int, stream: Stream) -> Buffer:
        codes = np.empty(chunk.size, _CODE)
        loops = compiled.kernels("fp16", chunk)
        if loops is not None and all(loops.encode(x, codes[tile]) for tile, x in pieces(chunk)):
            return codes.view(np.uint8).data
        work = np.empty((2, min(chunk.size, TILE)), np.uint32)
        held = np.empty(0 if chunk.dtype == np.float32 else work.shape[1], np.float32)
        with np.errstate(all="ignore"):
            for tile in tiles(chunk.size):
                x = as_float32(chunk[tile], held[: tile.stop - tile.start])
                if not (x.max() <= FLOAT16_CEILING and x.min() >= -FLOAT16_CEILING):  # a NaN too
                    refuse(self.name, chunk, first, reach=self.reach)
                _FLOAT16.write(x, codes[tile], work)
        return codes.view(np.uint8).data

    def decode(self, data: memoryview, out: Array) -> None:
        _unpack(data, out, adding=False)

    def accumulate(self, data: memoryview, out: Array) -> None:
        _unpack(data, out, adding=True)

    def check(self, data: memoryview, size: int, dtype: str) -> bool:
        like = np.empty(size, dtype_of(dtype))  # of which nothing is touched
        _checked(data, compiled.kernels("fp16", like))
        return True

    def bound(self, chunk: Array) -> Array:
        return np.maximum(np.abs(chunk.astype(np.float64)) * 2.0**-11, 2.0**-25)


def _unpack(data: memoryview, out: Array, *, adding: bool) -> None:
    loops = compiled.kernels("fp16", out)
    codes = _checked(data, loops)

    def write(tile: slice, width: int, values: Array) -> None:
        np.copyto(values, codes[tile].view("<f2"))

    def whole(tile: slice, values: Array, adding: bool) -> None:
        assert loops is not None  # or this is not called
        (loops.add if adding else loops.decode)(codes[tile], values)

    with np.errstate(all="ignore"):
        unpack(out, write, width=1, adding=adding, whole=whole if loops is not None else None)


def _checked(data: memoryview, loops: ModuleType | None) -> Array:
    """Return the codes in `data`; raises CodecError for what `encode` never writes."""
    codes = np.frombuffer(data, _CODE)
    if loops is not None:
        codes = np.require(codes, requirements="A")
        beyond = loops.highest(codes) > _HIGHEST
    else:
        beyond = codes.size and (codes.view("<i2").max() > _HIGHEST or codes.max() > _SIGN + _HIGHEST)
    if beyond:
        at = int(np.argmax((codes & ~np.uint16(_SIGN)) > _HIGHEST))
        raise CodecError(
            f"code 0x{codes[at]:04x} at element {at} is no finite float16",
            where="fp16",
            mend="the bytes were damaged or written by another codec: name one codec for both ends of the link",
        )
    return codes
