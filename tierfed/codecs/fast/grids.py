"""Parts of int8's and qsgd's kernels: the scale of a block and rounding at random, as codecs/grids.py has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tierfed.codecs.fast.jit import as_bits, as_float, part

BLOCK = 256
_F, _U = np.float32, np.uint32
_MAGNITUDE = _U(0x7FFF_FFFF)
_LARGEST = np.finfo(_F).max
_SMALLEST_NORMAL = np.finfo(_F).smallest_normal
_UNIT, _HALF = _F(2.0**-16), _F(2.0**-17)


@part
def highest(values: Any) -> Any:
    """Return the largest magnitude of a block's float32 values, NaN if there is one."""
    top = _U(0)
    for i in range(values.size):
        top = max(top, _U(as_bits(values[i]) & _MAGNITUDE))
    return as_float(top)


@part
def highest_bits(scales: Any) -> Any:
    """Return the highest of uint32 numbers."""
    top = _U(0)
    for i in range(scales.size):
        top = max(top, scales[i])
    return top


@part
def largest_scale(steps: Any) -> Any:
    """Return the largest scale whose `steps`-fold is finite."""
    return as_float(_U(as_bits(_LARGEST / steps) - _U(1)))


@part
def scale_of(top: Any, steps: Any, most: Any) -> Any:
    """Return the scale, at most `most`, of a block whose largest magnitude is `top`; not finite if that is not."""
    if not np.isfinite(top):
        return top
    scale = min(top / steps, most)
    if scale < _SMALLEST_NORMAL and np.float64(scale) * np.float64(steps) < np.float64(top):
        return as_float(_U(as_bits(scale) + _U(1)))
    return scale


@part
def rounded_up(value: Any, sixteen: Any, steps: Any) -> Any:
    """Return a whole number at or next to `value`, drawn by 16 random bits."""
    return min(np.floor(value + (_F(sixteen) * _UNIT + _HALF)), steps)
