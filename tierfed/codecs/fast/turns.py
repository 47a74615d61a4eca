"""Turns: the rotation of eden and thc and its inverse, of a block of 4096 that is in the cache.

    [… rows 1 2 4]  [rows 8 16 32] [transposed, rows 1 2 4] [rows 8 16 32] [signs, rows 1 2 4] …

The 64 rows of a block take the six steps of butterflies in two passes of three, 8 rows in registers at a
time: rows 8 k … 8 k + 7 (NEAR), then k, k + 8, k + 16 … (FAR).  What comes before a pass or after one joins
it: the transposition is of as many rows and columns as there are lanes.

Same bits as rotation.py's: butterflies of the same strides in the same order add the same pairs, whichever pair
is first.

Source: as for rotation.py; transposing by halves, Eklundh 1972, "A fast computer method for matrix transposing".
"""

from __future__ import annotations

from typing import Any

from tierfed.codecs.fast.jit import part
from tierfed.codecs.fast.lanes import LANES, Lanes, Value, straight

BLOCK, SIDE = 4096, 64
HELD = 8  # rows that a pass holds
NEAR, FAR = SIDE, HELD * SIDE  # from one of them to the next, in elements
TURN = BLOCK // 8  # bytes of the signs of a turn


def rows_at(lanes: Lanes, x: Value, at: Value, stride: int) -> list[Value]:
    """Return LANES columns, from `at` on, of the rows that a pass holds."""
    return [lanes.load(x, lanes.plus(at, stride * i)) for i in range(HELD)]


def write(lanes: Lanes, rows: list[Value], to: Value, at: Value, stride: int) -> None:
    """Write such columns."""
    for i, row in enumerate(rows):
        lanes.store(row, to, lanes.plus(at, stride * i))


def flipped(lanes: Lanes, rows: list[Value], signs: Value, at: Value, stride: int) -> list[Value]:
    """Return `rows` with the signs that begin at the byte `at`."""
    return [lanes.flipped(lanes.mask(signs, lanes.plus(at, stride // 8 * i)), row) for i, row in enumerate(rows)]


@straight
def scaled_near(
    lanes: Lanes, x: Value, at: Value, scale: Value, signs: Value, sign: Value, to: Value, into: Value
) -> None:
    """Scale, flip signs, and take the first pass."""
    scales = lanes.all(scale)
    rows = [lanes.b.fmul(row, scales) for row in rows_at(lanes, x, at, NEAR)]
    write(lanes, lanes.butterflies(flipped(lanes, rows, signs, sign, NEAR)), to, into, NEAR)


@straight
def far_scaled(lanes: Lanes, x: Value, at: Value, signs: Value, sign: Value, scale: Value, largest: Value) -> None:
    """Take the second pass, flip signs, scale and clip."""
    rows = lanes.butterflies(rows_at(lanes, x, at, FAR))
    scales, top = lanes.all(scale), lanes.all(largest)
    low, clipped = lanes.b.fneg(top), []
    for row in flipped(lanes, rows, signs, sign, FAR):
        row = lanes.b.fmul(row, scales)
        row = lanes.b.select(lanes.above(low, row), low, row)
        clipped.append(lanes.b.select(lanes.above(row, top), top, row))
    write(lanes, clipped, x, at, FAR)


@straight
def _flipped_near(lanes: Lanes, x: Value, at: Value, signs: Value, sign: Value) -> None:
    """Flip signs, then take the first pass."""
    rows = flipped(lanes, rows_at(lanes, x, at, NEAR), signs, sign, NEAR)
    write(lanes, lanes.butterflies(rows), x, at, NEAR)


@straight
def _transposed_near(lanes: Lanes, x: Value, at: Value, to: Value, into: Value) -> None:
    """Transpose a square, then take the first pass over what are its rows now."""
    rows = lanes.transposed([lanes.load(x, lanes.plus(at, SIDE * i)) for i in range(LANES)])
    for i in range(0, LANES, HELD):
        write(lanes, lanes.butterflies(rows[i : i + HELD]), to, lanes.plus(into, SIDE * i), NEAR)


@straight
def _far(lanes: Lanes, x: Value, at: Value) -> None:
    """Take the second pass."""
    write(lanes, lanes.butterflies(rows_at(lanes, x, at, FAR)), x, at, FAR)


@part
def between(a: Any, b: Any, signs: Any, at: Any) -> None:
    """Do what follows the first pass of two turns and comes before the last; `at` is of the signs between them."""
    far_rows(a)
    _transpose(a, b)
    far_rows(b)
    for row in range(0, BLOCK, FAR):
        for i in range(row, row + SIDE, LANES):
            _flipped_near(b, i, signs, at + i // 8)
    far_rows(b)
    _transpose(b, a)


@part
def far_rows(a: Any) -> None:
    """Take the second pass of a block."""
    for i in range(0, FAR, LANES):
        _far(a, i)


@part
def _transpose(a: Any, b: Any) -> None:
    for row in range(0, SIDE, LANES):
        for column in range(0, SIDE, LANES):
            _transposed_near(a, row * SIDE + column, b, column * SIDE + row)
