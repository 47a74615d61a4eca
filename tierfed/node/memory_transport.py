"""MemoryTransport: the twin of `transport` without sockets, for tests of the floors above.

    net = MemoryTransport(delay=lambda leg: 0.010 if leg.rises else 0.001)
    server = await net.serve(net.listener(), hello, admit)
    link = await net.dial(server.address, hello, deadline=loop.time() + 1)

Everything above the bytes is the code that runs over sockets: `Link`, frames,
handshake.  Only the asyncio transport under a link is replaced, by two deques.
Bytes arrive in the order in which they were written, over `call_soon` and
`call_at` alone, so on a loop with a virtual clock a run replays exactly.

`delay(leg)` gives the seconds that a write takes on its way; infinity loses it,
and all that follows, as a partition does.  `cut(leg, sent, size)` is asked at
each write and returns None, or how many of its `size` bytes still arrive before
the connection is gone; `sent` bytes of the leg went before.  `sever` cuts now.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tierfed.node.backoff import Backoff
from tierfed.node.hello import Hello
from tierfed.node.link import LIMITS, Limits, Link
from tierfed.node.loopback import loopback
from tierfed.node.reception import Admit, Door, Reception, Server, introduce, persist

__all__ = ["Leg", "MemoryListener", "MemoryTransport"]

_ROOM = 1024 * 1024  # bytes under way before a writer has to wait: what a kernel's buffers hold


@dataclass(frozen=True, slots=True)
class Leg:
    """One direction of one connection."""

    child: str
    port: int  # of the parent
    plane: str
    rises: bool


@dataclass(frozen=True, slots=True)
class MemoryListener:
    """Stands for a listening socket; no descriptor is behind it."""

    address: tuple[str, int]

    def getsockname(self) -> tuple[str, int]:
        """Return host and port, as a socket does."""
        return self.address


class MemoryTransport:
    """See the module docstring; each instance is a network of its own."""

    def __init__(
        self,
        *,
        delay: Callable[[Leg], float] = lambda leg: 0.0,
        cut: Callable[[Leg, int, int], int | None] = lambda leg, sent, size: None,
    ) -> None:
        self.delay = delay
        self.cut = cut
        self._listening: dict[tuple[str, int], Reception] = {}
        self._ends: list[_End] = []
        self._ports = iter(range(40000, 65536))

    def listener(self, port: int = 0) -> MemoryListener:
        """Return a listener at `port`, or at one that no other has."""
        return MemoryListener(("127.0.0.1", port or next(self._ports)))

    async def serve(
        self,
        listener: MemoryListener,
        hello: Hello,
        admit: Admit,
        *,
        ready: Callable[[], str | None] = lambda: None,
        metrics: Callable[[], bytes] = bytes,
        door: Door | None = None,
        limits: Limits = LIMITS,
    ) -> Server:
        """Serve links at `listener`; see `transport.serve`.  There is no HTTP: nobody asks `ready` and the like."""
        address = loopback(*listener.getsockname(), doing="serve")
        self._listening[address] = reception = Reception(hello, admit, limits)

        async def cleanup() -> None:
            """Leave nothing behind: there is nothing but the links."""

        def deafen() -> None:
            self._listening.pop(address, None)

        return Server(address, reception, deafen, cleanup)

    async def dial(
        self,
        address: tuple[str, int],
        hello: Hello,
        *,
        deadline: float,
        backoff: Backoff | None = None,
        limits: Limits = LIMITS,
    ) -> Link:
        """Return a link to the parent at `address`; see `transport.dial`."""
        host, port = loopback(*address, doing="dial")
        name = f"{hello.node} to {host}:{port}"

        async def attempt() -> Link:
            reception = self._listening.get((host, port))
            if reception is None:
                raise ConnectionRefusedError("connection refused")
            child, parent = self._connect(Leg(hello.node, port, hello.plane, True))
            far = reception.link(f"memory of {hello.node}")
            parent.set_protocol(far)
            far.connection_made(parent)
            try:
                return await introduce(child, b"", hello, name, limits)
            except BaseException:
                child.abort()
                raise

        return await persist(attempt, f"{host}:{port}", hello, deadline, backoff, limits)

    def sever(self, child: str, plane: str | None = None) -> int:
        """Cut the connections of `child` now, both ends see them lost; return how many there were."""
        cut = [e for e in self._ends if e.leg.rises and e.leg.child == child and plane in (None, e.leg.plane)]
        for end in cut:
            end.abort()
            end.lose(ConnectionResetError("connection reset by peer"))
        return len(cut)

    def _connect(self, leg: Leg) -> tuple[_End, _End]:
        up, down = _End(self, leg), _End(self, Leg(leg.child, leg.port, leg.plane, False))
        up.far, down.far = down, up
        self._ends += [up, down]
        return up, down

    def forget(self, end: _End) -> None:
        """Drop an end whose connection is over."""
        if end in self._ends:
            self._ends.remove(end)


class _End(asyncio.Transport):
    """One end of a connection: what is written here arrives at `far`."""

    far: _End

    def __init__(self, net: MemoryTransport, leg: Leg) -> None:
        super().__init__()
        self.leg = leg  # the direction in which this end writes
        self._net = net
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._sent = 0
        self.under_way = 0  # bytes that were written to this end and have not been read
        self._arriving: deque[tuple[float, memoryview | None]] = deque()  # when, and what: None is the end
        self._timer: asyncio.Handle | None = None
        self._reading = True
        self._writer_waits = False
        self._closing = False
        self._over = False

    # -- what a link asks of its transport

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, Link)
        self._link = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing to set: a writer waits while more than `_ROOM` bytes are under way."""

    def get_write_buffer_size(self) -> int:
        return max(0, self.far.under_way - _ROOM)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing:
            return
        passes = self._net.cut(self.leg, self._sent, len(data))
        view = memoryview(bytes(data))[:passes]
        self._sent += len(view)
        self.far.expect(self._loop.time() + self._net.delay(self.leg), view)
        if passes is not None:
            self.far.expect(self._loop.time(), None)
            self._closing = True
            self._loop.call_soon(self.lose, ConnectionResetError("connection reset by peer"))
        elif not self._writer_waits and self.far.under_way > _ROOM:
            self._writer_waits = True
            if self._link is not None:
                self._link.pause_writing()

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self._schedule()

    def is_closing(self) -> bool:
        return self._closing

    def can_write_eof(self) -> bool:
        """Return False: nothing is lost here to a reset, so nobody has to linger."""
        return False

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.far.expect(self._loop.time() + self._net.delay(self.leg), None)
            self._loop.call_soon(self.lose, None)

    def abort(self) -> None:
        self._closing = True
        self._loop.call_soon(self.lose, None)
        self._loop.call_soon(self.far.lose, ConnectionResetError("connection reset by peer"))

    # -- what the other end does to this one

    def expect(self, when: float, view: memoryview | None) -> None:
        """Take `view` at the time `when`, but after all that was written before it."""
        if self._over:
            return
        self._arriving.append((when, view))
        self.under_way += len(view) if view is not None else 0
        self._schedule()

    def lose(self, reason: Exception | None) -> None:
        """The connection is over at this end."""
        if self._over:
            return
        self._over = self._closing = True
        self._arriving.clear()
        self._net.forget(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._link is not None:
            self._link.connection_lost(reason)

    def _schedule(self) -> None:
        if self._timer is not None or not self._arriving or not self._reading or self._over:
            return
        when = self._arriving[0][0]
        if when <= self._loop.time():
            self._timer = self._loop.call_soon(self._arrive)
        elif when < math.inf:
            self._timer = self._loop.call_at(when, self._arrive)

    def _arrive(self) -> None:
        """Hand the first write to the link, as a socket would: into its buffer, until it pauses."""
        self._timer = None
        link = self._link
        if link is None or not self._reading or not self._arriving or self._closing:
            return
        when, view = self._arriving.popleft()
        if view is None:
            link.eof_received()
            self.close()
            return
        while len(view) and self._reading and not self._closing:
            buffer = link.get_buffer(-1)
            size = min(len(buffer), len(view))
            buffer[:size] = view[:size]
            view = view[size:]
            self.under_way -= size
            link.buffer_updated(size)
        if len(view):
            self._arriving.appendleft((when, view))
        self.far.relieve()
        self._schedule()

    def relieve(self) -> None:
        """Let the link at this end write again, if there is room."""
        if self._writer_waits and self.far.under_way <= _ROOM and self._link is not None and not self._closing:
            self._writer_waits = False
            self._link.resume_writing()
