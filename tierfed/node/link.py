"""Link: one connection between a child and its parent, frames both ways.

    await link.send({"kind": "chunk"}, [memory])      # returns when the buffers may be reused
    link.post({"kind": "beat"})                       # tiny, at once, between two frames
    link.start(on_frame)                              # from here on, frames arrive

A link is an `asyncio.BufferedProtocol`, over a socket or over the in-memory twin of
one: the decoder names the memory and the kernel writes into it (what leaves:
outgoing.py).  One `send` or `send_all` has the turn, in the order of the calls.

Everything that arrives is hostile until checked: what is no frame, has no business
here or comes too slowly closes this link, with a reason, and no other.  The reason is
the last frame that the peer gets, also if it is still sending: a socket that is closed
with bytes unread resets the connection, and the reason may be lost with it.  So whoever
closes ends its own side alone, and reads on, to throw away what comes, until the peer
has ended its side too, or for as long as `limits.farewell` (RFC 9112, 9.6).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from tierfed.errors import ProtocolError, TierfedError
from tierfed.node.hello import Hello
from tierfed.node.inlet import Inlet
from tierfed.node.outgoing import Outgoing
from tierfed.node.pace import Pace, Progress
from tierfed.node.telling import told
from tierfed.wire.frame import PAYLOAD_LIMIT, Frame, FrameDecoder, aligned, encode

__all__ = ["LIMITS", "Allocate", "AllocateOf", "Limits", "Link", "OnFrame", "OnFrameOf"]

OnFrame = Callable[[Frame], None]
Allocate = Callable[[dict[str, Any], int], memoryview]
OnFrameOf = Callable[[str, Frame], None]
AllocateOf = Callable[[str, dict[str, Any], int], memoryview]

log = logging.getLogger("tierfed.node.link")

_NOWHERE = memoryview(bytearray(64 * 1024))  # what is read of links that are closed; nobody looks at it


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may do before its link is closed."""

    payload: int = PAYLOAD_LIMIT  # bytes of one frame
    handshake: float = 10.0  # seconds from the connection to the welcome
    window: float = 10.0  # seconds over which a frame in progress is measured
    rate: int = 1024  # bytes a second that a frame in progress has to make
    unread: int = 1024 * 1024  # bytes of posted frames that a peer may leave unread
    farewell: float = 2.0  # seconds for the last bytes to leave, and the peer to end, when a link is closed


LIMITS = Limits()


