"""Link: one connection between a child and its parent, frames both ways.

    await link.send({"kind": "chunk"}, [memory])      # returns when the buffers may be reused
    link.post({"kind": "beat"})                       # tiny, at once, between two frames
    link.start(on_frame)                              # from here on, frames arrive

A link is an `asyncio.BufferedProtocol`, over a socket or over the in-memory
twin of one.  Outgoing, a frame is a queue of pieces of at most 256 KB (one
write of a whole 40 MB buffer costs six times as much on Python 3.11) and the
transport's own buffer is held empty: a piece goes from the caller's memory to
the kernel, a `send` has returned only when nothing of it is left in user space,
and the caller reuses its buffers.  Incoming, the decoder names the memory and
the kernel writes into it.

Sound because frames never mix: one `send` or `send_all` has the turn, in the
order of the calls; what is posted goes out between two frames; and a `send`
that is cancelled half-way leaves the rest of its frame, copied, in the queue.

Everything that arrives is hostile until checked: what is no frame, has no
business here or comes too slowly closes this link, with a reason, and no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tierfed.errors import ProtocolError, TierfedError
from tierfed.node.hello import Hello
from tierfed.node.outlet import Outlet
from tierfed.node.telling import told
from tierfed.wire.frame import PAYLOAD_LIMIT, Frame, FrameDecoder, aligned, encode

__all__ = ["LIMITS", "Allocate", "Limits", "Link", "OnFrame"]

_PIECE = 256 * 1024  # bytes handed to the transport at once
_SMALL = 64 * 1024  # bytes up to which a frame is joined and written in one call

OnFrame = Callable[[Frame], None]
Allocate = Callable[[dict[str, Any], int], memoryview]

log = logging.getLogger("tierfed.node.link")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may do before its link is closed."""

    payload: int = PAYLOAD_LIMIT  # bytes of one frame
    handshake: float = 10.0  # seconds from the connection to the welcome
    window: float = 10.0  # seconds over which a frame in progress is measured
    rate: int = 1024  # bytes a second that a frame in progress has to make
    unread: int = 1024 * 1024  # bytes of posted frames that a peer may leave unread
    farewell: float = 2.0  # seconds for the last bytes to leave when a link is closed


LIMITS = Limits()


