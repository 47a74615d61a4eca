"""Kernels of int8; codecs/int8.py and codecs/grids.py say the same in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from tierfed.codecs.fast.grids import BLOCK, highest, highest_bits, largest_scale, rounded_up, scale_of
from tierfed.codecs.fast.jit import kernel
from tierfed.codecs.fast.philox import draw

_F = np.float32
_STEPS = _F(127)


@kernel("boolean(Array(float32,2,'C',readonly=True), float32[::1], int8[:,::1])")
def nearest(values: Any, scales: Any, codes: Any) -> bool:
    """Write blocks' scales and codes; return whether all values are finite."""
    most = largest_scale(_STEPS)
    for b in range(values.shape[0]):
        x, code = values[b], codes[b]
        scale = scale_of(highest(x), _STEPS, most)
        if not np.isfinite(scale):
            return False
        scales[b] = scale
        by = scale if scale != 0 else _F(1)
        for i in range(BLOCK):
            code[i] = np.int8(np.int32(np.rint(x[i] / by)))
    return True


@kernel("boolean(Array(float32,2,'C',readonly=True), float32[::1], int8[:,::1], uint64, uint64, uint64)")
def stochastic(values: Any, scales: Any, codes: Any, low: int, high: int, count: int) -> bool:
    """Write blocks' scales and codes, drawn from `count` on; return whether all values are finite."""
    most, drawn = largest_scale(_STEPS), np.empty(BLOCK // 4, np.uint64)
    for b in range(values.shape[0]):
        x, code = values[b], codes[b]
        scale = scale_of(highest(x), _STEPS, most)
        if not np.isfinite(scale):
            return False
        scales[b] = scale
        by = scale if scale != 0 else _F(1)
        draw(low, high, count + np.uint64(b * (BLOCK // 16)), drawn)
        sixteen = drawn.view(np.uint16)
        for i in range(BLOCK):
            code[i] = np.int8(np.int32(rounded_up(x[i] / by, sixteen[i], _STEPS)))
    return True


@kernel("boolean(Array(uint32,1,'C',readonly=True), Array(int8,1,'C',readonly=True), uint32)")
def fine(scales: Any, codes: Any, most: Any) -> bool:
    """Return whether no scale, given by its bits, is above `most`, and all codes are on the grid."""
    lowest = np.int8(0)
    for i in range(codes.size):
        lowest = min(lowest, codes[i])
    return bool(highest_bits(scales) <= most and lowest >= np.int8(-127))


@kernel("void(Array(int8,2,'C',readonly=True), Array(float32,1,'C',readonly=True), float32[:,::1])")
def decode(codes: Any, scales: Any, out: Any) -> None:
    """Write what blocks' codes decode to."""
    for b in range(codes.shape[0]):
        code, to, scale = codes[b], out[b], scales[b]
        for i in range(BLOCK):
            to[i] = _F(code[i]) * scale


@kernel("void(Array(int8,2,'C',readonly=True), Array(float32,1,'C',readonly=True), float32[:,::1])")
def add(codes: Any, scales: Any, out: Any) -> None:
    """Add what blocks' codes decode to."""
    for b in range(codes.shape[0]):
        code, to, scale = codes[b], out[b], scales[b]
        for i in range(BLOCK):
            to[i] += _F(code[i]) * scale
