"""Transport: a child dials its parent, and both have a link.

    server = await serve(listener, hello, admit, ready=lambda: None)      # the parent
    link = await dial(("127.0.0.1", 40123), hello, deadline=loop.time() + 10)

One port serves everything: aiohttp answers `/healthz`, `/readyz`, `/metrics` and `/v1/links`, and a GET
of `/v1/link` with `Upgrade: tierfed` is answered by HTTP 101, after which the same
socket speaks frames to an `asyncio.BufferedProtocol` (link.py) at the speed of
blocking sockets.  Children dial, since devices sit behind NAT.

Sound because the two protocols never share bytes.  The child waits for the 101
before its hello, and the link is in place before the 101 is written; aiohttp's
own protocol is told at once that its connection is lost, so that it neither
keeps a task for the link nor waits for it when it shuts down.  The dialling end
reads the head of the answer itself and has no private buffer in which a frame
could be lost.  A connection that is not a link within `limits.handshake` is cut,
which bounds silent, trickling and kept-alive HTTP alike.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from tierfed.errors import ProtocolError
from tierfed.node import links_door
from tierfed.node.backoff import Backoff
from tierfed.node.hello import Hello
from tierfed.node.link import LIMITS, Limits, Link
from tierfed.node.loopback import check_listener, loopback
from tierfed.node.metrics import CONTENT_TYPE
from tierfed.node.reception import Admit, Door, Reception, Server, introduce, persist

__all__ = ["Server", "dial", "serve"]

_PATH = "/v1/link"
_UPGRADE = "tierfed"
_HEAD = 8192  # bytes that the head of an HTTP answer may take

log = logging.getLogger("tierfed.node.transport")


async def serve(
    listener: socket.socket,
    hello: Hello,
    admit: Admit,
    *,
    ready: Callable[[], str | None] = lambda: None,
    metrics: Callable[[], bytes] = bytes,
    door: Door | None = None,
    limits: Limits = LIMITS,
) -> Server:
    """Serve links and health on `listener`, a listening socket on loopback.

    `hello` is who we are; its run and token are what a child must have.  For each
    child, `admit(link)` finds who it is in `link.peer`, calls `link.start`, and
    returns what the welcome shall say to it (a plain dict), or raises TierfedError
    to refuse it.  `ready()` returns None, or why the node is not ready; `metrics()` what is to be
    read of it, as Prometheus's text; `door` answers requests of whoever has the run's token (links_door.py).

    Raises UnsupportedError if `listener` is not on loopback.
    """
    address = check_listener(listener)
    listener.setblocking(False)
    reception = Reception(hello, admit, limits)
    loop = asyncio.get_running_loop()

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readiness(_: web.Request) -> web.Response:
        why_not = ready()
        return web.Response(text="ready\n") if why_not is None else web.Response(status=503, text=why_not + "\n")

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": CONTENT_TYPE})

    async def upgrade(request: web.Request) -> web.StreamResponse:
        if reception.closing:
            raise web.HTTPServiceUnavailable(text="closing\n")
        if request.headers.get("Upgrade", "").lower() != _UPGRADE or request.body_exists:
            log.warning("%s closed: no upgrade", request.remote)
            raise web.HTTPUpgradeRequired(
                headers={"Upgrade": _UPGRADE},
                text=f"{_PATH} speaks frames: send `Upgrade: {_UPGRADE}`, without a body\n",
            )
        http, transport = request.protocol, request.transport
        if transport is None:
            raise ConnectionResetError("the connection was lost before it was upgraded")
        link = reception.link(_peer(transport))
        response = web.StreamResponse(status=101, headers={"Upgrade": _UPGRADE, "Connection": "Upgrade"})
        transport.set_protocol(link)  # before the child can know
        link.connection_made(transport)
        await response.prepare(request)
        http.transport = None  # the socket is the link's now
        http.connection_lost(None)
        return response

    app = web.Application(middlewares=[_plain], client_max_size=links_door.LARGEST)
    app.router.add_get("/healthz", health)
    app.router.add_get("/readyz", readiness)
    app.router.add_get("/metrics", exposition)
    app.router.add_get(_PATH, upgrade)
    if door is not None:
        links_door.open_to(app, hello.token, door)
    runner = web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,
        handle_signals=False,
        logger=_OneLine(log, {}),
        shutdown_timeout=limits.farewell,
    )
    await runner.setup()
    http_server = runner.server
    assert http_server is not None

    def accept() -> asyncio.BaseProtocol:
        protocol = http_server()
        loop.call_later(limits.handshake, _expire, protocol)
        return protocol

    server = await loop.create_server(accept, sock=listener)
    return Server(address, reception, server.close, runner.cleanup)


async def dial(
    address: tuple[str, int],
    hello: Hello,
    *,
    deadline: float,
    backoff: Backoff | None = None,
    limits: Limits = LIMITS,
) -> Link:
    """Return a link to the parent at `address`, which has welcomed us; call `start` on it.

    `deadline` is a time of the running loop.  With a `backoff`, a parent that does not
    answer is dialled again until then; one that refuses is not.

    Raises UnsupportedError off loopback, the parent's own error if it refuses, and
    NotReady if it did not answer in time.
    """
    host, port = loopback(*address, doing="dial")
    name = f"{hello.node} to {host}:{port}"
    return await persist(
        lambda: _dial_once(host, port, name, hello, limits), f"{host}:{port}", hello, deadline, backoff, limits
    )


async def _dial_once(host: str, port: int, name: str, hello: Hello, limits: Limits) -> Link:
    loop = asyncio.get_running_loop()
    transport, upgrade = await loop.create_connection(lambda: _Upgrade(loop), host, port)
    try:
        request = f"GET {_PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: {_UPGRADE}\r\n\r\n"
        transport.write(request.encode())
        early = await upgrade.answer
        return await introduce(transport, early, hello, name, limits)
    except BaseException:
        transport.abort()
        raise


class _Upgrade(asyncio.Protocol):
    """Reads the head of the answer to our GET; what comes after it belongs to the link."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[bytes] = loop.create_future()
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._head += data
        head, end, early = self._head.partition(b"\r\n\r\n")
        if (not end and len(self._head) < _HEAD) or self.answer.done():
            return
        status = head.split(b"\r\n", 1)[0]
        if status.startswith(b"HTTP/1.1 503 "):
            self.answer.set_exception(ConnectionRefusedError("the parent is closing"))
            return
        if end and status.startswith(b"HTTP/1.1 101 "):
            self._transport.pause_reading()  # the link resumes it
            self.answer.set_result(early)
        else:
            self.answer.set_exception(
                ProtocolError(
                    f"answered {status[:80].decode('latin-1')!r} instead of an upgrade",
                    where="dial",
                    mend=f"see what serves there: a node of tierfed answers GET {_PATH} by 101",
                )
            )

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_exception(ConnectionResetError("the connection was closed before an answer"))


