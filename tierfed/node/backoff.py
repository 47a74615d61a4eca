"""Backoff: how long to wait before dialling again.

Full jitter: before attempt n the wait is uniform in [0, min(most, first × 2ⁿ)],
so that children which lost one parent do not come back in step.

Source: M. Brooker, "Exponential Backoff and Jitter", AWS architecture blog, 2015.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """See the module docstring; `rng` belongs to the caller, so that a seed replays the waits."""

    rng: random.Random
    first: float = 0.02  # seconds
    most: float = 1.0  # seconds

    def wait(self, attempt: int) -> float:
        """Return the seconds to wait before `attempt`, counted from 0."""
        return self.rng.uniform(0.0, min(self.most, self.first * 2.0 ** min(attempt, 30)))
