"""Uniform: every number from -1 to 1 alike, so that a delay of 30 ms with a jitter of 10 ms is from 20 to 40 ms.

Its spread (standard deviation) is 1/√3.

Source: tc-netem(8), where it is what jitter means if no distribution is named.
"""

from __future__ import annotations

import math
from random import Random

SPREAD = math.sqrt(1 / 3)


def draw(random: Random) -> float:
    """Return a number of mean 0."""
    return 2 * random.random() - 1
