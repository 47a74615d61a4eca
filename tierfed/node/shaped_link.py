"""ShapedLink: a child's link that takes as long as the topology says, at its parent, by the real clock.

    child ── socket ──▶ Link ── Channel up ──▶ the parent takes a frame
          ◀─ socket ─── Link ◀─ Channel down ── the parent sends one

Both directions are shaped at the parent, where those share an interface who share one: what comes waits there until it
would be there, what goes waits until it would have arrived, less the moment that the socket takes.  So the
children need not know, and their daemons are those of any other run.  It is at the level of frames, not of packets.

    shaped = ShapedLink.over(link, up, down)        a link that is in use is taken over, between two frames
    shaped.hold(), shaped.release()                 nothing arrives meanwhile, either way

Nothing overtakes: what the link was given before leaves before what it is given through this, and who hands it back
(`bare`) has nothing under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, cast

from tierfed.errors import ProtocolError, TierfedError
from tierfed.node.channel import ROOM, Channel
from tierfed.node.direct_transport import size_of
from tierfed.node.hello import Hello
from tierfed.node.link import Allocate, AllocateOf, Link, OnFrame, OnFrameOf
from tierfed.wire.frame import Frame, Sealed

log = logging.getLogger("tierfed.node.link")


class ShapedLink:
    """See the module docstring; it has all of a link that nodes use."""

    def __init__(self, link: Link, up: Channel, down: Channel) -> None:
        self._link = link
        self._up = up
        self._down = down
        self._on_frame: OnFrame | None = None
        self._allocate: Allocate | None = None
        self._paused = False
        self._held = False
        self._stuck: list[dict[str, Any]] = []  # posts that wait for `release`
        self._waiting: deque[Frame] = deque()  # arrived, and not yet wanted
        self._leaving: deque[tuple[dict[str, Any], Sealed]] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        up.moved = self._look
        down.moved = self._room.set
        link.closed.add_done_callback(lambda _: self._over())

    @staticmethod
    def over(link: Link, up: Channel, down: Channel) -> ShapedLink:
        """Return a shaped link in the place of one that may have been started; what it has begun goes on as it was."""
        on_frame, allocate, paused = link.reads
        shaped = ShapedLink(link, up, down)
        shaped._paused = paused
        if on_frame is not None:
            shaped.start(on_frame, allocate)
            shaped._look()
        return shaped

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, nor waits."""
        sending = self._turn.locked() or self._pump is not None or self._leaving
        return not (sending or self._waiting or self._paused or self._held) and self._up.idle and self._down.idle

    def bare(self) -> Link:
        """Return the link without its shape, reading for whom this one did.  To be called when it is idle."""
        if self._on_frame is not None:
            self._link.start(self._on_frame, self._allocate)
        return self._link

    def hold(self) -> None:
        """Let nothing arrive, either way, until `release`."""
        self._held = True
        self._look()

    def release(self) -> None:
        """Let arrive what was held."""
        self._held = False
        stuck, self._stuck = self._stuck, []
        for header in stuck:
            self._link.post(header)
        self._leave_now()
        self._drain()
        self._look()
        self._room.set()

    name = property(lambda self: self._link.name)
    info = property(lambda self: self._link.info)
    lost = property(lambda self: self._link.lost)
    sent_bytes = property(lambda self: self._link.sent_bytes)
    received_bytes = property(lambda self: self._link.received_bytes)

    @property
    def peer(self) -> Hello | None:
        """Who is at the other end."""
        return self._link.peer

    @property
    def closed(self) -> asyncio.Future[TierfedError | None]:
        """Done when the connection is gone; see `Link.closed`."""
        return self._link.closed

    @property
    def unread(self) -> int:
        """Return how many bytes of posted frames have not left."""
        return self._link.unread + self._down.queued

    # -- outgoing

    async def send(self, header: dict[str, Any], buffers: Sequence[Any] = ()) -> None:
        """Send one frame; return when `buffers` may be changed again."""
        await self.send_all([(header, buffers)])

    async def send_all(self, frames: Iterable[tuple[dict[str, Any], Sequence[Any]]]) -> None:
        """Send the frames of one message in a row; raises as `Link.send_all` does."""
        async with self._turn:
            for header, buffers in frames:
                if self._link.closed.done():
                    raise ProtocolError("the link is closed", where=self._link.name, mend="leave this peer out")
                sealed = Sealed.of(*(bytes(b) for b in buffers))  # they are under way for a while
                self._down.push(size_of(header, sealed), partial(self._leave, header, sealed))
                while (self._held or self._down.queued > ROOM) and not self._link.closed.done():
                    self._room.clear()
                    await self._room.wait()

    def send_now(self, header: dict[str, Any]) -> bool:
        """Send one tiny frame, if none waits for its turn; return whether it is sent."""
        if self._link.closed.done() or self._turn.locked():
            return False
        self._down.push(size_of(header, Sealed.of()), partial(self._leave, header, Sealed.of()))
        return True

    def post(self, header: dict[str, Any]) -> None:
        """Send one tiny frame without waiting."""
        if not self._link.closed.done():
            self._down.push(size_of(header, Sealed.of()), partial(self._post, header))

    def _post(self, header: dict[str, Any]) -> None:
        if self._held:
            self._stuck.append(header)
        else:
            self._link.post(header)

    def _leave(self, header: dict[str, Any], sealed: Sealed) -> None:
        self._leaving.append((header, sealed))
        self._leave_now()

    def _leave_now(self) -> None:
        if self._pump is None and self._leaving and not self._held:
            self._pump = asyncio.get_running_loop().create_task(self._pumped())

    async def _pumped(self) -> None:
        try:
            while self._leaving and not self._held:
                await self._link.send(*self._leaving.popleft())
        except ProtocolError as error:
            log.info("%s: %s", self._link.name, error.what)
        finally:
            self._pump = None

    # -- incoming

    def start(self, on_frame: OnFrame, allocate: Allocate | None = None) -> None:
        """Hand every frame to `on_frame`, in order, when it would be there; it waits in memory of its own."""
        self._on_frame, self._allocate = on_frame, allocate
        self._link.start(self._came)

    def start_of(self, child: str, on_frame: OnFrameOf, allocate: AllocateOf | None = None) -> None:
        """Do what `start` does with functions that many links share."""
        self.start(partial(on_frame, child), None if allocate is None else partial(allocate, child))

    def when_closed(self, then: Callable[[Link, TierfedError | None], None]) -> None:
        """Call `then` with this link and the reason once it is closed."""
        self._link.when_closed(lambda _, reason: then(cast(Link, self), reason))

    def _came(self, frame: Frame) -> None:
        self._up.push(frame.nbytes, partial(self._there, frame))
        self._look()

    def _there(self, frame: Frame) -> None:
        self._waiting.append(frame)
        self._drain()

    def _drain(self) -> None:
        try:
            while self._waiting and not (self._paused or self._held) and not self._link.closed.done():
                assert self._on_frame is not None
                self._on_frame(self._waiting.popleft())
        except Exception as error:
            if not isinstance(error, TierfedError):
                log.exception("%s: a frame could not be taken", self._link.name)
                error = ProtocolError(f"{type(error).__name__}: {error}", where=self._link.name, mend="see this log")
            self._link.close(error)

    def _look(self) -> None:
        """Read on, or no further, by what is under way."""
        if self._up.queued > ROOM or self._paused or self._held:
            self._link.pause()
        else:
            self._link.resume()

    def pause(self) -> None:
        """Take no more."""
        self._paused = True
        self._look()

    def resume(self) -> None:
        """Take what waits, then read again."""
        self._paused = False
        self._drain()
        self._look()

    # -- the end

    def close(self, error: TierfedError | None = None) -> None:
        """End the link, and tell the peer why, if it can be told."""
        if self._held:
            self._link.vanish(error or ProtocolError("the link is cut", where=self._link.name))
        else:
            self._link.close(error)

    def _over(self) -> None:
        self._up.clear()
        self._down.clear()
        self._room.set()
        if self._pump is not None:
            self._pump.cancel()