@web.middleware
async def _plain(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse encoded bodies, and keep no connection alive after its answer."""
    try:
        if "Content-Encoding" in request.headers:
            log.warning("%s closed: a Content-Encoding", request.remote)
            raise web.HTTPUnsupportedMediaType(text="no Content-Encoding is accepted\n")
        response = await handler(request)
    except web.HTTPException as refusal:
        refusal.force_close()
        raise
    response.force_close()
    return response


def _expire(protocol: asyncio.BaseProtocol) -> None:
    """Cut a connection that is still HTTP; for one that became a link, `transport` is None."""
    transport = getattr(protocol, "transport", None)
    if transport is not None:
        log.warning("%s closed: no link within the time for a handshake", _peer(transport))
        transport.abort()


def _peer(transport: asyncio.BaseTransport) -> str:
    address = transport.get_extra_info("peername")
    return f"{address[0]}:{address[1]}" if address else "a peer"


class _OneLine(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log, in which bytes that are no HTTP are a warning of one line, not a traceback."""

    def log(self, level: int, msg: object, *args: object, **rest: Any) -> None:
        """Write `msg`; an exception that comes with it takes its place at the end of the line."""
        error = rest.get("exc_info")
        if isinstance(error, HttpProcessingError):
            text = error.message.strip().split("\n")[0]
            self.logger.warning(f"{msg}: %s", *args, f"{type(error).__name__}: {text}")
        else:
            self.logger.log(level, msg, *args, **rest)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Leave the message as it is."""
        return msg, kwargs