class Link(asyncio.BufferedProtocol):
    """See the module docstring.

    `closed` is done when our last bytes have left, or the connection is gone: None after
    an orderly end, else the reason.  It never holds an exception, so it may be left unread.
    `gone` follows at the latest `limits.farewell` after the end: the descriptor is free.
    """

    def __init__(self, name: str, *, greet: Callable[[Link, Frame], None], limits: Limits = LIMITS) -> None:
        self.name = self._address = name
        self.peer: Hello | None = None  # who is at the other end; None until it has said so
        self.info: dict[str, Any] = {}  # what the parent's welcome said beside its name
        self.limits = limits
        self.received_bytes = 0
        self.lost = False  # whether the connection went away without a goodbye
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[TierfedError | None] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._turn = asyncio.Lock()
        self._outgoing: Outgoing | None = None
        self._inlet: Inlet | None = None
        self._greet: Callable[[Link, Frame], None] | None = greet
        self._on_frame: OnFrame | None = None
        self._allocate: Allocate | None = None
        self._decoder = FrameDecoder(limit=limits.payload, allocate=self._memory, where=name)
        self._frames = 0
        self._pace = Pace(limits.window, limits.rate, self._progress, self._too_slow)
        self._waiting: deque[Frame] = deque()  # arrived, but not yet wanted
        self._paused = False
        self._draining = False
        self._ending = False
        self._lingers = False  # whether it reads on to the peer's end
        self._reason: TierfedError | None = None
        self._timers: list[asyncio.TimerHandle] = []

    def __repr__(self) -> str:
        return f"<link {self.name}{' closed' if self.closed.done() else ''}>"

    def stays_in(self, links: set[Link]) -> None:
        """Be one of `links` as long as the connection is there."""
        links.add(self)
        self.gone.add_done_callback(lambda _: links.discard(self))

    # -- outgoing

    @property
    def sent_bytes(self) -> int:
        """Return the bytes of frames that were sent, headers included."""
        return 0 if self._outgoing is None else self._outgoing.sent_bytes

    @property
    def unread(self) -> int:
        """Return how many bytes of posted frames have not left, since the peer does not read."""
        return 0 if self._outgoing is None else self._outgoing.unread

    async def send(self, header: dict[str, Any], buffers: Sequence[Any] = ()) -> None:
        """Send one frame; return when `buffers` may be changed again.

        Raises ProtocolError if the link is closed before the frame has left.
        """
        await self.send_all([(header, buffers)])

    async def send_all(self, frames: Iterable[tuple[dict[str, Any], Sequence[Any]]]) -> None:
        """Send the frames of one message in a row, with nothing but posts in between.

        Raises ProtocolError if the link is closed before the last has left.
        """
        async with self._turn:
            for header, buffers in frames:
                outgoing = self._open()
                outgoing.put(encode(header, buffers))
                await outgoing.drained()
                self._open()

    def send_now(self, header: dict[str, Any]) -> bool:
        """Send one tiny frame, if none is on its way or waits for its turn; return whether it is sent."""
        outgoing = self._outgoing
        if self._ending or outgoing is None or outgoing.busy or self._turn.locked():
            return False
        outgoing.put(encode(header))
        return True

    def post(self, header: dict[str, Any]) -> None:
        """Send one tiny frame without waiting, before any frame that has not begun.

        A peer that leaves more than `limits.unread` bytes of them unread is closed;
        on a closed link nothing happens.
        """
        if self._ending or self._outgoing is None:
            return
        self._outgoing.post(b"".join(encode(header)))
        if self.unread > self.limits.unread:
            self._fail(
                ProtocolError(
                    f"{self.unread} bytes left unread, {self.limits.unread} allowed",
                    where=self.name,
                    mend="see what keeps the peer from reading",
                )
            )

    def _open(self) -> Outgoing:
        if self._ending or self._outgoing is None:
            raise ProtocolError(
                "the link is closed" + (f": {self._reason.what}" if self._reason else ""),
                where=self.name,
                mend="dial again, or leave this peer out",
            )
        return self._outgoing

    def _broken(self) -> None:
        """The connection is gone; what the peer last said may still be unread, so end it in a while."""
        assert self._transport is not None
        self._timers.append(self._loop.call_later(self.limits.farewell, self._transport.abort))

    def pause_writing(self) -> None:
        """The transport holds bytes.  Called by asyncio."""
        assert self._outgoing is not None
        self._outgoing.pause()

    def resume_writing(self) -> None:
        """The transport is empty again.  Called by asyncio."""
        if not self._ending and self._outgoing is not None:
            self._outgoing.resume()
        elif self._lingers:
            self._loop.call_soon(self._half_close)

    # -- incoming

    @property
    def reads(self) -> tuple[OnFrame | None, Allocate | None, bool]:
        """What `start` was given, and whether nothing is read now: for who takes the link over."""
        return self._on_frame, self._allocate, self._paused

    def start(self, on_frame: OnFrame, allocate: Allocate | None = None) -> None:
        """Hand every frame to `on_frame`, in order, from now on; before, none is lost.

        `allocate(header, size)` gives the memory for a payload, or raises to close
        the link.  What `on_frame` raises closes the link too.
        """
        self._on_frame = on_frame
        self._allocate = allocate
        self.resume()

    def start_of(self, child: str, on_frame: OnFrameOf, allocate: AllocateOf | None = None) -> None:
        """Do what `start` does with functions that many links share, which are told whose frame it is."""
        self.start(partial(on_frame, child), None if allocate is None else partial(allocate, child))

    def when_closed(self, then: Callable[[Link, TierfedError | None], None]) -> None:
        """Call `then` with this link and the reason once it is closed."""
        self.closed.add_done_callback(lambda done: then(self, done.result()))

    def pause(self) -> None:
        """Read no more; the peer's `send` will wait once the buffers between are full."""
        self._paused = True
        self._pace.rest()
        if self._transport is not None and not self._ending:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Deliver what waits, then read again."""
        self._paused = False
        self._drain()
        if not self._paused and self._transport is not None and not self._ending:
            self._transport.resume_reading()
            if self._decoder.within:
                self._pace.watch()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go.  Called by asyncio."""
        return _NOWHERE if self._ending else self._decoder.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        """Take `nbytes` that were written to the buffer.  Called by asyncio."""
        if self._ending:
            return
        self.received_bytes += nbytes
        try:
            frames = self._decoder.buffer_updated(nbytes)
        except Exception as error:
            self._refuse(error)
            return
        if self._inlet is not None:
            self._inlet.expect(len(self._decoder.get_buffer()) if self._decoder.within == "payload" else 0)
        self._frames += len(frames)
        self._waiting.extend(frames)
        if not self._paused:
            self._pace.watch()
            self._drain()

    def _memory(self, header: dict[str, Any], size: int) -> memoryview:
        self._check_welcome(size)
        if self._allocate is not None:
            return self._allocate(header, size)
        return aligned(size)

    def _check_welcome(self, size: int) -> None:
        """Refuse a payload of `size` bytes from a peer that was not let in."""
        if self._greet is not None and size:
            raise ProtocolError(
                f"a payload of {size} bytes before the welcome", where=self.name, mend="say hello first"
            )

    def _drain(self) -> None:
        """Take the frames that wait, one after the other, also if one of them pauses and resumes the link."""
        if self._draining:
            return
        self._draining = True
        try:
            while self._waiting and not self._paused and not self._ending:
                self._take(self._waiting.popleft())
        except Exception as error:
            self._refuse(error)
        finally:
            self._draining = False

    def _take(self, frame: Frame) -> None:
        word = frame.header.get("link")
        if word == "close":
            self._end(_their_reason(frame.header.get("error"), self.name))
        elif self._greet is not None:
            self._check_welcome(len(frame.payload))
            greet, self._greet = self._greet, None
            greet(self, frame)
            if self._on_frame is None:
                self.pause()
        elif word is not None:
            raise ProtocolError(
                f"a {word!r} in mid-conversation", where=self.name, mend="run one version of tierfed at both ends"
            )
        else:
            assert self._on_frame is not None
            self._on_frame(frame)

    def _refuse(self, error: Exception) -> None:
        """Close the link for `error`; a defect of ours must not take the loop or other links along."""
        if not isinstance(error, TierfedError):
            log.exception("%s: a frame could not be taken", self.name)
            error = ProtocolError(f"{type(error).__name__}: {error}", where=self.name, mend="see this node's log")
        elif error.where == self._address:  # the decoder was made before the peer had a name
            error.where = self.name
        self._fail(error)

    def _progress(self) -> Progress:
        held = 0 if self._inlet is None else self._inlet.waiting()
        within = self._decoder.within
        left = len(self._decoder.get_buffer()) if within == "payload" else 1
        return Progress(self.received_bytes + held, self._frames, within, held >= left)

    def _too_slow(self, what: str) -> None:
        self._fail(ProtocolError(what, where=self.name, mend="see what slows the peer or its network"))

    # -- beginning and end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin.  Called by asyncio, or by whoever upgraded the connection."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._transport = transport
        self._outgoing = Outgoing(transport, self._broken)
        self._inlet = Inlet.under(transport)
        self._timers.append(self._loop.call_later(self.limits.handshake, self._too_late))

    def _too_late(self) -> None:
        if self._greet is not None:
            self._too_slow(f"no hello within {self.limits.handshake:g} s")

    def close(self, error: TierfedError | None = None) -> None:
        """End the link, and tell the peer why; `closed` follows when the last bytes have left.

        A frame that is half out is cut: close after your sends have returned.
        """
        if not self._ending and self._outgoing is not None:
            self._outgoing.end(b"".join(encode({"link": "close", "error": None if error is None else told(error)})))
            self._end(error, lingers=True)

    def vanish(self, reason: TierfedError) -> None:
        """End the link without a word, as where a network fails: the peer finds the connection lost."""
        if not self._ending and self._transport is not None:
            self._end(reason)
            self._transport.abort()

    def _fail(self, error: TierfedError) -> None:
        if not self._ending:
            log.warning("%s closed: %s", self.name, error.what)
            self.close(error)

    def _end(self, reason: TierfedError | None, *, lingers: bool = False) -> None:
        if self._ending or self._transport is None or self._outgoing is None:
            return
        self._ending = True
        self._reason = reason
        self._pace.rest()
        self._outgoing.end()
        self._waiting.clear()
        self._timers.append(self._loop.call_later(self.limits.farewell, self._transport.abort))
        if not lingers or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._lingers = True
        if self._inlet is not None:
            self._inlet.expect(0)
        self._transport.resume_reading()
        if not self._transport.get_write_buffer_size():
            self._loop.call_soon(self._half_close)

    def _half_close(self) -> None:
        """Our last bytes have left: end our side of the connection, and no more."""
        assert self._transport is not None
        if self.gone.done() or self._transport.is_closing():
            return
        try:
            self._transport.write_eof()
        except OSError:  # the peer has reset it
            self._transport.abort()
        self._finish()

    def eof_received(self) -> None:
        """The peer ended its side; connection_lost follows.  Called by asyncio."""
        if self._ending:
            return
        try:
            self._decoder.eof()
        except TierfedError as error:
            log.warning("%s closed: %s", self.name, error.what)
            self.lost = True
            self._end(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Finish.  Called by asyncio."""
        if not self._ending:
            self._reason = ProtocolError(
                f"the connection was lost: {exc}" if exc else "the connection ended without a goodbye",
                where=self.name,
                mend="see the log of the node at the other end",
            )
            self._ending = self.lost = True
        if self._outgoing is not None:
            self._outgoing.end()
        self._pace.rest()
        self._waiting.clear()
        for timer in self._timers:
            timer.cancel()
        self._finish()
        if not self.gone.done():
            self.gone.set_result(None)

    def _finish(self) -> None:
        if not self.closed.done():
            self.closed.set_result(self._reason)


def _their_reason(error: object, where: str) -> TierfedError | None:
    if not isinstance(error, dict):
        return None
    texts = {key: value for key, value in error.items() if isinstance(value, str)}
    return TierfedError.from_dict({"what": "no reason given", "where": where, **texts})
