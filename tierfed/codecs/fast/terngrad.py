"""Kernels of terngrad; codecs/terngrad.py says the same in numpy.

Five digits are packed by one product: digit i is byte i of a word, and byte 4 of its product with a word
that has 81, 27, 9, 3, 1 is their sum, into which nothing is carried.  They are unpacked from a table.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tierfed.codecs.fast.grids import highest
from tierfed.codecs.fast.jit import kernel
from tierfed.codecs.fast.philox import draw
from tierfed.codecs.fast.planes import get, put

BLOCK = 4096
_DIGITS = 5
_LINE = -(-BLOCK // _DIGITS)
_F, _W = np.float32, np.uint64
_POWERS = _W(81 | 27 << 8 | 9 << 16 | 3 << 24 | 1 << 32)
_READ = "Array(uint8,2,'C',readonly=True), Array(float32,1,'C',readonly=True), float32[:,::1]"
_VALUES = np.zeros((256, 8), np.int8)
_VALUES[:, :_DIGITS] = np.arange(256)[:, None] // [1, 3, 9, 27, 81] % 3 - 1
_WORDS = _VALUES.view(np.uint64)[:, 0].copy()


@kernel("boolean(Array(float32,2,'C',readonly=True), float32[::1], uint8[:,::1], uint64, uint64, uint64)")
def encode(values: Any, scales: Any, lines: Any, low: int, high: int, count: int) -> bool:
    """Write blocks' scales and digits, drawn from `count` on; return whether all values are finite."""
    drawn, digits = np.empty(BLOCK // 4, np.uint64), np.zeros(_LINE * _DIGITS + 8, np.uint8)
    sixteen = drawn.view(np.uint16)
    for b in range(values.shape[0]):
        x, line = values[b], lines[b]
        scale = highest(x)
        if not np.isfinite(scale):
            return False
        scales[b] = scale
        by = scale if scale != 0 else _F(1)
        draw(low, high, count + _W(b * (BLOCK // 16)), drawn)
        for i in range(BLOCK):
            kept = np.int32((_F(sixteen[i]) + _F(0.5)) < abs(x[i]) / by * _F(65536))
            digits[i] = np.uint8(1 + (-kept if x[i] < 0 else kept))
        for j in range(_LINE):
            line[j] = np.uint8((get(digits, _DIGITS * j) * _POWERS) >> _W(32))
    return True


@kernel(f"void({_READ})")
def decode(lines: Any, scales: Any, out: Any) -> None:
    """Write what blocks' digits decode to."""
    digits = np.empty(_LINE * _DIGITS + 8, np.int8)
    for b in range(out.shape[0]):
        line, to, scale = lines[b], out[b], scales[b]
        for j in range(_LINE):
            put(digits, _DIGITS * j, _WORDS[line[j]])
        for i in range(BLOCK):
            to[i] = _F(digits[i]) * scale


@kernel(f"void({_READ})")
def add(lines: Any, scales: Any, out: Any) -> None:
    """Add what blocks' digits decode to."""
    digits = np.empty(_LINE * _DIGITS + 8, np.int8)
    for b in range(out.shape[0]):
        line, to, scale = lines[b], out[b], scales[b]
        for j in range(_LINE):
            put(digits, _DIGITS * j, _WORDS[line[j]])
        for i in range(BLOCK):
            to[i] += _F(digits[i]) * scale
