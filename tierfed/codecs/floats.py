"""Floats: what the lossy codecs share, which all compute in float32.

    float16, float32, float64, bfloat16  ->  float32  ->  code  ->  float32  ->  the declared dtype

float64 is rounded to float32 on the way in; a value that float32 cannot hold is
refused, not turned into infinity.  NaN and infinity are refused before anything is
quantised: one of them would spoil its whole block, and through a sum the model.

bfloat16 is the upper half of a float32, so it is read by a shift and written by
adding half a unit (less one where the kept part is even: round to nearest, ties to
even) and shifting.  This needs no ml_dtypes, which takes longer to import than numpy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from tierfed.codecs.chunks import CHUNK, TILE, rows, tiles
from tierfed.codecs.stage import Array, add
from tierfed.errors import CodecError
from tierfed.types.dtypes import name_of

LARGEST = float(np.finfo(np.float32).max)
MAGNITUDE = np.uint32(0x7FFF_FFFF)  # the bits of a float32 without its sign
INFINITY = np.uint32(0x7F80_0000)  # its bits when infinite; above it, NaN
BFLOAT16_LARGEST = np.float32(float.fromhex("0x1.fep127"))
BFLOAT16_CEILING = np.uint32(0x7F7F_7FFF).view(np.float32)  # what is above rounds to infinity
FLOAT16_CEILING = np.nextafter(np.float32(65520), np.float32(0))  # as for bfloat16
_HALF, _ONE, _SHIFT = np.uint32(0x7FFF), np.uint32(1), np.uint32(16)


def is_bfloat16(array: Array) -> bool:
    """Return whether `array` is of ml_dtypes' bfloat16."""
    return array.dtype.kind not in "biufc" and name_of(array.dtype) == "bfloat16"


def as_float32(values: Array, into: Array) -> Array:
    """Return a tile as float32: `values` itself if it is, else converted in `into`.

    What float32 cannot hold becomes infinity there, for the caller to refuse.
    """
    if values.dtype == np.float32:
        return values
    if is_bfloat16(values):
        widen(values.view(np.uint16), into)
    else:
        np.copyto(into, values, casting="same_kind")
    return into


def widen(bits: Array, into: Array) -> None:
    """Write the bfloat16 numbers whose `bits` (uint16) are given into a float32 tile."""
    wide = into.view(np.uint32)
    np.copyto(wide, bits)
    np.left_shift(wide, _SHIFT, out=wide)


def narrow(values: Array, into: Array, work: Array) -> None:
    """Write the bits (uint16) of finite float32 `values`, rounded to bfloat16; `work` is uint32.

    What would round to infinity must have been clipped to BFLOAT16_LARGEST.
    """
    bits = values.view(np.uint32)
    np.right_shift(bits, _SHIFT, out=work)
    np.bitwise_and(work, _ONE, out=work)
    np.add(work, _HALF, out=work)
    np.add(work, bits, out=work)
    np.right_shift(work, _SHIFT, out=work)
    np.copyto(into, work, casting="unsafe")


def ceiling(dtype: np.dtype[Any]) -> np.float32:
    """Return the largest float32 that `dtype`, one of FLOATS, holds without becoming infinite."""
    if dtype.kind != "f":
        return BFLOAT16_CEILING
    return FLOAT16_CEILING if dtype.itemsize == 2 else np.finfo(np.float32).max


def pieces(chunk: Array) -> Iterator[tuple[slice, Array]]:
    """Yield `chunk` as float32: as one piece if it is, else tile by tile, each in the place of the one before."""
    if chunk.dtype == np.float32:
        yield slice(0, chunk.size), chunk
        return
    work = np.empty(min(chunk.size, TILE), np.float32)
    with np.errstate(all="ignore"):
        for tile in tiles(chunk.size):
            yield tile, as_float32(chunk[tile], work[: tile.stop - tile.start])


def longest(array: Array, compiled: object | None) -> int:
    """Return the elements of a tile of `array`: a `compiled` form, if there is one, takes float32 as it is."""
    return CHUNK if compiled is not None and array.dtype == np.float32 else TILE


def at_once(out: Array, width: int) -> bool:
    """Return whether a compiled form that takes rows of `width` float32 can fill `out` in one call."""
    return out.dtype == np.float32 and 0 < out.size <= CHUNK and not out.size % width


def unpack(
    out: Array,
    write: Callable[[slice, int, Array], None],
    *,
    width: int,
    adding: bool,
    whole: Callable[[slice, Array, bool], None] | None = None,
) -> None:
    """Fill `out`, or add to it, tile by tile, without a decoded array of its size.

    `write(tile, width, values)` puts a tile's float32 values, none above `ceiling`,
    into `values`; tiles are `chunks.rows` of `width`.  `whole(tile, values, adding)`, if there is one, is
    the compiled form for whole rows: it writes to float32 `values`, or adds.
    """
    direct = out.dtype == np.float32
    if whole is not None and at_once(out, width):
        whole(slice(0, out.size), out, adding)
        return
    most = min(out.size, TILE)
    work = np.empty(0 if direct and not adding else most, np.float32)
    rounded = np.empty(most if adding and not direct else 0, out.dtype)
    for tile, across in rows(out.size, width, longest(out, whole)):
        part = out[tile]
        if direct and whole is not None and across == width:
            whole(tile, part, adding)
            continue
        values = part if direct and not adding else work[: part.size]
        if whole is not None and across == width:
            whole(tile, values, False)
        else:
            write(tile, across, values)
        if not direct:
            to = rounded[: part.size] if adding else part
            _from_float32(values, to)
            values = to
        if adding:
            add(values, part)


def _from_float32(values: Array, to: Array) -> None:
    """Round float32 `values` to `to`'s dtype."""
    if is_bfloat16(to):
        narrow(values, to.view(np.uint16), np.empty(values.size, np.uint32))
    else:
        np.copyto(to, values, casting="same_kind")


def refuse(codec: str, chunk: Array, first: int, reach: float = LARGEST) -> NoReturn:
    """Raise the CodecError for the first value of `chunk` that is not within `reach` as float32.

    `first` is the index of the chunk's first element in its tensor.
    """
    work = np.empty(min(chunk.size, TILE), np.float32)
    with np.errstate(all="ignore"):
        for tile in tiles(chunk.size):
            values = chunk[tile]
            bad = ~(np.abs(as_float32(values, work[: values.size])) <= np.float32(reach))
            if bad.any():
                break
    at = int(np.argmax(bad))
    value = float(values[at])
    what = f"{value:g} at element {first + tile.start + at}"
    if reach < abs(value) <= LARGEST:
        raise CodecError(
            f"{what} is beyond {codec}, which ends at {reach:.6g}",
            where=codec,
            mend="scale the values down, or use codec bf16 on this link, which has the range of float32",
        )
    if math.isfinite(value):
        raise CodecError(
            f"{what} is beyond float32, in which {codec} computes; it ends at {LARGEST:.4g}",
            where=codec,
            mend="scale the values down, or use codec none on this link, which carries float64 as it is",
        )
    raise CodecError(
        f"{what} cannot be quantised",
        where=codec,
        mend="find the computation that made it, or use codec none on this link, which carries nan and infinity",
    )
