"""DirectTransport: frames handed from node to node within a process, on a virtual clock.

    net = DirectTransport(channels)                     channels("c-eu-03", "bulk") -> its way up and its way down
    server = await net.serve(("edge-eu", 0), hello, admit)
    link = await net.dial(("edge-eu", 0), hello, deadline=…)

A node cannot tell a `DirectLink` from a `Link`: the same headers, checks, acknowledgements and payloads in memory that
the receiver names.  What is missing is what only bytes need: packing, parsing, copies between.  Each frame has the
size that it would have on a socket, and takes its time on the child's `Channel`, if the link is modelled.

`MemoryTransport` is for tests of what happens to bytes; this one is for fleets of a hundred thousand nodes.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias, cast

from tierfed.errors import ProtocolError, TierfedError
from tierfed.node.backoff import Backoff
from tierfed.node.channel import ROOM, Channel
from tierfed.node.hello import Hello, agree
from tierfed.node.link import LIMITS, Allocate, AllocateOf, Limits, Link, OnFrame, OnFrameOf
from tierfed.node.reception import Admit, Door, Server, persist
from tierfed.wire.frame import Frame, Sealed, aligned, frame_bytes
from tierfed.wire.plain import pack

log = logging.getLogger("tierfed.node.link")

Channels: TypeAlias = Callable[[str, str], "tuple[Channel, Channel] | None"]
"""The ways up and down of a child, by its name and plane; None where its link is not modelled."""


class DirectTransport:
    """See the module docstring; each instance is a network of its own."""

    def __init__(self, channels: Channels = lambda child, plane: None) -> None:
        self._channels = channels
        self._listening: dict[tuple[str, int], tuple[Hello, Admit]] = {}
        self._links: dict[str, list[DirectLink]] = {}  # by child, its own ends
        self._barred: dict[str, asyncio.Event] = {}  # children who cannot reach their parents
        self._held: set[str] = set()  # children over whose links nothing arrives

    async def serve(
        self,
        listener: tuple[str, int],
        hello: Hello,
        admit: Admit,
        *,
        ready: Callable[[], str | None] = lambda: None,
        metrics: Callable[[], bytes] = bytes,
        door: Door | None = None,
        limits: Limits = LIMITS,
    ) -> Server:
        """Serve links at `listener`; see `transport.serve`.  Nobody asks `ready`, `metrics` or `door`."""
        self._listening[listener] = hello, admit
        return cast(Server, _Listening(partial(self._listening.pop, listener, None)))

    async def dial(
        self,
        address: tuple[str, int],
        hello: Hello,
        *,
        deadline: float,
        backoff: Backoff | None = None,
        limits: Limits = LIMITS,
    ) -> Link:
        """Return a link to the parent at `address`, once the child is not barred; see `transport.dial`."""
        while (barred := self._barred.get(hello.node)) is not None:
            before = asyncio.get_running_loop().time()
            await barred.wait()
            deadline += asyncio.get_running_loop().time() - before

        async def attempt() -> Link:
            if address not in self._listening:
                raise ConnectionRefusedError("connection refused")
            parent, _ = self._listening[address]
            up, down = self._channels(hello.node, hello.plane) or (None, None)
            ours, theirs = DirectLink(f"to {parent.node}", parent, up), DirectLink(f"to {hello.node}", hello, down)
            ours.far, theirs.far = theirs, ours
            self.admit(address, theirs)
            ours.info = theirs.info
            if hello.node in self._held:
                ours.hold()
                theirs.hold()
            self._links.setdefault(hello.node, []).append(ours)
            ours.when_closed(lambda link, _: self._links[hello.node].remove(ours))
            return cast(Link, ours)

        return await persist(attempt, f"{address[0]}:{address[1]}", hello, deadline, backoff, limits)

    def admit(self, address: tuple[str, int], link: Inbox) -> None:
        """Let the far end of somebody's link in at `address`, without a call; raises as its parent does."""
        parent, admit = self._listening[address]
        agree(link.peer, parent)
        link.welcomed(admit(cast(Link, link)) or {})

    def hold(self, child: str) -> None:
        """Let nothing arrive over the links of `child`, either way, until `release`; whoever sends does not notice."""
        self._held.add(child)
        for link in self._links.get(child, ()):
            link.hold()
            link.far.hold()

    def release(self, child: str) -> None:
        """Let arrive what was held."""
        self._held.discard(child)
        for link in tuple(self._links.get(child, ())):
            link.release()
            link.far.release()

    def bar(self, child: str, reason: TierfedError) -> None:
        """Cut the connections of `child` now, which both ends see lost; there are none until `unbar`."""
        self._barred[child] = asyncio.Event()
        for link in tuple(self._links.get(child, ())):
            link.lose(reason)

    def unbar(self, child: str) -> None:
        """Let `child` dial again, at this moment."""
        self._barred.pop(child).set()


