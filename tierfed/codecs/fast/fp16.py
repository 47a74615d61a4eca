"""Kernels of fp16; codecs/fp16.py and codecs/minifloats.py say the same in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from tierfed.codecs.fast import minifloats
from tierfed.codecs.fast.jit import as_bits, kernel

_U, _H = np.uint32, np.uint16
_MAGNITUDE = _U(0x7FFF_FFFF)
_CEILING = _U(0x477F_EFFF)  # the bits of FLOAT16_CEILING


@kernel("boolean(Array(float32,1,'C',readonly=True), uint16[::1])")
def encode(values: Any, codes: Any) -> bool:
    """Write codes; return whether no value is beyond FLOAT16_CEILING, or NaN."""
    top = _U(0)
    for i in range(values.size):
        top = max(top, _U(as_bits(values[i]) & _MAGNITUDE))
        codes[i] = _H(minifloats.code(values[i], 10, -14, 16))
    return bool(top <= _CEILING)


@kernel("uint16(Array(uint16,1,'C',readonly=True))")
def highest(codes: Any) -> Any:
    """Return the highest code without its sign."""
    top = _H(0)
    for i in range(codes.size):
        top = max(top, _H(codes[i] & _H(0x7FFF)))
    return top


@kernel("void(Array(uint16,1,'C',readonly=True), float32[::1])")
def decode(codes: Any, out: Any) -> None:
    """Write what codes decode to."""
    for i in range(codes.size):
        out[i] = minifloats.value(_U(codes[i]), 10, -14, 16)


@kernel("void(Array(uint16,1,'C',readonly=True), float32[::1])")
def add(codes: Any, out: Any) -> None:
    """Add what codes decode to."""
    for i in range(codes.size):
        out[i] += minifloats.value(_U(codes[i]), 10, -14, 16)
