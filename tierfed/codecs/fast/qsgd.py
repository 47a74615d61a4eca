"""Kernels of qsgd; codecs/qsgd.py, grids.py and planes.py say the same in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from tierfed.codecs.fast import planes
from tierfed.codecs.fast.grids import BLOCK, highest, highest_bits, largest_scale, rounded_up, scale_of
from tierfed.codecs.fast.jit import kernel
from tierfed.codecs.fast.philox import draw

_F = np.float32
_TOGETHER = 1024  # bytes of a plane that are checked together
_READ = "Array(uint8,2,'C',readonly=True), int64, Array(float32,1,'C',readonly=True), float32, float32[:,::1]"


_WRITE = "Array(float32,2,'C',readonly=True), float32[::1], uint8[:,::1], int64, float32, uint64, uint64, uint64"


@kernel(f"boolean({_WRITE})")
def encode(values: Any, scales: Any, rows: Any, first: int, levels: Any, low: int, high: int, count: int) -> bool:
    """Write blocks' scales, and their codes to planes from the block `first` on; return whether all values are finite.

    The random numbers are those from `count` on.
    """
    most = largest_scale(levels)
    drawn, codes = np.empty(BLOCK // 4, np.uint64), np.empty(BLOCK, np.uint8)
    sixteen = drawn.view(np.uint16)
    for b in range(values.shape[0]):
        x = values[b]
        scale = scale_of(highest(x), levels, most)
        if not np.isfinite(scale):
            return False
        scales[b] = scale
        by = scale if scale != 0 else _F(1)
        draw(low, high, count + np.uint64(b * (BLOCK // 16)), drawn)
        for i in range(BLOCK):
            codes[i] = np.uint8(np.int32(rounded_up(x[i] / by, sixteen[i], levels) + levels))
        planes.write(codes, rows, (first + b) * (BLOCK // 8))
    return True


@kernel("boolean(Array(uint32,1,'C',readonly=True), Array(uint8,2,'C',readonly=True), int64, uint32)")
def fine(scales: Any, rows: Any, size: int, most: Any) -> bool:
    """Return whether no scale, given by its bits, is above `most`, no code is all ones, and zeros follow the last."""
    bits, width = rows.shape
    above, ones = np.uint8(0), np.empty(_TOGETHER, np.uint8)
    for low in range(0, width, _TOGETHER):
        count = min(_TOGETHER, width - low)
        ones[:] = 255
        for p in range(bits):
            plane = rows[p, low : low + count]
            for i in range(count):
                ones[i] &= plane[i]
        for i in range(count):
            above |= ones[i]
    if size % 8:
        for p in range(bits):
            above |= rows[p, width - 1] >> np.uint8(size % 8)
    return bool(highest_bits(scales) <= most and above == 0)


@kernel(f"void({_READ})")
def decode(rows: Any, first: int, scales: Any, levels: Any, out: Any) -> None:
    """Write what blocks decode to, of which `out[0]` is the block `first`."""
    codes = np.empty(BLOCK, np.uint8)
    for b in range(out.shape[0]):
        planes.read(rows, (first + b) * (BLOCK // 8), codes)
        to, scale = out[b], scales[b]
        for i in range(BLOCK):
            to[i] = (_F(codes[i]) - levels) * scale


@kernel(f"void({_READ})")
def add(rows: Any, first: int, scales: Any, levels: Any, out: Any) -> None:
    """Add what blocks decode to, of which `out[0]` is the block `first`."""
    codes = np.empty(BLOCK, np.uint8)
    for b in range(out.shape[0]):
        planes.read(rows, (first + b) * (BLOCK // 8), codes)
        to, scale = out[b], scales[b]
        for i in range(BLOCK):
            to[i] += (_F(codes[i]) - levels) * scale
