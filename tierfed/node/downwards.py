"""Downwards: how a node begins an invocation at its children, and tells them how one has ended.

    end of 9f-3 ── begin 9f-4 within 5 ms ──▶ bulk link       begin 9f-4, ended [[9f-3, 1, true]]
                └─ none ────────────────────▶ control link    end 9f-3

A beginning says how the attempts before it have ended (fates.py), as far as the child has not heard that over the
same link.  So the end of an attempt that counts whole waits a moment for a beginning that says it anyway: rounds that
follow each other at once take two frames to a child, not three.  Any other end goes at once: it stops work, or comes
before the release of what the attempt has kept, which the control link has in that order.

Sound because the bulk link keeps its order: what has left over it is heard before what follows, and nothing of it is
when the connection is lost, from when on all is told again.  A beginning that would have to wait for its turn there, or
brings its program, says nothing in place of an end: nobody's end queues behind a tensor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from tierfed.node.fates import TOLD_AGAIN, Fates
from tierfed.node.peer import Peer

_WAIT = 0.005  # seconds that an end waits for a beginning

_Header = dict[str, Any]


class Downwards:
    """See the module docstring; `send` sends frames to a child by name, in their turn."""

    def __init__(
        self,
        children: Mapping[str, Peer],
        fates: Fates,
        send: Callable[[str, list[tuple[_Header, Any]]], Coroutine[Any, Any, None]],
    ) -> None:
        self._children = children
        self._fates = fates
        self._send = send
        self._waiting: dict[str, list[_Header]] = {}  # ends, by child
        self._timer: asyncio.TimerHandle | None = None
        self._said: tuple[_Header, list[list[Any]], _Header] = {}, [], {}  # the last beginning that said so

    def end(self, child: str, header: _Header, *, whole: bool) -> None:
        """Tell a child of an end; `whole` says that the attempt counts there, all that it sent, and keeps nothing."""
        if not whole:
            self._children[child].post(header)
            return
        self._waiting.setdefault(child, []).append(header)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_WAIT, self.flush)

    def flush(self) -> None:
        """Tell all that waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for child in tuple(self._waiting):
            self._tell(child)

    def _tell(self, child: str) -> None:
        for header in self._waiting.pop(child, ()):
            self._children[child].post(header)

    def begin(
        self, child: Peer, begin: _Header, program: bytes, spawn: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        """Send the beginning of an invocation to a child that is up: now, or by a task that `spawn` is given."""
        words = self._fates.words(child.name)
        ended, count = words.after(child.heard), words.count
        header = self._with(begin, ended) if ended else begin
        if count - child.heard > TOLD_AGAIN:  # it says no more
            self._tell(child.name)
        known = child.deployed.has(begin["hash"])
        if known and child.bulk is not None and child.bulk.send_now(header):
            self._left(child, header, count)
            self._waiting.pop(child.name, None)
            return
        self._tell(child.name)
        frames: list[tuple[_Header, Any]] = [(header, ())]
        if not known:
            frames.insert(0, ({"kind": "deploy", "hash": begin["hash"]}, [program]))
        spawn(self._begin(child, frames, count))

    def _with(self, begin: _Header, ended: list[list[Any]]) -> _Header:
        """Return a beginning with what it says of those before: one header for children who are told the same."""
        of, told, header = self._said
        if of is not begin or told != ended:
            header = {**begin, "ended": ended}
            self._said = begin, ended, header
        return header

    async def _begin(self, child: Peer, frames: list[tuple[_Header, Any]], count: int) -> None:
        """Send a beginning in its turn, and its program before it if the child lacks that."""
        bulk = child.bulk
        await self._send(child.name, frames)
        if child.bulk is bulk:
            self._left(child, frames[-1][0], count)

    @staticmethod
    def _left(child: Peer, header: _Header, words: int) -> None:
        child.deployed.sent(header["hash"])
        child.heard = max(child.heard, words)