class _Listening:
    """A parent that listens."""

    def __init__(self, deafen: Callable[[], object]) -> None:
        self._deafen = deafen

    async def close(self, error: TierfedError | None = None) -> None:
        """Stop listening."""
        self._deafen()


class Inbox(ABC):
    """The receiving end of a link: frames come in order, wait while it is paused, and end with it.

    A fleet has two for each of a million members, so it is a row of slots, shares what it can, and makes a future
    only for who asks for one.
    """

    __slots__ = (
        "_allocate",
        "_closed",
        "_ended",
        "_held",
        "_of",
        "_on_frame",
        "_paused",
        "_reason",
        "_taking",
        "_then",
        "_waiting",
        "lost",
        "received_bytes",
    )

    def __init__(self) -> None:
        self.received_bytes = 0
        self.lost = False
        self._ended = False
        self._reason: TierfedError | None = None
        self._closed: asyncio.Future[TierfedError | None] | None = None
        self._then: Callable[[Link, TierfedError | None], None] | None = None
        self._on_frame: OnFrame | OnFrameOf | None = None
        self._allocate: Allocate | AllocateOf | None = None
        self._of: str | None = None  # whom those two are told of
        self._waiting: deque[tuple[dict[str, Any], Sealed, int]] | None = None
        self._held: list[tuple[dict[str, Any], Sealed, int]] | None = None
        self._taking = False
        self._paused = False

    @property
    @abstractmethod
    def name(self) -> str:
        """What errors call the link."""

    @property
    @abstractmethod
    def peer(self) -> Hello:
        """What the other end says of itself."""

    @abstractmethod
    def welcomed(self, info: dict[str, Any]) -> None:
        """The parent has let the child in, and said so much beside its name."""

    @property
    def closed(self) -> asyncio.Future[TierfedError | None]:
        """Done when the connection is over at this end, with the reason."""
        if self._closed is None:
            self._closed = asyncio.get_running_loop().create_future()
            if self._ended:
                self._closed.set_result(self._reason)
        return self._closed

    @property
    def gone(self) -> asyncio.Future[TierfedError | None]:
        """Done when nothing is left of the connection: as soon as it is closed."""
        return self.closed

    def when_closed(self, then: Callable[[Link, TierfedError | None], None]) -> None:
        """Call `then` with this link and the reason once it is closed."""
        if self._then is None and not self._ended:
            self._then = then
        else:
            self.closed.add_done_callback(lambda done: then(cast(Link, self), done.result()))

    def stays_in(self, links: set[Any]) -> None:
        """Be one of `links` as long as the connection is there."""
        links.add(self)
        self.closed.add_done_callback(lambda _: links.discard(self))

    @property
    def waits(self) -> int:
        """Return how many bytes are here and not taken."""
        return sum(row[2] for rows in (self._waiting, self._held) for row in rows or ())

    def start(self, on_frame: OnFrame, allocate: Allocate | None = None) -> None:
        """Hand every frame to `on_frame`, in order, from now on; see `Link.start`."""
        self._on_frame = on_frame
        self._allocate = allocate
        self._drain()

    def start_of(self, child: str, on_frame: OnFrameOf, allocate: AllocateOf | None = None) -> None:
        """Do what `start` does with functions that many links share, which are told whose frame it is."""
        self._of = child
        self._on_frame = on_frame
        self._allocate = allocate
        self._drain()

    def pause(self) -> None:
        """Read no more."""
        self._paused = True

    def resume(self) -> None:
        """Deliver what waits, then read again."""
        self._paused = False
        self._drain()

    def hold(self) -> None:
        """Let nothing arrive until `release`."""
        self._held = []

    def release(self) -> None:
        """Let arrive what was held, in its order."""
        held, self._held = self._held, None
        for row in held or ():
            self.come(*row)

    def come(self, header: dict[str, Any], sealed: Sealed, nbytes: int) -> None:
        """Take a frame that is here."""
        if self._ended:
            return
        if self._held is not None:
            self._held.append((header, sealed, nbytes))
            return
        self.received_bytes += nbytes
        if self._waiting is None and not self._taking and not self._paused and self._on_frame is not None:
            self._taking = True
            self._take(header, sealed, nbytes)
            self._taking = False
        else:
            self._waiting = self._waiting or deque()
            self._waiting.append((header, sealed, nbytes))
        self._drain()

    def _drain(self) -> None:
        if self._taking or not self._waiting:
            return
        self._taking = True
        while self._waiting and not self._paused and self._on_frame is not None and not self._ended:
            self._take(*self._waiting.popleft())
        self._waiting = self._waiting or None
        self._taking = False

    def _take(self, header: dict[str, Any], sealed: Sealed, nbytes: int) -> None:
        """Take a frame; what is wrong with it closes the link."""
        try:
            frame = Frame(header, self._landed(header, sealed), sealed.crc, nbytes)
            if self._of is None:
                cast(OnFrame, self._on_frame)(frame)
            else:
                cast(OnFrameOf, self._on_frame)(self._of, frame)
            self._taken()
        except Exception as error:
            if not isinstance(error, TierfedError):
                log.exception("%s: a frame could not be taken", self.name)
                error = ProtocolError(f"{type(error).__name__}: {error}", where=self.name, mend="see this node's log")
            log.warning("%s closed: %s", self.name, error.what)
            self.close(error)

    def _landed(self, header: dict[str, Any], sealed: Sealed) -> memoryview:
        """Return the payload of a frame, in the memory that the receiver names."""
        allocate = cast(Any, self._allocate)
        return landed(header, sealed, partial(allocate, self._of) if allocate and self._of is not None else allocate)

    def _taken(self) -> None:  # noqa: B027 - most have nobody to tell
        """A frame was taken."""

    def close(self, error: TierfedError | None = None) -> None:
        """End the link."""
        self.end(error)

    def end(self, reason: TierfedError | None) -> None:
        """The connection is over at this end."""
        if self._ended:
            return
        self._ended = True
        self._reason = reason
        self._waiting = self._held = None
        if self._then is not None:
            asyncio.get_running_loop().call_soon(self._then, cast(Link, self), reason)
            self._then = None
        if self._closed is not None:
            self._closed.set_result(reason)


