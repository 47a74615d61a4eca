"""The front: which points no other beats in both of two things, for reports and for advice.

    front([(10, .8), (20, .8), (30, .9)])        {0, 2}: the second costs more and is no better

A point is on the front if no other is at least as good in both and better in one; so equal points are on it together.
What has no merit (NaN: nothing was measured) is not on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]], *, low: bool = False) -> set[int]:
    """Return which of (cost, merit) no other beats; with `low`, the less merit the better."""
    sign = 1.0 if low else -1.0
    known = [at for at in range(len(points)) if not math.isnan(points[at][1])]
    found: set[int] = set()
    best = math.inf
    before: tuple[float, float] | None = None
    for at in sorted(known, key=lambda at: (points[at][0], sign * points[at][1])):
        merit = sign * points[at][1]
        if merit < best or points[at] == before:
            found.add(at)
            best, before = merit, points[at]
    return found
