"""Normal: the bell curve, of spread (standard deviation) 1, so that jitter is the standard deviation of the delay.

What is beyond ±4, one in 16,000, is put there.

Source: tc-netem(8), distribution normal; its table holds 16-bit numbers in units of 1/8192, so it ends at ±4 too.
"""

from __future__ import annotations

from random import Random

SPREAD = 1.0  # the ends take .02 % off it
_END = 4.0


def draw(random: Random) -> float:
    """Return a number of mean 0."""
    return max(-_END, min(_END, random.normalvariate(0.0, 1.0)))
