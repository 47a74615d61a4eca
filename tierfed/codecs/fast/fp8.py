"""Kernels of fp8; codecs/fp8.py and codecs/minifloats.py say the same in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from tierfed.codecs.fast import minifloats
from tierfed.codecs.fast.grids import highest
from tierfed.codecs.fast.jit import as_bits, as_float, kernel

BLOCK = 4096
_F, _U = np.float32, np.uint32
_FULL, _FRACTION = _U(0x0060_0000), _U(0x007F_FFFF)
_BIAS, _LOWEST, _ABOVE = 127, -126, 9
_LARGEST_CODE = _F(448)
_READ = "Array(uint8,2,'C',readonly=True), Array(float32,1,'C',readonly=True), float32, float32[:,::1]"


@kernel("boolean(Array(float32,2,'C',readonly=True), uint8[::1], uint8[:,::1])")
def encode(values: Any, powers: Any, codes: Any) -> bool:
    """Write blocks' powers of two and codes; return whether all values are finite."""
    for b in range(values.shape[0]):
        x, code = values[b], codes[b]
        top = highest(x)
        if not np.isfinite(top):
            return False
        bits = as_bits(top)
        over = 1 if _U(bits & _FRACTION) > _FULL else 0
        e: Any = max(np.int64(bits >> _U(23)) - _BIAS + 1 - _ABOVE + over, _LOWEST)
        powers[b] = e + _BIAS
        by = as_float(_U((_BIAS - e) << 23))
        for i in range(BLOCK):
            code[i] = np.uint8(minifloats.code(x[i] * by, 3, -6, 8))
    return True


@kernel(f"void({_READ})")
def decode(codes: Any, powers: Any, largest: Any, out: Any) -> None:
    """Write what blocks' codes decode to, cut to `largest`."""
    for b in range(codes.shape[0]):
        code, to, by = codes[b], out[b], powers[b]
        if by * _LARGEST_CODE > largest:
            for i in range(BLOCK):
                to[i] = min(max(minifloats.value(_U(code[i]), 3, -6, 8) * by, -largest), largest)
        else:
            for i in range(BLOCK):
                to[i] = minifloats.value(_U(code[i]), 3, -6, 8) * by


@kernel(f"void({_READ})")
def add(codes: Any, powers: Any, largest: Any, out: Any) -> None:
    """Add what blocks' codes decode to, cut to `largest`."""
    for b in range(codes.shape[0]):
        code, to, by = codes[b], out[b], powers[b]
        if by * _LARGEST_CODE > largest:
            for i in range(BLOCK):
                to[i] += min(max(minifloats.value(_U(code[i]), 3, -6, 8) * by, -largest), largest)
        else:
            for i in range(BLOCK):
                to[i] += minifloats.value(_U(code[i]), 3, -6, 8) * by
