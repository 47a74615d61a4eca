"""Lag: how late the event loop is.

    lag = Lag(); task = loop.create_task(lag.watch())
    lag.counts, lag.seconds, lag.worst

Twenty times a second a timer is set, and how late it fires is counted in a histogram: what
anything else on the loop, a beat or a frame, has had to wait as well.
"""

from __future__ import annotations

import asyncio
import bisect

EVERY = 0.05  # seconds
BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)  # seconds


class Lag:
    """See the module docstring; `counts` are by the bounds, the last of what is beyond them."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self.worst = 0.0

    async def watch(self) -> None:
        """Count until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + EVERY
            await asyncio.sleep(EVERY)
            self.took(max(0.0, loop.time() - due))

    def took(self, late: float) -> None:
        """Count one timer that was `late` seconds late."""
        self.counts[bisect.bisect_left(BOUNDS, late)] += 1
        self.seconds += late
        self.worst = max(self.worst, late)
