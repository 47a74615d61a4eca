"""Pace: a frame that has begun has to get on.

Every `window` seconds, while bytes come, look at the frame in progress.  If it was
in progress a window ago already, its head must be whole by now, and its payload must
have made `rate` bytes a second.  A peer that trickles holds a buffer for two windows
at most; one that is silent between two frames is none of this module's business, and
so is a frame of which all that is left has come and is only not read yet: a node with
thousands of children may take a while to get round to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Pace", "Progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a link has come: bytes and whole frames received, and the part of a frame that is under way."""

    nbytes: int
    frames: int
    within: str | None  # "head", "payload" or None
    here: bool = False  # what is left of that part has come, and waits to be read


class Pace:
    """See the module docstring; `slow` is called with what was too slow."""

    def __init__(self, window: float, rate: int, look: Callable[[], Progress], slow: Callable[[str], None]) -> None:
        self._window = window
        self._wanted = rate * window
        self._look = look
        self._slow = slow
        self._loop = asyncio.get_running_loop()
        self._before = Progress(0, 0, None)
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Look again in a window's time, unless that is agreed already."""
        if self._timer is None:
            self._before = self._look()
            self._timer = self._loop.call_later(self._window, self._check)

    def rest(self) -> None:
        """Look no more: the link is paused, or closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        before, now = self._before, self._look()
        if now.within is None:
            return  # until bytes come again
        came = now.nbytes - before.nbytes
        new = before.within is None or now.frames > before.frames
        if new or now.here or (now.within == "payload" and came >= self._wanted):
            self.watch()
            return
        expected = f"at least {self._wanted:.0f}" if now.within == "payload" else "a whole one"
        self._slow(f"{came} bytes of a {now.within} in {self._window:g} s, {expected} expected")
