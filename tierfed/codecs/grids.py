"""Grids: an even grid of its own for each block of 256 elements, which int8 and qsgd share.

    scale = max |x| of the block / steps          code = round(x / scale), in -steps … steps

Nearest: to the nearest code, ties to even.  Stochastic: down or up, with the
probability that makes the mean x; floor(x / scale + u) for u = (r + ½) / 2^16, where r is the
element's 16 random bits.  A value that is on the grid stays, so a zero is a zero.  The
16 bits leave the mean within 2^-17 of a step, which is the precision of x / scale for int8.

Sound because |x / scale| <= steps, so nothing is clipped by more than float32's
rounding.  A scale below the normal float32 range is rounded up, or few bits of it would be
left and the codes would pass `steps`; the scale of the very largest floats is rounded
down to one whose `steps`-fold is still finite.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tierfed.codecs.chunks import TILE, rows
from tierfed.codecs.floats import INFINITY, MAGNITUDE, as_float32, at_once, ceiling, longest, refuse, unpack
from tierfed.codecs.stage import Array
from tierfed.codecs.stream import Stream

BLOCK = 256  # elements that share a scale
SCALE = np.dtype("<f4")
_LARGEST = np.finfo(np.float32).max
_SMALLEST_NORMAL = np.finfo(np.float32).smallest_normal
_RANDOM_UNIT = np.float32(2.0**-16)
_RANDOM_HALF = np.float32(2.0**-17)


def header(size: int) -> int:
    """Return the bytes of the scales of `size` elements."""
    return -(-size // BLOCK) * SCALE.itemsize


def quantise(
    name: str,
    chunk: Array,
    first: int,
    scales: Array,
    put: Callable[[slice, Array], None],
    *,
    steps: int,
    stream: Stream | None,
    whole: Callable[[slice, Array], bool] | None = None,
) -> None:
    """Write the scales of `chunk`, and `put(tile, codes)` the codes of each tile, as float32.

    Nearest if there is no `stream`.  `whole(tile, x)`, if there is one, is the compiled form for whole blocks:
    it writes the scales and codes of float32 `x`, and returns whether all values are finite.
    Raises CodecError, as of the codec `name`, for what is not finite.
    """
    work, held = np.empty((2, min(chunk.size, TILE)), np.float32)
    with np.errstate(all="ignore"):
        for tile, width in rows(chunk.size, BLOCK, longest(chunk, whole)):
            size = tile.stop - tile.start
            x = as_float32(chunk[tile], held[:size])
            if whole is not None and width == BLOCK:
                if not whole(tile, x.reshape(-1, BLOCK)):
                    refuse(name, chunk, first)
                continue
            scale = _scales(x, width, work[:size].view(np.uint32), steps)
            if scale is None:
                refuse(name, chunk, first)
            scales[tile.start // BLOCK :][: scale.size] = scale
            scale[scale == 0] = 1  # a block of zeros
            codes = work[:size]
            np.divide(x.reshape(-1, width), scale[:, None], out=codes.reshape(-1, width))
            if stream is None:
                np.rint(codes, out=codes)
            else:
                up = held[:size]  # x is not needed any more
                np.copyto(up, stream.sixteen(first + tile.start, size))
                np.multiply(up, _RANDOM_UNIT, out=up)
                np.add(up, _RANDOM_HALF, out=up)
                np.add(codes, up, out=codes)
                np.floor(codes, out=codes)
                np.minimum(codes, np.float32(steps), out=codes)  # x / scale may have been rounded up
            put(tile, codes)


def dequantise(
    scales: Array,
    get: Callable[[slice, Array], None],
    out: Array,
    *,
    adding: bool,
    whole: Callable[[slice, Array, bool], None] | None = None,
) -> None:
    """Fill `out`, or add to it, from scales and from the codes that `get(tile, values)` writes as float32.

    `whole` is as for `floats.unpack`.
    """

    if whole is not None and at_once(out, BLOCK):
        whole(slice(0, out.size), out, adding)
        return

    def write(tile: slice, width: int, values: Array) -> None:
        get(tile, values)
        grid = values.reshape(-1, width)
        np.multiply(grid, scales[tile.start // BLOCK :][: len(grid), None], out=grid)

    with np.errstate(all="ignore"):
        unpack(out, write, width=BLOCK, adding=adding, whole=whole)


def scales_of(scales: Array, tile: slice) -> Array:
    """Return the scales of the blocks of a tile."""
    return scales[tile.start // BLOCK : -(-tile.stop // BLOCK)]


def scales_in(data: memoryview, size: int) -> Array:
    """Return the scales of `size` elements, with which `data` begins: float32, aligned and native."""
    scales = np.frombuffer(data, SCALE, -(-size // BLOCK)).astype(np.float32, copy=False)
    return scales if scales.flags.aligned else scales.copy()


@functools.cache
def highest_scale(dtype: np.dtype[Any], steps: int) -> np.uint32:
    """Return the bits of the highest scale of values of `dtype`; those of a negative scale and a NaN are above it."""
    most, by = ceiling(dtype), np.float32(steps)
    with np.errstate(all="ignore"):
        scale = np.nextafter(most / by, np.float32(np.inf))
        while scale * by > most:
            scale = np.nextafter(scale, np.float32(0))
    return np.uint32(scale.view(np.uint32))


def wrong_scale(scales: Array, dtype: np.dtype[Any], steps: int) -> str | None:
    """Return what is wrong if one of `scales` is none that values of `dtype` have."""
    bits = scales.view(np.uint32)
    if not bits.size or bits.max() <= highest_scale(dtype, steps):
        return None
    at = int(bits.argmax())
    return f"scale {scales[at]:g} of block {at} is none that {dtype.name} values have"


def bound(chunk: Array, steps: int, stochastic: bool) -> Array:
    """Return half a step, or one if `stochastic`, and half a unit more where scales are subnormal."""
    x = np.abs(chunk.astype(np.float64))
    top = np.maximum.reduceat(x, np.arange(0, x.size, BLOCK)) if x.size else x
    half = top / (2 * steps) + 2.0**-150
    return np.repeat(2 * half if stochastic else half, BLOCK)[: x.size]


def _scales(x: Array, width: int, work: Array, steps: int) -> Array | None:
    """Return the scale of each row of `x`, None if one holds a NaN or an infinity.

    Magnitudes are compared as integers, in which order a NaN comes above infinity.
    """
    np.bitwise_and(x.view(np.uint32), MAGNITUDE, out=work)
    top = work.reshape(-1, width).max(axis=1)
    if top.max() >= INFINITY:
        return None
    divisor = np.float32(steps)
    scale: Array = np.minimum(top.view(np.float32) / divisor, np.nextafter(_LARGEST / divisor, np.float32(0)))
    small = scale < _SMALLEST_NORMAL
    if small.any():
        short = small & (scale.astype(np.float64) * steps < top.view(np.float32))
        scale[short] = np.nextafter(scale[short], np.float32(1))
    return scale
