"""Kernels of thc; codecs/thc.py, rotation.py and planes.py say the same in numpy.

    x → [scaled, signs, rows 1 2 4] … turns.py … [rows 8 16 32] [in steps, rounded at random] → codes
    codes → [in steps] [rows 1 2 4] … turns.py … [rows 8 16 32, signs, scaled] → x
    codes → [+ sums]

A block of 4096 is done before the next is read.  The sums of many senders come back as floats, from the middle of
their grid on, since they are turned back once; it is the sums that are made once a sender, in uint8 and uint16.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from tierfed.codecs.fast import planes
from tierfed.codecs.fast.jit import intrinsic, kernel, part, place
from tierfed.codecs.fast.lanes import LANES, Lanes, Value, straight
from tierfed.codecs.fast.philox import draw
from tierfed.codecs.fast.turns import (
    BLOCK,
    FAR,
    NEAR,
    SIDE,
    TURN,
    between,
    far_rows,
    far_scaled,
    rows_at,
    scaled_near,
    write,
)

PLANED = 256  # codes that are read from planes, or written, at once
_F = np.float32
_UNIT, _HALF = _F(2.0**-16), _F(2.0**-17)
_READ = "Array(float32,1,'C',readonly=True)"
_BYTES = "Array(uint8,1,'C',readonly=True)"
_PLANES = "Array(uint8,2,'C',readonly=True)"


@straight
def _near(lanes: Lanes, x: Value, at: Value) -> None:
    """Take the first pass."""
    write(lanes, lanes.butterflies(rows_at(lanes, x, at, NEAR)), x, at, NEAR)


@part
def _put(values: Any, step: Any, middle: Any, sixteen: Any, codes: Any) -> None:
    """Write the codes of a rotated block, rounded by 16 random bits each."""
    top = middle + middle
    for i in range(BLOCK):
        value = min(max(values[i] * step + middle, _F(0)), top)
        codes[i] = np.uint8(np.int32(min(value + (_F(sixteen[i]) * _UNIT + _HALF), top)))


@part
def _turned_back(a: Any, b: Any, signs: Any, sign: Any, scale: Any, largest: Any) -> None:
    """Turn the block `a` back, scale it and clip it; `b` is overwritten."""
    for row in range(0, BLOCK, FAR):
        for i in range(row, row + SIDE, LANES):
            _near(a, i)
    between(a, b, signs, sign + TURN)
    for i in range(0, FAR, LANES):
        far_scaled(a, i, signs, sign + i // 8, scale, largest)


@part
def _written(a: Any, out: Any, adding: Any) -> None:
    if adding:
        for i in range(BLOCK):
            out[i] += a[i]
    else:
        for i in range(BLOCK):
            out[i] = a[i]


@part
def _read(rows: Any, byte: Any, codes: Any) -> None:
    """Read a block's codes, which begin at `byte` of each plane."""
    for i in range(0, BLOCK, PLANED):
        planes.read(rows, byte + i // 8, codes[i : i + PLANED])


@kernel(
    f"void({_READ}, {_BYTES}, {_READ}, {_READ}, float32, uint8[:,::1], int64, uint64, uint64, uint64)",
)
def encode(
    x: Any, signs: Any, scales: Any, steps: Any, middle: Any, rows: Any, first: Any, low: Any, high: Any, count: Any
) -> None:
    """Write the codes of the blocks `x` to planes from the block `first` on, rounded by the numbers from `count` on.

    Blocks are scaled by `scales`, and once rotated by `steps`; `signs` are the bytes of theirs.
    """
    a, b = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    drawn, codes = np.empty(BLOCK // 4, np.uint64), np.empty(BLOCK, np.uint8)
    sixteen = drawn.view(np.uint16)
    for block in range(x.size // BLOCK):
        at, sign = block * BLOCK, block * 2 * TURN
        for row in range(0, BLOCK, FAR):
            for i in range(row, row + SIDE, LANES):
                scaled_near(x, at + i, scales[block], signs, sign + i // 8, a, i)
        between(a, b, signs, sign + TURN)
        far_rows(a)
        draw(low, high, count + np.uint64(block * (BLOCK // 16)), drawn)
        _put(a, steps[block], middle, sixteen, codes)
        for i in range(0, BLOCK, PLANED):
            planes.write(codes[i : i + PLANED], rows, ((first + block) * BLOCK + i) // 8)


@kernel(f"void({_PLANES}, int64, float32, {_BYTES}, {_READ}, {_READ}, float32, float32[::1], boolean)")
def decode(
    rows: Any, first: Any, middle: Any, signs: Any, steps: Any, scales: Any, largest: Any, out: Any, adding: Any
) -> None:
    """Fill the blocks `out`, or add to them, from the codes in planes, from the block `first` on."""
    a, b = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    codes = np.empty(BLOCK, np.uint8)
    for block in range(out.size // BLOCK):
        _read(rows, (first + block) * (BLOCK // 8), codes)
        step = steps[block]
        for i in range(BLOCK):
            a[i] = (_F(codes[i]) - middle) * step
        _turned_back(a, b, signs, block * 2 * TURN, scales[block], largest)
        _written(a, out[block * BLOCK : (block + 1) * BLOCK], adding)


@kernel(f"void({_READ}, {_BYTES}, {_READ}, {_READ}, float32, float32[::1], boolean)")
def decode_sums(sums: Any, signs: Any, steps: Any, scales: Any, largest: Any, out: Any, adding: Any) -> None:
    """Fill the blocks `out`, or add to them, from sums of codes less the middle of their grid."""
    a, b = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for block in range(out.size // BLOCK):
        at, step = block * BLOCK, steps[block]
        for i in range(BLOCK):
            a[i] = sums[at + i] * step
        _turned_back(a, b, signs, block * 2 * TURN, scales[block], largest)
        _written(a, out[at : at + BLOCK], adding)


@intrinsic
def _add(context: Any, sums: Any, at: Any, codes: Any, index: Any) -> Any:
    """`_add(sums, at, codes, index)` adds 64 codes (uint8) from `index` on to `sums` from `at` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.VectorType(ir.IntType(sums.dtype.bitwidth), planes.LANES)
        narrow = ir.VectorType(ir.IntType(8), planes.LANES)
        to = place(context, builder, signature, arguments, 0, 1, wide)
        more = builder.load(place(context, builder, signature, arguments, 2, 3, narrow), align=1)
        more = builder.zext(more, wide) if wide != narrow else more
        builder.store(
            builder.add(builder.load(to, align=sums.dtype.bitwidth // 8), more), to, align=sums.dtype.bitwidth // 8
        )
        return context.get_dummy_value()

    return types.void(sums, types.int64, codes, types.int64), generate


@part
def _added(rows: Any, sums: Any) -> None:
    codes = np.empty(PLANED, np.uint8)
    for at in range(0, sums.size, PLANED):
        planes.read(rows, at // 8, codes)
        for i in range(0, PLANED, planes.LANES):
            _add(sums, at + i, codes, i)


@kernel(f"void({_READ}, float64[::1])")
def squares(x: Any, sums: Any) -> None:
    """Write the sum of squares of each block of `x`."""
    own = np.empty(BLOCK // 2, np.float64)
    for block in range(sums.size):
        low = x[block * BLOCK : block * BLOCK + BLOCK // 2]
        high = x[block * BLOCK + BLOCK // 2 : (block + 1) * BLOCK]
        for i in range(BLOCK // 2):
            a, b = np.float64(low[i]), np.float64(high[i])
            own[i] = a * a + b * b
        half = BLOCK // 4
        while half:
            for i in range(half):
                own[i] += own[half + i]
            half //= 2
        sums[block] = own[0]


@kernel(f"void({_PLANES}, uint8[::1])")
def add8(rows: Any, sums: Any) -> None:
    """Add the codes in planes to `sums`, a multiple of PLANED."""
    _added(rows, sums)


@kernel(f"void({_PLANES}, uint16[::1])")
def add16(rows: Any, sums: Any) -> None:
    """Add the codes in planes to `sums`, a multiple of PLANED."""
    _added(rows, sums)
