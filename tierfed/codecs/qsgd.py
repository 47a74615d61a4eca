"""Qsgd: a few bits an element, rounded at random so that the mean is what was encoded.

    levels = 2^(bits-1) - 1     scale = max |x| of the block / levels     code = ⌊x / scale⌋ or ⌈x / scale⌉

Wire form: the scales as little-endian float32, one a block of 256 (the last block may be
shorter), then code + levels, in 0 … 2 levels, as `bits` planes (planes.py).  n
elements take bits ceil(n / 8) + 4 ceil(n / 256) bytes: bits + 0.125 bits an element.

Sound as grids.py says: unbiased, each element within a scale, zeros exact; the errors of
senders whose streams differ average out.

Source: Alistarh et al. 2017, arXiv:1610.02132, section 3.1, with the maximum of a block for
its norm, as in the paper's experiments (section 5): it bounds every element.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tierfed.codecs import compiled, grids, planes
from tierfed.codecs.chunks import TILE
from tierfed.codecs.normal import on_grid
from tierfed.codecs.stage import Array, ArrayStage, Buffer
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS, dtype_of

BITS = range(2, 9)


@dataclass(frozen=True, slots=True)
class Qsgd(ArrayStage):
    """See the module docstring; `bits` is 2 to 8."""

    name: ClassVar[str] = "qsgd"
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    lossy: ClassVar[bool] = True
    unbiased: ClassVar[bool] = True
    kernels: ClassVar[str] = "qsgd"
    bits: int = 4

    def __post_init__(self) -> None:
        if type(self.bits) is not int or self.bits not in BITS:
            raise CodecError(f"there are no {self.bits!r} bits", where="qsgd", mend="give 2 to 8 bits")

    @property
    def _levels(self) -> int:
        return (1 << (self.bits - 1)) - 1

    @property
    def nmse(self) -> float:
        return on_grid(self._levels, grids.BLOCK, stochastic=True)

    def nbytes(self, size: int, dtype: str) -> int:
        return grids.header(size) + planes.nbytes(size, self.bits)

    def encode(self, chunk: Array, first: int, stream: Stream) -> Buffer:
        data = np.empty(self.nbytes(chunk.size, ""), np.uint8)
        header = grids.header(chunk.size)
        scales, rows = data[:header].view(grids.SCALE), planes.planes_of(data[header:], self.bits)
        codes = np.empty(min(chunk.size, TILE), np.uint8)

        def put(tile: slice, values: Array) -> None:
            part = codes[: values.size]
            np.copyto(part.view(np.int8), values, casting="unsafe")
            np.add(part, np.uint8(self._levels), out=part)
            planes.write(part, rows, tile)

        loops = compiled.kernels("qsgd", chunk) if stream.begins(first) else None

        def whole(tile: slice, x: Array) -> bool:
            assert loops is not None  # or this is not called
            to = grids.scales_of(scales, tile), rows, tile.start // grids.BLOCK
            return bool(loops.encode(x, *to, np.float32(self._levels), *stream.place(first + tile.start)))

        grids.quantise(
            self.name,
            chunk,
            first,
            scales,
            put,
            steps=self._levels,
            stream=stream,
            whole=whole if loops is not None else None,
        )
        return data.data

    def decode(self, data: memoryview, out: Array) -> None:
        self._unpack(data, out, adding=False)

    def accumulate(self, data: memoryview, out: Array) -> None:
        self._unpack(data, out, adding=True)

    def check(self, data: memoryview, size: int, dtype: str) -> bool:
        self._checked(data, size, dtype_of(dtype))
        return True

    def bound(self, chunk: Array) -> Array:
        return grids.bound(chunk, self._levels, stochastic=True)

    def _unpack(self, data: memoryview, out: Array, *, adding: bool) -> None:
        scales, rows = self._checked(data, out.size, out.dtype)
        levels = np.float32(self._levels)

        def get(tile: slice, values: Array) -> None:
            np.copyto(values, planes.read(rows, tile))
            np.subtract(values, levels, out=values)

        loops = compiled.kernels("qsgd", out)

        def whole(tile: slice, values: Array, adding: bool) -> None:
            assert loops is not None  # or this is not called
            blocks = rows, tile.start // grids.BLOCK, grids.scales_of(scales, tile)
            (loops.add if adding else loops.decode)(*blocks, levels, values.reshape(-1, grids.BLOCK))

        grids.dequantise(scales, get, out, adding=adding, whole=whole if loops is not None else None)

    def _checked(self, data: memoryview, size: int, dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """Return the scales and planes in `data`; raises CodecError for what `encode` never writes."""
        scales = grids.scales_in(data, size)
        rows = planes.planes_of(np.frombuffer(data, np.uint8, offset=grids.header(size)), self.bits)
        loops = compiled.checking("qsgd", size)
        highest = grids.highest_scale(dtype, self._levels)
        if loops is not None and loops.fine(scales.view(np.uint32), rows, size, highest):
            return scales, rows
        wrong = grids.wrong_scale(scales, dtype, self._levels)
        above = np.bitwise_and.reduce(rows, axis=0)  # the code of ones alone is one too many
        if wrong is None and above.any():
            at = int(np.argmax(np.unpackbits(above, bitorder="little")))
            wrong = f"code {2**self.bits - 1} at element {at} is off the grid"
        if wrong is None and planes.is_filled_up(rows, size):
            wrong = f"bits are set after the {size} elements"
        if wrong is not None:
            raise CodecError(
                wrong,
                where="qsgd",
                mend="the bytes were damaged or written by another codec: name one codec for both ends of the link",
            )
        return scales, rows
