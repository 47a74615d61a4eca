"""Channels: when what is sent over a modelled link is at its other end.

    wire = Wire(capacity=125e6)                        # one direction of a parent's interface
    channel = Channel(wire, Path(profile, rises=True, random=…))
    channel.push(40_000, arrived)                      # arrived() is called when the last of 40,000 bytes is there

All channels of a wire share its capacity, max-min fair, each at most at its own rate (topology/links).  What has left
arrives its latency later, and nothing overtakes what was pushed before it.  The clock is the running loop's, so the
same channels shape real daemons and drive simulated ones.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from tierfed.topology.links.fair import Interface
from tierfed.topology.links.tcp import Path

ROOM = 1 << 20  # bytes on their way into a channel before a sender has to wait: what a kernel's buffers hold


class Wire:
    """One direction of an interface; see the module docstring."""

    def __init__(self, capacity: float) -> None:
        self._interface = Interface(capacity)
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, channel: Channel, nbytes: int, rate: float) -> None:
        """Let `nbytes` of a channel that has nothing under way flow, at most at `rate`."""
        now = asyncio.get_running_loop().time()
        self._interface.begin(channel, nbytes, rate, now)
        self._arm(now)

    def cancel(self, channel: Channel) -> None:
        """Stop what flows for a channel."""
        now = asyncio.get_running_loop().time()
        self._interface.cancel(channel, now)
        self._arm(now)

    def _arm(self, now: float) -> None:
        """Look again when the first flow ends, if nothing changes before."""
        at = self._interface.next_time(now)
        if self._timer is not None:
            if self._timer.when() == at and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if at < float("inf"):
            self._timer = asyncio.get_running_loop().call_at(at, self._look, at)

    def _look(self, at: float) -> None:
        self._timer = None
        now = max(at, asyncio.get_running_loop().time())
        for channel in self._interface.finished(now):
            assert isinstance(channel, Channel)
            channel.left(now)
        self._arm(now)


class Channel:
    """One direction of one link; see the module docstring."""

    __slots__ = ("_arrives", "_coming", "_idle", "_latency", "_pushed", "_wire", "moved", "queued", "way")

    def __init__(self, wire: Wire, way: Path) -> None:
        self.way = way
        self.queued = 0  # bytes that have not left
        self.moved: Callable[[], None] | None = None  # called when some have
        self._wire = wire
        self._pushed: deque[tuple[int, Callable[[], None]]] | None = None  # while there are some
        self._coming: deque[tuple[float, Callable[[], None]]] | None = None  # when it arrives, in order
        self._latency = 0.0  # of what is under way
        self._idle = float("-inf")  # since when nothing is
        self._arrives = 0.0  # when the last that has left does

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return self._pushed is None and self._coming is None

    def change(self, way: Path) -> None:
        """Go by another model from now on; what has begun to leave keeps its time."""
        self.way = way

    def push(self, nbytes: int, then: Callable[[], None]) -> None:
        """Send `nbytes` after what was pushed before; call `then` when they have arrived."""
        self.queued += nbytes
        if self._pushed is not None:
            self._pushed.append((nbytes, then))
        else:
            self._pushed = deque([(nbytes, then)])
            self._begin(asyncio.get_running_loop().time() - self._idle)

    def _begin(self, idle: float) -> None:
        assert self._pushed is not None
        nbytes = self._pushed[0][0]
        rate, self._latency = self.way.carry(nbytes, idle, self.queued - nbytes)
        self._wire.begin(self, nbytes, rate)

    def left(self, now: float) -> None:
        """What was under way has left; called by the wire."""
        assert self._pushed is not None
        nbytes, then = self._pushed.popleft()
        self.queued -= nbytes
        self._arrives = max(now + self._latency, self._arrives)
        if self._coming is not None:
            self._coming.append((self._arrives, then))
        else:
            self._coming = deque([(self._arrives, then)])
            asyncio.get_running_loop().call_at(self._arrives, self._arrive)
        if self._pushed:
            self._begin(0.0)
        else:
            self._pushed = None
            self._idle = now
        if self.moved is not None:
            self.moved()

    def _arrive(self) -> None:
        """What has left first is there, and what came with it: timers of one moment have no order among them."""
        coming, loop = self._coming, asyncio.get_running_loop()
        assert coming is not None
        now = coming[0][0]
        while coming and coming[0][0] <= now:
            coming.popleft()[1]()
        if coming:
            loop.call_at(coming[0][0], self._arrive)
        else:
            self._coming = None

    def clear(self) -> None:
        """Forget what has not left."""
        if self._pushed:
            self._pushed = None
            self.queued = 0
            self._wire.cancel(self)
            self._idle = asyncio.get_running_loop().time()
