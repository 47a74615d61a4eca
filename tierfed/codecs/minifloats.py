"""Minifloats: a float32 rounded to a float of fewer bits, subnormals and ties included.

    float16   Minifloat(fraction=10, lowest=-14)      e4m3   Minifloat(fraction=3, lowest=-6)

numpy's own cast to float16 takes five times as long.  Let 2^e be the power of two at or below
|x|, not less than the smallest normal 2^lowest.  Adding c = 2^(e + 23 - fraction) to |x| in float32
rounds it, to nearest and ties to even, to a multiple of 2^(e - fraction), which is the
spacing of the minifloat there; and the bits of the sum less those of c are that multiple.
With the exponent above it, that is the code:

    code = (e - lowest) << fraction  +  |x| / 2^(e - fraction)

A normal number's multiple holds its leading 1, which lifts the exponent by one, as the format
has it; a subnormal one's does not; and one that is rounded up to the next power of two
carries into the exponent.

Source: IEEE 754-2019, sections 3.4 and 4.3.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tierfed.codecs.floats import INFINITY, MAGNITUDE
from tierfed.codecs.stage import Array

_FRACTION, _BIAS = 23, 127  # of float32
_SIGN = np.uint32(0x8000_0000)


@dataclass(frozen=True, slots=True)
class Minifloat:
    """A format with `fraction` bits after the point and the smallest normal 2^`lowest`; see the module docstring."""

    fraction: int
    lowest: int
    bits: int

    def write(self, values: Array, codes: Array, work: Array) -> None:
        """Write the `codes` (uint8 or uint16) of `values` that round to finite ones; `work` is 2 uint32 rows."""
        shift = _FRACTION - self.fraction
        size = values.size
        rounded, power = work[0, :size], work[1, :size]
        whole = values.view(np.uint32)
        np.bitwise_and(whole, INFINITY, out=power)
        np.maximum(power, np.uint32((self.lowest + _BIAS) << _FRACTION), out=power)
        np.add(power, np.uint32(shift << _FRACTION), out=power)
        np.bitwise_and(whole, MAGNITUDE, out=rounded)
        np.add(rounded.view(np.float32), power.view(np.float32), out=rounded.view(np.float32))
        np.subtract(rounded, power, out=rounded)
        np.subtract(power, np.uint32((self.lowest + _BIAS + shift) << _FRACTION), out=power)
        np.right_shift(power, np.uint32(shift), out=power)
        np.add(rounded, power, out=rounded)
        np.bitwise_and(whole, _SIGN, out=power)
        np.right_shift(power, np.uint32(32 - self.bits), out=power)
        np.bitwise_or(rounded, power, out=rounded)
        np.copyto(codes, rounded, casting="unsafe")
