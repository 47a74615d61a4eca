"""Paretonormal: a quarter of a normal number and three quarters of a Pareto one, added.

Late as Pareto's, without its sharp edge on the early side.

Source: tc-netem(8), distribution paretonormal; the quarters are those of iproute2's netem/paretonormal.c.
"""

from __future__ import annotations

import math
from random import Random

from tierfed.topology.links import normal, pareto

_NORMAL, _PARETO = 0.25, 0.75
SPREAD = math.hypot(_NORMAL * normal.SPREAD, _PARETO * pareto.SPREAD)  # about .66


def draw(random: Random) -> float:
    """Return a number of mean 0."""
    return _NORMAL * normal.draw(random) + _PARETO * pareto.draw(random)