class Link(asyncio.BufferedProtocol):
    """See the module docstring.

    `closed` is done when the connection is gone: None after an orderly end, else
    the reason.  It never holds an exception, so it may be left unread.
    """

    def __init__(self, name: str, *, greet: Callable[[Link, Frame], None], limits: Limits = LIMITS) -> None:
        self.name = self._address = name
        self.peer: Hello | None = None  # who is at the other end; None until it has said so
        self.info: dict[str, Any] = {}  # what the parent's welcome said beside its name
        self.limits = limits
        self.sent_bytes = 0
        self.received_bytes = 0
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[TierfedError | None] = self._loop.create_future()
        self._greet: Callable[[Link, Frame], None] | None = greet
        self._on_frame: OnFrame | None = None
        self._allocate: Allocate | None = None
        self._decoder = FrameDecoder(limit=limits.payload, allocate=self._memory, where=name)
        self._waiting: deque[Frame] = deque()  # arrived, but not yet wanted
        self._paused = False
        self._draining = False
        self._transport: asyncio.Transport | None = None
        self._outlet: Outlet | None = None  # made for the first large frame
        self._turn = asyncio.Lock()
        self._pieces: deque[memoryview] = deque()  # what is left of the frame that is going out
        self._posts: list[bytes] = []
        self._full = False  # the transport holds bytes that the kernel has not taken
        self._gone = asyncio.Event()  # set when the last piece went out; woken senders look again
        self.lost = False  # whether the connection went away without a goodbye
        self._ending = False
        self._reason: TierfedError | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._pace: asyncio.TimerHandle | None = None
        self._pace_bytes = 0
        self._pace_frames = 0
        self._pace_within = False
        self._frames = 0

    def __repr__(self) -> str:
        return f"<link {self.name}{' closed' if self.closed.done() else ''}>"

    # -- outgoing

    async def send(self, header: dict[str, Any], buffers: Sequence[Any] = ()) -> None:
        """Send one frame; return when `buffers` may be changed again.

        Raises ProtocolError if the link is closed before the frame has left.
        """
        async with self._turn:
            await self._write(encode(header, buffers))

    async def send_all(self, frames: Iterable[tuple[dict[str, Any], Sequence[Any]]]) -> None:
        """Send the frames of one message in a row, with nothing but posts in between."""
        async with self._turn:
            for header, buffers in frames:
                await self._write(encode(header, buffers))

    def post(self, header: dict[str, Any]) -> None:
        """Send one tiny frame without waiting, before any frame that has not begun.

        A peer that leaves more than `limits.unread` bytes of them unread is closed;
        on a closed link nothing happens.
        """
        if self._ending or self._transport is None:
            return
        data = b"".join(encode(header))
        self.sent_bytes += len(data)
        self._posts.append(data)
        if not self._pieces:
            self._pump()
        if self.unread > self.limits.unread + _PIECE:
            self._fail(
                ProtocolError(
                    f"{self.unread} bytes left unread, {self.limits.unread} allowed",
                    where=self.name,
                    mend="see what keeps the peer from reading",
                )
            )

    @property
    def unread(self) -> int:
        """Return how many bytes of posted frames have not left, since the peer does not read."""
        waiting = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return waiting + sum(map(len, self._posts))

    async def _write(self, pieces: Sequence[Any]) -> None:
        self._check_open()
        assert self._transport is not None
        size = sum(map(len, pieces))
        self.sent_bytes += size
        if size <= _SMALL:
            pieces = [b"".join(pieces)]
        elif self._outlet is None:
            self._outlet = self._direct(self._transport)
        self._pieces.extend(map(memoryview, pieces))
        self._pump()
        try:
            while self._pieces or self._full:
                self._gone.clear()
                await self._gone.wait()
                self._check_open()
        except asyncio.CancelledError:
            if self._pieces:  # the frame has begun and goes out whole, but not from the caller's memory
                rest = memoryview(b"".join(self._pieces))
                self._pieces.clear()
                self._pieces.append(rest)
            raise

    def _pump(self) -> None:
        """Hand over pieces until nobody takes them; between two frames, what was posted."""
        transport, pieces = self._transport, self._pieces
        assert transport is not None
        while not self._full:
            if not pieces:
                if not self._posts:
                    self._gone.set()
                    return
                pieces.append(memoryview(b"".join(self._posts)))
                self._posts.clear()
            if self._outlet is not None:
                try:
                    self._full = not self._outlet.send(pieces)
                except OSError:  # the connection is gone, and what the peer last said may still be unread
                    self._outlet.close()
                    self._full = True  # for good
                    pieces.clear()
                    self._timers.append(self._loop.call_later(self.limits.farewell, transport.abort))
            else:
                piece = pieces.popleft()
                if piece.nbytes > _PIECE:
                    pieces.appendleft(piece[_PIECE:])
                    piece = piece[:_PIECE]
                transport.write(piece)

    def _direct(self, transport: asyncio.Transport) -> Outlet | None:
        """Return an outlet for large frames, if there is a plain socket under the link."""
        sock = transport.get_extra_info("socket")
        if sock is None or transport.get_extra_info("sslcontext") is not None:
            return None
        return Outlet(sock.fileno(), self.resume_writing)

    def pause_writing(self) -> None:
        """The transport holds bytes: wait.  Called by asyncio."""
        self._full = True

    def resume_writing(self) -> None:
        """The transport is empty again, or the outlet's socket has room.  Called by asyncio."""
        self._full = False
        self._pump()

    # -- incoming

    def start(self, on_frame: OnFrame, allocate: Allocate | None = None) -> None:
        """Hand every frame to `on_frame`, in order, from now on; before, none is lost.

        `allocate(header, size)` gives the memory for a payload, or raises to close
        the link.  What `on_frame` raises closes the link too.
        """
        self._on_frame = on_frame
        self._allocate = allocate
        self.resume()

    def pause(self) -> None:
        """Read no more; the peer's `send` will wait once the buffers between are full."""
        self._paused = True
        self._unwatch()
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Deliver what waits, then read again."""
        self._paused = False
        self._drain()
        if not self._paused and self._transport is not None and not self._ending:
            self._transport.resume_reading()
            if self._pace is None and self._decoder.within:
                self._watch()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go.  Called by asyncio."""
        return self._decoder.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        """Take `nbytes` that were written to the buffer.  Called by asyncio."""
        self.received_bytes += nbytes
        try:
            frames = self._decoder.buffer_updated(nbytes)
        except TierfedError as error:
            if error.where == self._address:  # the decoder was made before the peer had a name
                error.where = self.name
            self._fail(error)
            return
        self._frames += len(frames)
        if self._pace is None and not self._paused:
            self._watch()
        self._waiting.extend(frames)
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
        except TierfedError as error:
            self._fail(error)
        except Exception as error:  # a defect of ours must not take the loop or other links along
            log.exception("%s: a frame could not be taken", self.name)
            self._fail(ProtocolError(f"{type(error).__name__}: {error}", where=self.name, mend="see this node's log"))
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

    # -- pace

    def _watch(self) -> None:
        """Measure the frame in progress over the next window."""
        self._pace_bytes = self.received_bytes
        self._pace_frames = self._frames
        self._pace_within = self._decoder.within is not None
        self._pace = self._loop.call_later(self.limits.window, self._check_pace)

    def _unwatch(self) -> None:
        if self._pace is not None:
            self._pace.cancel()
            self._pace = None

    def _check_pace(self) -> None:
        """Close the link if the frame in progress was in progress all along and too little of it came.

        A head has one window to arrive; a payload has to come at `limits.rate`.
        """
        self._pace = None
        part = self._decoder.within
        if part is None or self._ending:
            return
        came = self.received_bytes - self._pace_bytes
        wanted = self.limits.rate * self.limits.window
        begun = self._pace_within and self._frames == self._pace_frames
        if not begun or (part == "payload" and came >= wanted):
            self._watch()
            return
        self._fail(
            ProtocolError(
                f"{came} bytes of a {part} in {self.limits.window:g} s"
                + (f", at least {wanted:.0f} expected" if part == "payload" else ", a whole one expected"),
                where=self.name,
                mend="see what slows the peer or its network",
            )
        )

    # -- beginning and end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin.  Called by asyncio, or by whoever upgraded the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)
        self._timers.append(self._loop.call_later(self.limits.handshake, self._too_late))

    def _too_late(self) -> None:
        if self._greet is not None:
            self._fail(
                ProtocolError(
                    f"no hello within {self.limits.handshake:g} s",
                    where=self.name,
                    mend="see what slows the peer or its network",
                )
            )

    def close(self, error: TierfedError | None = None) -> None:
        """End the link, and tell the peer why; `closed` follows when the last bytes have left.

        A frame that is half out is cut: close after your sends have returned.
        """
        if self._ending or self._transport is None:
            return
        if not self._pieces:
            goodbye = b"".join(encode({"link": "close", "error": None if error is None else told(error)}))
            self.sent_bytes += len(goodbye)
            self._transport.write(b"".join([*self._posts, goodbye]))
        self._end(error)

    def _fail(self, error: TierfedError) -> None:
        if not self._ending:
            log.warning("%s closed: %s", self.name, error.what)
            self.close(error)

    def _end(self, reason: TierfedError | None) -> None:
        if self._ending or self._transport is None:
            return
        self._ending = True
        self._reason = reason
        self._pieces.clear()
        self._posts.clear()
        self._gone.set()
        self._unwatch()
        if self._outlet is not None:
            self._outlet.close()
        self._transport.close()
        self._timers.append(self._loop.call_later(self.limits.farewell, self._transport.abort))

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
        self._pieces.clear()
        self._posts.clear()
        self._waiting.clear()
        self._gone.set()
        self._unwatch()
        if self._outlet is not None:
            self._outlet.close()
        for timer in self._timers:
            timer.cancel()
        if not self.closed.done():
            self.closed.set_result(self._reason)

    def _check_open(self) -> None:
        if self._ending or self._transport is None:
            raise ProtocolError(
                "the link is closed" + (f": {self._reason.what}" if self._reason else ""),
                where=self.name,
                mend="dial again, or leave this peer out",
            )


def _their_reason(error: object, where: str) -> TierfedError | None:
    if not isinstance(error, dict):
        return None
    texts = {key: value for key, value in error.items() if isinstance(value, str)}
    reason = TierfedError.from_dict({"what": "no reason given", "where": where, **texts})
    return reason
