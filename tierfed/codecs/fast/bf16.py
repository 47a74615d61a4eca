"""Kernels of bf16; codecs/bf16.py and codecs/floats.py say the same in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from tierfed.codecs.fast.jit import as_bits, as_float, kernel

_U, _H = np.uint32, np.uint16
_MAGNITUDE = _U(0x7FFF_FFFF)
_CEILING = _U(0x7F7F_7FFF)  # the bits of BFLOAT16_CEILING
_HALF, _ONE, _SHIFT = _U(0x7FFF), _U(1), _U(16)


@kernel("boolean(Array(float32,1,'C',readonly=True), uint16[::1])")
def encode(values: Any, codes: Any) -> bool:
    """Write codes; return whether no value is beyond BFLOAT16_CEILING, or NaN."""
    top = _U(0)
    for i in range(values.size):
        bits = as_bits(values[i])
        top = max(top, _U(bits & _MAGNITUDE))
        codes[i] = _H(_U(bits + _U(_U((bits >> _SHIFT) & _ONE) + _HALF)) >> _SHIFT)
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
        out[i] = as_float(_U(_U(codes[i]) << _SHIFT))


@kernel("void(Array(uint16,1,'C',readonly=True), float32[::1])")
def add(codes: Any, out: Any) -> None:
    """Add what codes decode to."""
    for i in range(codes.size):
        out[i] += as_float(_U(_U(codes[i]) << _SHIFT))
