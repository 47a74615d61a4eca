"""Outgoing: the bytes of a link on their way out, frame after frame.

A frame is a queue of pieces.  Small ones, of at most 256 KB, go through the
transport (one write of a whole 40 MB buffer costs six times as much on Python
3.11); a large one goes through an outlet, past it.  Either way the transport's own
buffer is held empty: bytes go from the caller's memory to the kernel, and when
`drained` returns nothing of it is left in user space.

Sound because a frame is never cut by another: what is posted waits until the queue
is empty, and a caller that is cancelled leaves the rest of its frame, copied.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from tierfed.node.outlet import Outlet

__all__ = ["Outgoing"]

_PIECE = 256 * 1024  # bytes handed to the transport at once
_AT_ONCE = 4 * 1024 * 1024  # bytes that may leave while nothing else on the loop has a turn
_SMALL = 64 * 1024  # bytes up to which a frame is joined and written in one call


class Outgoing:
    """See the module docstring; `broken` is called once if the connection turns out to be gone."""

    def __init__(self, transport: asyncio.Transport, broken: Callable[[], None]) -> None:
        transport.set_write_buffer_limits(high=0)
        self.sent_bytes = 0
        self._transport = transport
        self._broken = broken
        self._outlet: Outlet | None = None  # made for the first large frame
        self._pieces: deque[memoryview] = deque()  # what is left of the frame that is going out
        self._posts: list[bytes] = []
        self._full = False  # the kernel takes no more for now
        self._since = 0  # bytes since the loop last had a turn
        self._moved = asyncio.Event()  # set when all is gone, or never will be
        self._ended = False

    def put(self, pieces: Sequence[Any]) -> None:
        """Begin to send a frame, given as bytes-like pieces that do not change until `drained`."""
        size = sum(map(len, pieces))
        self.sent_bytes += size
        self._since += size
        if size <= _SMALL:
            pieces = [b"".join(pieces)]
        elif self._outlet is None:
            self._outlet = self._direct()
        self._pieces.extend(map(memoryview, pieces))
        self._pump()

    async def drained(self) -> None:
        """Return when all has left, or when the connection has ended.

        A peer that takes frames as fast as they come is no reason not to look at others in between.
        """
        try:
            if self._since > _AT_ONCE:
                self._since = 0
                await asyncio.sleep(0)
            while (self._pieces or self._full) and not self._ended:
                self._moved.clear()
                self._since = 0
                await self._moved.wait()
        except asyncio.CancelledError:
            if self._pieces:  # the frame has begun and goes out whole, but not from the caller's memory
                rest = memoryview(b"".join(self._pieces))
                self._pieces.clear()
                self._pieces.append(rest)
            raise

    @property
    def busy(self) -> bool:
        """Whether something is on its way out."""
        return bool(self._pieces or self._posts) or self._full

    def post(self, data: bytes) -> None:
        """Send a small frame now, or behind the frame that is going out."""
        self.sent_bytes += len(data)
        self._posts.append(data)
        if not self._pieces:
            self._pump()

    @property
    def unread(self) -> int:
        """Return how many bytes of posted frames have not left, since the peer does not read."""
        return self._transport.get_write_buffer_size() + sum(map(len, self._posts))

    def _pump(self) -> None:
        """Hand over pieces until nobody takes them; between two frames, what was posted."""
        pieces = self._pieces
        while not self._full:
            if not pieces:
                if not self._posts:
                    self._moved.set()
                    return
                pieces.append(memoryview(b"".join(self._posts)))
                self._posts.clear()
            if self._outlet is not None:
                self._push(self._outlet)
            else:
                piece = pieces.popleft()
                if piece.nbytes > _PIECE:
                    pieces.appendleft(piece[_PIECE:])
                    piece = piece[:_PIECE]
                self._transport.write(piece)

    def _push(self, outlet: Outlet) -> None:
        try:
            self._full = not outlet.send(self._pieces)
        except OSError:
            outlet.close()
            self._full = True  # for good
            self._pieces.clear()
            self._broken()

    def _direct(self) -> Outlet | None:
        """Return an outlet, if there is a plain socket under the transport."""
        sock = self._transport.get_extra_info("socket")
        if sock is None or self._transport.get_extra_info("sslcontext") is not None:
            return None
        return Outlet(sock.fileno(), self.resume)

    def pause(self) -> None:
        """The transport holds bytes: wait."""
        self._full = True

    def resume(self) -> None:
        """The transport is empty again, or the outlet's socket has room."""
        self._full = False
        self._pump()

    def end(self, goodbye: bytes = b"") -> None:
        """Drop what is left, after a last frame if none is half out, and wake who waits."""
        if self._ended:
            return
        self._ended = True
        if goodbye and not self._pieces:
            self.sent_bytes += len(goodbye)
            self._transport.write(b"".join([*self._posts, goodbye]))
        self._pieces.clear()
        self._posts.clear()
        self._full = True
        self._moved.set()
        if self._outlet is not None:
            self._outlet.close()
