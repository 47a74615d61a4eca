"""Links in pairs, over sockets or in memory, with an inbox at each end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tierfed.node import transport
from tierfed.node.hello import Hello
from tierfed.node.link import LIMITS, Limits, Link
from tierfed.node.memory_transport import MemoryTransport
from tierfed.node.reception import Server
from tierfed.wire.frame import Frame

SERVER = Hello("run1", "secret", "s", "SERVER", epoch=3)


def child_hello(name: str = "c0", **changes: Any) -> Hello:
    """Return the hello of a child of SERVER."""
    fields: dict[str, Any] = {"run": "run1", "token": "secret", "node": name, "placement": "CLIENTS"}
    return Hello(**fields | changes)


class Inbox:
    """Where frames of a link wait to be looked at."""

    def __init__(self) -> None:
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()
        self.seen = 0

    def take(self, frame: Frame) -> None:
        self.seen += 1
        self._frames.put_nowait(frame)

    async def next(self) -> Frame:
        async with asyncio.timeout(20):
            return await self._frames.get()

    async def kinds(self, count: int) -> list[Any]:
        return [(await self.next()).header["kind"] for _ in range(count)]


class Parent:
    """A server, the links that it has, and what they brought."""

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}
        self.inboxes: dict[str, Inbox] = {}
        self.server: Server

    def admit(self, link: Link) -> dict[str, Any]:
        assert link.peer is not None
        name = link.peer.node
        self.links[name], self.inboxes[name] = link, Inbox()
        link.start(self.inboxes[name].take)
        return {"children": len(self.links)}


def pick(kind: str) -> Any:
    """Return a transport of that kind, and what makes listeners for it."""
    return transport if kind == "sockets" else MemoryTransport()


def listener(net: Any, port: int = 0) -> Any:
    """Return a listener that `net` can serve on."""
    return net.listener(port) if isinstance(net, MemoryTransport) else socket.create_server(("127.0.0.1", port))


@asynccontextmanager
async def parent(net: Any, limits: Limits = LIMITS, **options: Any) -> AsyncIterator[Parent]:
    """Serve a Parent over `net`."""
    here = Parent()
    here.server = await net.serve(listener(net), SERVER, here.admit, limits=limits, **options)
    try:
        yield here
    finally:
        await here.server.close()


async def dial(net: Any, to: Parent, name: str = "c0", seconds: float = 20.0, **options: Any) -> tuple[Link, Inbox]:
    """Return a started link from a child to `to`, and its inbox."""
    deadline = asyncio.get_running_loop().time() + seconds
    hello = options.pop("hello", None) or child_hello(name)
    link = await net.dial(to.server.address, hello, deadline=deadline, **options)
    inbox = Inbox()
    link.start(inbox.take)
    return link, inbox
