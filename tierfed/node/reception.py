"""Reception: the handshake of a link, the same over sockets and in memory.

At the parent, `Reception.link` makes a link that waits for a hello, checks it,
asks `admit`, and answers.  At the child, `introduce` says hello over a fresh
connection and waits for the answer, and `persist` tries again until a deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol

from tierfed.errors import NotReady, ProtocolError, TierfedError
from tierfed.node.backoff import Backoff
from tierfed.node.hello import Hello, agree, check_hello, check_welcome
from tierfed.node.link import Limits, Link
from tierfed.wire.frame import Frame

__all__ = ["Admit", "Door", "Reception", "Server", "Transport", "introduce", "persist"]

Admit = Callable[[Link], dict[str, Any] | None]
"""Lets somebody in: what the welcome shall say, None where nobody can be heard; raises TierfedError to refuse."""

Door = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Answers a request of whoever has the run's token; raises TierfedError."""


class Reception:
    """Where children arrive: who we are, who is let in, and the links that are open."""

    def __init__(self, hello: Hello, admit: Admit, limits: Limits) -> None:
        self._hello = hello
        self._admit = admit
        self._limits = limits
        self._arriving: set[Link] = set()
        self._open: set[Link] = set()  # all whose connection is there, those that are closed and linger too
        self.closing = False
        self.links: set[Link] = set()

    def link(self, address: str) -> Link:
        """Return a link for a connection from `address`, which has yet to say hello."""
        link = Link(address, greet=self._greet, limits=self._limits)
        self._arriving.add(link)
        link.stays_in(self._open)
        link.closed.add_done_callback(partial(self._forget, link))
        return link

    def _greet(self, link: Link, frame: Frame) -> None:
        if frame.header.get("link") != "hello":
            raise ProtocolError("a frame before the hello", where=link.name, mend="say hello first")
        hello = check_hello(frame.header)
        protocol = agree(hello, self._hello)
        link.peer = hello
        link.name = f"{hello.node} ({hello.plane}, {link.name})"
        info = self._admit(link)
        if info is None:
            link.vanish(ProtocolError("the link is cut", where=link.name, mend="heal it: tierfed fault"))
            return
        self._arriving.discard(link)
        self.links.add(link)
        link.post(self._hello.welcome(protocol, info))

    def _forget(self, link: Link, _: object) -> None:
        self._arriving.discard(link)
        self.links.discard(link)

    async def close(self, error: TierfedError | None) -> None:
        """Let nobody in any more, close every link, and return when they are gone."""
        self.closing = True
        leaving = tuple(self._open)
        for link in leaving:
            link.close(error)
        if leaving:
            await asyncio.wait([link.gone for link in leaving])


class Server:
    """A parent that listens; `links` are those that were let in and are open."""

    def __init__(
        self,
        address: tuple[str, int],
        reception: Reception,
        deafen: Callable[[], None],
        cleanup: Callable[[], Awaitable[None]],
    ) -> None:
        self.address = address
        self._reception = reception
        self._deafen = deafen
        self._cleanup = cleanup

    @property
    def links(self) -> frozenset[Link]:
        """Return the links whose hello was accepted and that are open."""
        return frozenset(self._reception.links)

    async def close(self, error: TierfedError | None = None) -> None:
        """Stop listening, close every link, giving `error` as the reason, and every other connection."""
        self._deafen()
        await self._reception.close(error)
        await self._cleanup()


class Transport(Protocol):
    """What a daemon needs of a transport: the module `transport` is one, a `MemoryTransport` another."""

    async def serve(
        self,
        listener: Any,
        hello: Hello,
        admit: Admit,
        *,
        ready: Callable[[], str | None] = ...,
        metrics: Callable[[], bytes] = ...,
        door: Door | None = ...,
        limits: Limits = ...,
    ) -> Server:
        """Serve links on `listener`."""

    async def dial(
        self,
        address: tuple[str, int],
        hello: Hello,
        *,
        deadline: float,
        backoff: Backoff | None = ...,
        limits: Limits = ...,
    ) -> Link:
        """Return a link to the parent at `address`."""


async def introduce(transport: asyncio.Transport, early: bytes, hello: Hello, name: str, limits: Limits) -> Link:
    """Return the link over `transport` once the parent has welcomed `hello`.

    `early` is what the parent sent along with its answer to the upgrade: it must be
    empty, since the child speaks first.

    Raises the parent's own error if it refuses, ConnectionError if it goes away.
    """
    if early:
        raise ProtocolError("the parent spoke before the hello", where=name, mend="run one version of tierfed")
    answered = asyncio.Event()

    def greet(link: Link, frame: Frame) -> None:
        if frame.header.get("link") != "welcome":
            raise ProtocolError("no welcome to the hello", where=name, mend="run one version of tierfed")
        link.peer, link.info = check_welcome(frame.header, hello)
        link.name = f"{link.peer.node} ({hello.plane}, {name})"
        answered.set()

    link = Link(name, greet=greet, limits=limits)
    link.closed.add_done_callback(lambda _: answered.set())
    transport.set_protocol(link)
    link.connection_made(transport)
    transport.resume_reading()
    link.post(hello.header())
    await answered.wait()
    if link.peer is None:
        reason = link.closed.result()
        if link.lost or reason is None:
            raise ConnectionResetError(reason.what if reason else "the parent said goodbye to the hello")
        raise reason
    return link


async def persist(
    attempt: Callable[[], Awaitable[Link]],
    address: str,
    hello: Hello,
    deadline: float,
    backoff: Backoff | None,
    limits: Limits,
) -> Link:
    """Return the link that `attempt` makes, waiting as `backoff` says between attempts.

    What cannot mend by waiting, a refusal, is raised at once.  Raises NotReady with
    the last reason when `deadline`, a time of the running loop, has come.
    """
    loop = asyncio.get_running_loop()
    tried = 0
    while True:
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + limits.handshake)):
                return await attempt()
        except (OSError, TimeoutError) as error:  # nobody there, or nobody who answers
            why = str(error) or "no answer in time"
        wait = 0.0 if backoff is None else backoff.wait(tried)
        if backoff is None or loop.time() + wait >= deadline:
            raise NotReady(
                f"no parent at {address}: {why}", where=hello.node, mend="see whether the parent runs, and its log"
            )
        tried += 1
        await asyncio.sleep(wait)
