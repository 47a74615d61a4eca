"""Philox4x64-10, the numbers of codecs/stream.py, drawn within a kernel.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from tierfed.codecs.fast.jit import intrinsic, part

_W = np.uint64
_MULTIPLIERS = _W(0xD2E7470EE14C6C93), _W(0xCA5A826395121157)
_STEPS = _W(0x9E3779B97F4A7C15), _W(0xBB67AE8584CAA73B)
_M0, _M1 = _MULTIPLIERS
_K0, _K1 = _STEPS


@intrinsic
def _upper(context: Any, a: Any, b: Any) -> Any:
    """The upper 64 bits of the product of two uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(arguments[0], wide), builder.zext(arguments[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


@part
def draw(low: Any, high: Any, count: Any, into: Any) -> None:
    """Fill `into` (uint64, a multiple of 4) with the words of the key `high · 2^64 + low` from `count` on."""
    for at in range(0, into.size, 4):
        a, b, c, d = _W(count + _W(at >> 2) + _W(1)), _W(0), _W(0), _W(0)  # numpy counts up before it draws
        k0, k1 = low, high
        for _ in range(10):
            a, b, c, d = _upper(_M1, c) ^ b ^ k0, _M1 * c, _upper(_M0, a) ^ d ^ k1, _M0 * a
            k0 += _K0
            k1 += _K1
        into[at], into[at + 1], into[at + 2], into[at + 3] = a, b, c, d
