"""Kernels of eden and drive; see codecs/eden.py and codecs/rotation.py, which say the same in numpy.

    x → [scaled, signs, rows 1 2 4] … turns.py … [rows 8 16 32, squares] [planes, products] → codes

A block of 4096 is 16 KiB, so all is done to one block before the next is read.

Same bits: a sum that adds halves to halves starts with the rows that the last pass holds.  The code of a magnitude is
found by halving: edges do not fall, so it is the number of edges that are below.  Codes of fewer
than four bits have edges of infinity; the sign is in the last plane in any case.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tierfed.codecs.fast.jit import as_float, kernel, part
from tierfed.codecs.fast.lanes import LANES, Lanes, Value, straight
from tierfed.codecs.fast.turns import (
    BLOCK,
    FAR,
    HELD,
    NEAR,
    SIDE,
    TURN,
    between,
    far_scaled,
    rows_at,
    scaled_near,
    write,
)

_PLANE, _PLANES = BLOCK // 8, 4  # bytes of a plane of a block; planes
_LEVELS = 8
_U = np.uint32
_INFINITY = _U(0x7F80_0000)
_ROTATED = np.float32(2.0**-12)  # what a rotation and its inverse leave to divide by

_READ = "Array(float32,1,'C',readonly=True)"
_READ_BYTES = "Array(uint8,1,'C',readonly=True)"


def code(x: Any, signs: Any, centroids: Any, codes: Any, first: int) -> tuple[Any, Any, Any] | None:
    """Write the codes of the blocks `x` (float32) to the planes `codes`, from the block `first` on.

    `signs` are the bytes of theirs.  Returns, a number a block, what they were scaled by as exponents of two, and the
    sums of squares and of products with their centroids once rotated; None if a value is not finite.
    """
    edges = np.full(_LEVELS - 1, np.inf, np.float32)
    edges[: centroids.size - 1] = (centroids[1:] + centroids[:-1]) / np.float32(2)
    count = x.size // BLOCK
    exponents, squares, products = np.empty(count, np.int32), *np.empty((2, count), np.float32)
    bits, flat = len(codes), codes.reshape(-1)
    if not _code(x, signs, edges, _padded(centroids), flat, bits, first, exponents, squares, products):
        return None
    return exponents, squares, products


def decode(
    codes: Any, first: int, signs: Any, centroids: Any, scales: Any, largest: Any, out: Any, adding: bool
) -> None:
    """Fill the blocks `out` (float32), or add to them, from the planes `codes`, from the block `first` on.

    Values are clipped to `largest`.
    """
    _decode(codes.reshape(-1), len(codes), first, signs, _padded(centroids * _ROTATED), scales, largest, out, adding)


def _padded(centroids: Any) -> Any:
    table = np.zeros(_LEVELS, np.float32)
    table[: centroids.size] = centroids
    return table


@straight
def _looked_up_near(lanes: Lanes, codes: Value, at: Value, table: Value, to: Value, into: Value) -> None:
    """Look codes up, and take the first pass."""
    levels, rows = lanes.each(table, _LEVELS), []
    for i in range(HELD):
        byte = lanes.plus(at, NEAR // 8 * i)
        *index, minus = (lanes.mask(codes, lanes.plus(byte, _PLANE * p)) for p in range(_PLANES))
        rows.append(lanes.flipped(minus, lanes.picked(index, levels)))
    write(lanes, lanes.butterflies(rows), to, into, NEAR)


@straight
def _far_squares(lanes: Lanes, x: Value, at: Value, sums: Value) -> None:
    """Take the second pass, and begin to sum squares."""
    rows = lanes.butterflies(rows_at(lanes, x, at, FAR))
    write(lanes, rows, x, at, FAR)
    lanes.store(lanes.halves_added([lanes.b.fmul(row, row) for row in rows]), sums, at)


@straight
def _quantised(
    lanes: Lanes, x: Value, at: Value, edges: Value, table: Value, codes: Value, byte: Value, sums: Value
) -> None:
    """Write the four planes, and begin to sum products; `edges` are those of the block."""
    e, levels, products = lanes.each(edges, _LEVELS - 1), lanes.each(table, _LEVELS), []
    for i, row in enumerate(rows_at(lanes, x, at, FAR)):
        magnitudes = lanes.magnitudes(row)
        high = lanes.above(magnitudes, e[3])
        middle = lanes.above(magnitudes, lanes.picked([high], [e[1], e[5]]))
        low = lanes.above(magnitudes, lanes.picked([middle, high], [e[0], e[2], e[4], e[6]]))
        products.append(lanes.b.fmul(lanes.picked([low, middle, high], levels), magnitudes))
        for p, mask in enumerate((low, middle, high, lanes.minuses(row))):
            lanes.store_mask(mask, codes, lanes.plus(byte, _PLANE * p + FAR // 8 * i))
    lanes.store(lanes.halves_added(products), sums, at)


@straight
def _copied(lanes: Lanes, codes: Value, at: Value, to: Value, into: Value) -> None:
    lanes.copy(codes, at, to, into, _PLANE)


@straight
def _tops(lanes: Lanes, x: Value, at: Value, tops: Value, to: Value) -> None:
    """Raise `tops` to the magnitudes that are larger."""
    highest = lanes.load(tops, to)
    for row in rows_at(lanes, x, at, LANES):
        highest = lanes.larger(highest, lanes.magnitudes(row))
    lanes.store(highest, tops, to)


@part
def _sum(sums: Any) -> Any:
    """Return the sum of 8 rows of 64, adding halves to halves; they are overwritten."""
    half = sums.size // 2
    while half:
        for i in range(half):
            sums[i] += sums[half + i]
        half //= 2
    return sums[0]


@part
def _exponent(x: Any, at: Any, tops: Any) -> Any:
    """Return that of the power of two below the largest magnitude, -120 at least; 128 if one is not finite."""
    tops[:] = 0
    for i in range(at, at + BLOCK, HELD * LANES):
        _tops(x, i, tops, 0)
    bits, top = tops.view(np.uint32), _U(0)
    for i in range(LANES):
        top = max(top, bits[i])
    if top >= _INFINITY:
        return np.int32(128)
    return min(max(np.int32(top >> _U(23)) - np.int32(127), np.int32(-120)), np.int32(126))


@part
def _held(plane: Any, bits: Any) -> Any:
    """Return where the bytes of a plane are among those of four, of which the last has the signs."""
    return (plane if plane < bits - 1 else _PLANES - 1) * _PLANE


@kernel(
    f"boolean({_READ}, {_READ_BYTES}, {_READ}, {_READ}, uint8[::1], intp, intp, int32[::1], float32[::1], float32[::1])"
)
def _code(
    x: Any,
    signs: Any,
    edges: Any,
    table: Any,
    planes: Any,
    bits: Any,
    first: Any,
    exponents: Any,
    squares: Any,
    products: Any,
) -> bool:
    a, b, sums = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(FAR, np.float32)
    own, tops = np.empty(_LEVELS - 1, np.float32), np.empty(LANES, np.float32)
    codes = np.empty(_PLANES * _PLANE, np.uint8)
    for block in range(x.size // BLOCK):
        at, sign = block * BLOCK, block * 2 * TURN
        exponent = _exponent(x, at, tops)
        if exponent > 126:
            return False
        scale = as_float(_U(127 - exponent) << _U(23))
        for row in range(0, BLOCK, FAR):
            for i in range(row, row + SIDE, LANES):
                scaled_near(x, at + i, scale, signs, sign + i // 8, a, i)
        between(a, b, signs, sign + TURN)
        for i in range(0, FAR, LANES):
            _far_squares(a, i, sums)
        square = _sum(sums)
        unit = np.sqrt(square / np.float32(BLOCK))
        for i in range(_LEVELS - 1):
            own[i] = edges[i] * unit
        for i in range(0, FAR, LANES):
            _quantised(a, i, own, table, codes, i // 8, sums)
        exponents[block], squares[block], products[block] = exponent, square, _sum(sums)
        for plane in range(bits):
            _copied(codes, _held(plane, bits), planes, planes.size // bits * plane + (first + block) * _PLANE)
    return True


@kernel(
    f"void({_READ_BYTES}, intp, intp, {_READ_BYTES}, {_READ}, {_READ}, float32, float32[::1], boolean)",
)
def _decode(
    planes: Any, bits: Any, first: Any, signs: Any, table: Any, scales: Any, largest: Any, out: Any, adding: Any
) -> None:
    a, b = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    codes = np.zeros(_PLANES * _PLANE, np.uint8)
    for block in range(out.size // BLOCK):
        for plane in range(bits):
            _copied(planes, planes.size // bits * plane + (first + block) * _PLANE, codes, _held(plane, bits))
        at, sign = block * BLOCK, block * 2 * TURN
        for row in range(0, BLOCK, FAR):
            for i in range(row, row + SIDE, LANES):
                _looked_up_near(codes, i // 8, table, a, i)
        between(a, b, signs, sign + TURN)
        for i in range(0, FAR, LANES):
            far_scaled(a, i, signs, sign + i // 8, scales[block], largest)
        to = out[at : at + BLOCK]
        if adding:
            for i in range(BLOCK):
                to[i] += a[i]
        else:
            for i in range(BLOCK):
                to[i] = a[i]