def landed(header: dict[str, Any], sealed: Sealed, allocate: Allocate | None = None) -> memoryview:
    """Return a copy of a payload, in the memory that the receiver names."""
    size = sum(map(len, sealed))
    memory = aligned(size) if allocate is None or not size else allocate(header, size)
    at = 0
    for buffer in sealed:
        memory[at : at + len(buffer)] = buffer
        at += len(buffer)
    return memory


def size_of(header: dict[str, Any], sealed: Sealed) -> int:
    """Return the bytes that a frame has on a socket."""
    return frame_bytes(len(pack(header)), sum(map(len, sealed)))


def sealed_of(buffers: Sequence[Any]) -> Sealed:
    """Return buffers with their CRC32C."""
    return buffers if isinstance(buffers, Sealed) else Sealed.of(*buffers)


class DirectLink(Inbox):
    """One end of a link; see `link.Link`, of which it has all that nodes use."""

    far: DirectLink

    __slots__ = ("_channel", "_name", "_peer", "_room", "_turn", "far", "info", "sent_bytes")

    def __init__(self, name: str, peer: Hello, channel: Channel | None) -> None:
        super().__init__()
        self._name = name
        self._peer = peer
        self.info: dict[str, Any] = {}
        self.sent_bytes = 0
        self._channel = channel
        if channel is not None:
            channel.moved = self._relieve
        self._turn: asyncio.Lock | None = None
        self._room: asyncio.Future[None] | None = None  # somebody waits for it

    @property
    def name(self) -> str:
        """What errors call the link."""
        return self._name

    @property
    def peer(self) -> Hello:
        """What the other end says of itself."""
        return self._peer

    @property
    def unread(self) -> int:
        """Return how many bytes have not left, or are not read."""
        return (self._channel.queued if self._channel is not None else 0) + self.far.waits

    async def send(self, header: dict[str, Any], buffers: Sequence[Any] = ()) -> None:
        """Send one frame."""
        await self.send_all([(header, buffers)])

    async def send_all(self, frames: Iterable[tuple[dict[str, Any], Sequence[Any]]]) -> None:
        """Send the frames of one message in a row; return when most of it has left.

        Raises ProtocolError if the link is closed before the last has left.
        """
        self._turn = self._turn or asyncio.Lock()
        async with self._turn:
            for header, buffers in frames:
                self._open()
                self._put(header, buffers)
                while self.unread > ROOM:
                    self._room = asyncio.get_running_loop().create_future()
                    await self._room
                    self._open()

    def send_now(self, header: dict[str, Any]) -> bool:
        """Send one tiny frame, if none waits for its turn; return whether it is sent."""
        if self._ended or (self._turn is not None and self._turn.locked()):
            return False
        self._put(header, ())
        return True

    def post(self, header: dict[str, Any]) -> None:
        """Send one tiny frame without waiting; on a closed link nothing happens."""
        if not self._ended:
            self._put(header, ())

    def welcomed(self, info: dict[str, Any]) -> None:
        """The parent has let the child in, and said so much beside its name."""
        self.info = info

    def _open(self) -> None:
        if self._ended:
            reason = self._reason
            raise ProtocolError(
                "the link is closed" + (f": {reason.what}" if reason else ""),
                where=self.name,
                mend="dial again, or leave this peer out",
            )

    def _put(self, header: dict[str, Any], buffers: Sequence[Any]) -> None:
        sealed = sealed_of(buffers)
        nbytes = size_of(header, sealed)
        self.sent_bytes += nbytes
        there = partial(self.far.come, header, sealed, nbytes)
        if self._channel is None:
            asyncio.get_running_loop().call_soon(there)
        else:
            self._channel.push(nbytes, there)

    def _relieve(self) -> None:
        if self._room is not None and not self._room.done() and self.unread <= ROOM:
            self._room.set_result(None)

    def _taken(self) -> None:
        self.far._relieve()

    # -- the end

    def close(self, error: TierfedError | None = None) -> None:
        """End the link, and tell the peer why, once what was sent before is there."""
        if self._ended:
            return
        goodbye = partial(self.far.end, error)
        if self._channel is None:
            asyncio.get_running_loop().call_soon(goodbye)
        else:
            self._channel.push(frame_bytes(64, 0), goodbye)
        self.end(error)

    def lose(self, reason: TierfedError) -> None:
        """The connection is cut: what is under way is lost."""
        for one in (self, self.far):
            if one._channel is not None:
                one._channel.clear()
            one.lost = True
            one.end(reason)

    def end(self, reason: TierfedError | None) -> None:
        """The connection is over at this end."""
        super().end(reason)
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
