"""Parts of the kernels of fp16 and fp8: a float32 as a float of fewer bits (codecs/minifloats.py), and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from tierfed.codecs.fast.jit import as_bits, as_float, part

_F, _U = np.float32, np.uint32
_MAGNITUDE, _INFINITY = _U(0x7FFF_FFFF), _U(0x7F80_0000)
_BIAS, _FRACTION = 127, 23


@part
def code(value: Any, fraction: Any, lowest: Any, bits: Any) -> Any:
    """Return the code of a float32 that rounds to a finite one; the last three are constants where it is called."""
    shift = _FRACTION - fraction
    whole = as_bits(value)
    power = _U(max(_U(whole & _INFINITY), _U((lowest + _BIAS) << _FRACTION)) + _U(shift << _FRACTION))
    rounded = _U(as_bits(as_float(_U(whole & _MAGNITUDE)) + as_float(power)) - power)
    exponent = _U(_U(power - _U((lowest + _BIAS + shift) << _FRACTION)) >> _U(shift))
    return _U(_U(rounded + exponent) | _U(_U(whole & ~_MAGNITUDE) >> _U(32 - bits)))


@part
def value(code: Any, fraction: Any, lowest: Any, bits: Any) -> Any:
    """Return the float32 of a finite code."""
    size = _U(code & _U((1 << (bits - 1)) - 1))
    normal = as_float(_U(_U(size << _U(_FRACTION - fraction)) + _U((lowest + _BIAS - 1) << _FRACTION)))
    subnormal = _F(size) * as_float(_U((lowest - fraction + _BIAS) << _FRACTION))
    magnitude = normal if size >= _U(1 << fraction) else subnormal
    return as_float(_U(as_bits(magnitude) | _U(_U(code >> _U(bits - 1)) << _U(31))))
