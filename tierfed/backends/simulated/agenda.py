"""Agenda: what happens at set times of the virtual clock, on one timer.

    agenda.at(79200.0, comes)                 comes(79200.0) is called then

A fleet of a hundred thousand phones has as many comings and goings a day; a heap holds them, and the loop has a timer
for the first alone.  What falls on one moment happens in the order in which it was put down.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import TypeAlias

Happens: TypeAlias = Callable[[float], None]
"""Called with the time that it was put down for."""


class Agenda:
    """See the module docstring; used on its loop alone."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Happens]] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def at(self, time: float, happens: Happens) -> None:
        """Have `happens` called at `time`, or soon if that is past."""
        self._count += 1
        heapq.heappush(self._due, (time, self._count, happens))
        self._arm()

    def _arm(self) -> None:
        first = self._due[0][0]
        if self._timer is not None:
            if self._timer.when() == first:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(first, self._look, first)

    def _look(self, now: float) -> None:
        self._timer = None
        while self._due and self._due[0][0] <= now:
            at, _, happens = heapq.heappop(self._due)
            happens(at)
        if self._due:
            self._arm()
