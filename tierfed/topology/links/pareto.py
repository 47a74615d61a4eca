"""Pareto: mostly a little early, and sometimes very late, as queues make it.

    4/3 (min(X, 4.5) - m)        P(X > x) = 1/x³ from x = 1 on,  m = mean of min(X, 4.5)

The least is -.63, the most 4.03.

Source: tc-netem(8), distribution pareto.  Its table, made by iproute2's netem/pareto.c, has the same exponent 3 and
scale 4/3, and ends at 4 as well, for it holds 16-bit numbers in units of 1/8192.  It takes off 3/2, the mean before
the end is cut, so its mean is -.03; here it is 0, for jitter should not change the delay on average.
"""

from __future__ import annotations

import math
from random import Random

_END = 4.5
_SCALE = 4 / 3
_MEAN = 1.5 - 1 / (2 * _END**2)  # ∫ min(x, end) 3 x⁻⁴ dx
SPREAD = _SCALE * math.sqrt(3 - 2 / _END - _MEAN**2)  # about .82


def draw(random: Random) -> float:
    """Return a number of mean 0."""
    share = 1.0 - random.random()  # above 0
    return _SCALE * (min(math.pow(share, -1 / 3), _END) - _MEAN)
