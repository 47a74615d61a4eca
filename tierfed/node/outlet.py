"""Outlet: a socket written to directly, beside the asyncio transport that reads from it.

On Python 3.11 `transport.write` copies what the kernel does not take at once into
fresh memory, which costs as much as the socket itself.  An outlet sends from the
caller's memory, in one `sendmsg` for all that is left of a frame, over a second
descriptor of the same socket, since asyncio guards the first against being watched
twice.  Sound as long as the transport's own buffer is empty when an outlet writes,
which `Link` sees to.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from itertools import islice

__all__ = ["Outlet"]

_VECTOR = 64  # buffers in one call; the kernel takes 1024


class Outlet:
    """See the module docstring; `on_room` is called when the socket takes bytes again."""

    def __init__(self, fileno: int, on_room: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = socket.socket(fileno=os.dup(fileno))
        self._sock.setblocking(False)
        self._fileno = self._sock.fileno()  # asyncio prints what it is given, which for a socket is slow
        self._on_room = on_room
        self._watching = False

    def send(self, pieces: deque[memoryview]) -> bool:
        """Send from the front of `pieces`, and remove what was sent; return whether all of it was.

        Raises OSError if the connection is gone.
        """
        while pieces:
            try:
                sent = self._sock.sendmsg(islice(pieces, _VECTOR))
            except (BlockingIOError, InterruptedError):
                sent = 0
            if not sent:
                self._watch(True)
                return False
            while sent:
                piece = pieces.popleft()
                if piece.nbytes > sent:
                    pieces.appendleft(piece[sent:])
                    break
                sent -= piece.nbytes
        self._watch(False)
        return True

    def _watch(self, on: bool) -> None:
        if on and not self._watching:
            self._loop.add_writer(self._fileno, self._on_room)
        elif self._watching and not on:
            self._loop.remove_writer(self._fileno)
        self._watching = on

    def close(self) -> None:
        """Give the descriptor back."""
        self._watch(False)
        self._sock.close()
