"""Coded: a broadcast that is coded anew leaves frame by frame, while the rest is still to be coded.

    value ─ frame 5 coded ─▶ c-0 takes 5
                           ─▶ c-1 takes 2            each child at its own pace, each frame coded once for all

A frame is coded when the first child wants it, and forgotten when the last has taken it.  While more than 64 MB wait
for the slowest, nothing more is coded: then the others wait for it too, until it is lost to the round or has had
the message's `patience`.  From then on all go at their own pace, and what waits is at most the message, coded.

It is for codecs that keep nothing.  One with a base or a residual is coded whole first, since what it keeps
is that of the whole message.

Sound because the last frame, with the digest, is made like the others: where a value cannot be coded, the invocation
ends here, no child has a whole message, and each is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Any

from tierfed.wire.message import Message
from tierfed.wire.plain import Header

ROOM = 64 << 20  # bytes that wait for the slowest child before nothing more is coded

Apart = Callable[[Callable[[], Any]], Awaitable[Any]]


class Coded:
    """The frames of `message` for `children`; `apart` codes off the loop, `taken` counts each frame once."""

    def __init__(
        self,
        message: Message,
        children: Iterable[str],
        apart: Apart,
        taken: Callable[[int, int], None],
        patience: float,
    ) -> None:
        self._message = message
        self._source = iter(message)
        self._next = dict.fromkeys(children, 0)  # the frame that each child takes next
        self._frames: list[tuple[Header, Any] | None] = []
        self._gone = 0  # frames that are forgotten
        self._whole = False
        self._apart = apart
        self._taken = taken
        self._patience = patience
        self._making = asyncio.Lock()
        self._moved = asyncio.Event()
        self.waiting = 0  # bytes of frames that somebody has still to take

    @property
    def children(self) -> tuple[str, ...]:
        """The children who have frames to take."""
        return tuple(self._next)

    @property
    def over(self) -> bool:
        """Whether nobody has frames to take."""
        return not self._next

    def leave(self, child: str) -> None:
        """A child takes part no more, or has taken all: nobody waits for it."""
        if self._next.pop(child, None) is not None:
            self._settle()

    async def frames(self, child: str) -> AsyncGenerator[tuple[Header, Any], None]:
        """Yield the frames for a child; raises CodecError for a value that cannot be coded."""
        try:
            at = 0
            while at >= self._gone:
                if at == len(self._frames):
                    await self._make(at)
                    if at == len(self._frames):
                        return
                frame = self._frames[at]
                assert frame is not None
                yield frame
                at += 1
                if child in self._next:
                    self._next[child] = at
                    self._settle()
        finally:
            self.leave(child)

    async def _make(self, at: int) -> None:
        """Code the next frame, if nobody has since, and there is one."""
        async with self._making:
            if self._whole or at < len(self._frames):
                return
            await self._held()
            before = self._message.wire_bytes, self._message.raw_bytes
            made = await self._apart(lambda: next(self._source, None))
            if made is None:
                self._whole = True
                return
            self._frames.append(made)
            self.waiting += sum(map(len, made[1]))
            self._taken(self._message.wire_bytes - before[0], self._message.raw_bytes - before[1])

    async def _held(self) -> None:
        """Wait for the slowest, for as long as it has."""
        loop = asyncio.get_running_loop()
        while self.waiting > ROOM and self._patience > 0:
            since = loop.time()
            self._moved.clear()
            try:
                async with asyncio.timeout(self._patience):
                    await self._moved.wait()
            except TimeoutError:
                pass
            self._patience -= loop.time() - since

    def _settle(self) -> None:
        """Forget what every child has taken."""
        stop = min(self._next.values(), default=len(self._frames))
        for at in range(self._gone, stop):
            frame = self._frames[at]
            assert frame is not None
            self.waiting -= sum(map(len, frame[1]))
            self._frames[at] = None
        self._gone = max(self._gone, stop)
        self._moved.set()
