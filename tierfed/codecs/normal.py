"""Normal: what codecs err by on independent normal numbers, worked out rather than measured.

    on_grid(127, 256, stochastic=False)     int8: 4.86e-5       on_grid(1, 4096, stochastic=True)     terngrad: 2.04
    as_float(7, -126)                       bf16: 2.76e-6       by_sign(4096)                         sign: .363

Each is the expected ‖x - x̂‖² / ‖x‖², per element since E x² = 1.  On a grid that ends at the largest
magnitude t of a block of n, step s = t / levels, the others are normal numbers within ±t, and an
element that is f of a step above the next lower level errs by s² f (1 - f) if rounded at random, by
s² min(f, 1 - f)² to the nearest:

    E = ∫ (n - 1) F(t)^(n-2) p(t)  ∫_0^t p(x) s² g(x / s mod 1) dx dt      p, F: of |x|

It is integrated by midpoints, at least 32 of them a step.  A float of m bits after the point has
steps of 2^(e - m) at magnitudes of 2^e, far smaller than what p varies over: step² / 12 on average.

Source: Bennett 1948 (step² / 12); David and Nagaraja 2003, section 2.1 (the largest of n).
"""

from __future__ import annotations

import functools
import math

import numpy as np

from tierfed.codecs.stage import Array

_FARTHEST = 9.0  # standard deviations; what lies beyond adds nothing
_TOPS = 300  # values of the largest magnitude
_POINTS = 512  # of an element, at least
_A_STEP = 32  # points, at least


@functools.lru_cache(maxsize=64)
def on_grid(levels: int, block: int, *, stochastic: bool) -> float:
    """Return the error of rounding to `levels` even steps from zero to the largest of each `block`."""
    t = (np.arange(_TOPS) + 0.5) * (_FARTHEST / _TOPS)
    below = np.array([math.erf(v / math.sqrt(2)) for v in t])
    weight = (block - 1) * below ** (block - 2) * _density(t) * (_FARTHEST / _TOPS)
    t, weight = t[weight > 1e-12], weight[weight > 1e-12]
    each = max(_A_STEP, -(-_POINTS // levels))
    place = (np.arange(levels * each) + 0.5) / (levels * each)
    f = place * levels % 1
    error = f * (1 - f) if stochastic else np.minimum(f, 1 - f) ** 2
    inner = (_density(t[:, None] * place) @ error) * t / place.size
    return float((weight * inner * (t / levels) ** 2).sum())


@functools.lru_cache(maxsize=64)
def as_float(fraction: int, lowest: int) -> float:
    """Return the error of the nearest float of `fraction` bits after the point, least exponent `lowest`."""
    x = (np.arange(20_000) + 0.5) * (_FARTHEST / 20_000)
    step = 2.0 ** (np.maximum(np.floor(np.log2(x)), lowest) - fraction)
    return float((_density(x) * step**2).sum() * (_FARTHEST / 20_000) / 12)


def by_sign(block: int) -> float:
    """Return the error of giving each element of a `block` its sign and the block's mean magnitude."""
    return (1 - 2 / math.pi) * (1 - 1 / block)


def _density(magnitudes: Array) -> Array:
    """Return the density of |x|."""
    density: Array = math.sqrt(2 / math.pi) * np.exp(-(magnitudes**2) / 2)
    return density
