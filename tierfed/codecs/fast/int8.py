"""Kernels of int8; see codecs/int8.py and codecs/grids.py, which say the same in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from tierfed.codecs.fast.jit import kernel

_F, _U = np.float32, np.uint32
_MAGNITUDE, _INFINITY = _U(0x7FFF_FFFF), _U(0x7F80_0000)
_STEPS = _F(127)
_MOST = np.nextafter(np.finfo(_F).max / _STEPS, _F(0))
_SMALLEST_NORMAL = np.finfo(_F).smallest_normal


@kernel("void(Array(int8,2,'C',readonly=True), Array(float32,1,'C',readonly=True), float32[:,::1])")
def add(codes: Any, scales: Any, out: Any) -> None:
    """Add to blocks what their codes decode to."""
    for b in range(codes.shape[0]):
        code, to, scale = codes[b], out[b], scales[b]
        for i in range(256):
            to[i] += _F(code[i]) * scale
