"""Int8: one byte an element, on an even grid of its own for each 256 elements.

    scale = max |x| of the block / 127          code = round(x / scale), in -127 … 127
    int8          to the nearest                int8(stochastic=true)      down or up, unbiased

Wire form: the scales as little-endian float32, one a block of 256 (the last block may be
shorter), then one int8 an element in row-major order.  n elements take
n + 4 ceil(n / 256) bytes, 8.125 bits an element.

Sound as grids.py says.  Rounding to nearest leaves each element within half a scale, and is
biased: the same value always errs the same way.  Stochastic rounding leaves it within a
scale, at twice the squared error, and the errors of many senders average out.

Source: block-wise absmax quantisation as in Dettmers et al. 2022, arXiv:2110.02861,
section 2.1, with a linear grid in the place of the dynamic one; stochastic rounding as in
Gupta et al. 2015, arXiv:1502.02551, section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tierfed.codecs import compiled, grids
from tierfed.codecs.normal import on_grid
from tierfed.codecs.stage import Array, ArrayStage, Buffer
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS, dtype_of

_STEPS = 127


@dataclass(frozen=True, slots=True)
class Int8(ArrayStage):
    """See the module docstring."""

    name: ClassVar[str] = "int8"
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    lossy: ClassVar[bool] = True
    kernels: ClassVar[str] = "int8"
    stochastic: bool = False

    def __post_init__(self) -> None:
        if type(self.stochastic) is not bool:
            raise CodecError(f"stochastic is {self.stochastic!r}", where="int8", mend="write true or false")

    @property
    def unbiased(self) -> bool:
        return self.stochastic

    @property
    def nmse(self) -> float:
        return on_grid(_STEPS, grids.BLOCK, stochastic=self.stochastic)

    def nbytes(self, size: int, dtype: str) -> int:
        return size + grids.header(size)

    def encode(self, chunk: Array, first: int, stream: Stream) -> Buffer:
        data = np.empty(self.nbytes(chunk.size, ""), np.uint8)
        header = grids.header(chunk.size)
        scales, codes = data[:header].view(grids.SCALE), data[header:].view(np.int8)

        def put(tile: slice, values: Array) -> None:
            np.copyto(codes[tile], values, casting="unsafe")

        loops = compiled.kernels("int8", chunk)

        def whole(tile: slice, x: Array) -> bool:
            assert loops is not None  # or this is not called
            to = grids.scales_of(scales, tile), codes[tile].reshape(x.shape)
            if not self.stochastic:
                return bool(loops.nearest(x, *to))
            return bool(loops.stochastic(x, *to, *stream.place(first + tile.start)))

        drawn = stream if self.stochastic else None
        able = loops is not None and (drawn is None or drawn.begins(first))
        grids.quantise(self.name, chunk, first, scales, put, steps=_STEPS, stream=drawn, whole=whole if able else None)
        return data.data

    def decode(self, data: memoryview, out: Array) -> None:
        _unpack(data, out, adding=False)

    def accumulate(self, data: memoryview, out: Array) -> None:
        _unpack(data, out, adding=True)

    def check(self, data: memoryview, size: int, dtype: str) -> bool:
        _checked(data, size, dtype_of(dtype))
        return True

    def bound(self, chunk: Array) -> Array:
        return grids.bound(chunk, _STEPS, self.stochastic)


def _unpack(data: memoryview, out: Array, *, adding: bool) -> None:
    scales, codes = _checked(data, out.size, out.dtype)

    def get(tile: slice, values: Array) -> None:
        np.copyto(values, codes[tile])

    loops = compiled.kernels("int8", out)

    def whole(tile: slice, values: Array, adding: bool) -> None:
        assert loops is not None  # or this is not called
        blocks = codes[tile].reshape(-1, grids.BLOCK), grids.scales_of(scales, tile)
        (loops.add if adding else loops.decode)(*blocks, values.reshape(-1, grids.BLOCK))

    grids.dequantise(scales, get, out, adding=adding, whole=whole if loops is not None else None)


def _checked(data: memoryview, size: int, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Return the scales and codes in `data`; raises CodecError for what `encode` never writes."""
    scales, codes = grids.scales_in(data, size), np.frombuffer(data, np.int8, offset=grids.header(size))
    loops = compiled.checking("int8", size)
    if loops is not None and loops.fine(scales.view(np.uint32), codes, grids.highest_scale(dtype, _STEPS)):
        return scales, codes
    wrong = grids.wrong_scale(scales, dtype, _STEPS)
    if wrong is None and codes.size and codes.min() == -128:
        wrong = f"code -128 at element {int(codes.argmin())} is off the grid"
    if wrong is not None:
        raise CodecError(
            wrong,
            where="int8",
            mend="the bytes were damaged or written by another codec: name one codec for both ends of the link",
        )
    return scales, codes
