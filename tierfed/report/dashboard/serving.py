"""Serving: the page on a port of this machine, and what there is to draw, as it changes.

    GET /KEY/           the page with what is to be drawn first; its style and script are beside it
    GET /KEY/events     text/event-stream: a document whenever something has changed, four a second at most
    GET /KEY/state      the document as it is now

The port is on loopback, and the key is drawn for this run: other users of the machine do not know it, and pages from
elsewhere cannot ask, since the Host of a request has to be loopback's too (a name that is made to point here is not).
What nodes are called may be anything: the page writes it as text, and its policy lets no other script run.

Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Iterator
from importlib import resources
from typing import TYPE_CHECKING

from aiohttp import web

from tierfed.backends.loop_thread import LoopThread

if TYPE_CHECKING:
    from tierfed.report.dashboard.board import Dashboard

_PERIOD = 0.25  # seconds between two documents
_QUIET = 10.0  # seconds after which a stream says that it is still there
_LAST = 2.0  # seconds for the last document to leave
_LOOPBACK = "127.0.0.1"
_KINDS = {"page.css": "text/css", "page.js": "text/javascript"}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Desk:
    """Answers requests, on a loop of its own."""

    def __init__(self, board: Dashboard) -> None:
        self._board = board
        self._key = secrets.token_urlsafe(16)
        self._over = False
        self._watching: set[asyncio.Event] = set()
        self._none_left = asyncio.Event()

    async def open(self) -> str:
        """Listen, and return the address of the page."""
        app = web.Application(client_max_size=1024)
        app.router.add_get("/{key}/", self._page)
        app.router.add_get("/{key}/events", self._events)
        app.router.add_get("/{key}/state", self._state)
        app.router.add_get("/{key}/{file}", self._file)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_LAST)
        await self._runner.setup()
        site = web.TCPSite(self._runner, _LOOPBACK, 0)
        await site.start()
        self._port: int = self._runner.addresses[0][1]
        return f"http://{_LOOPBACK}:{self._port}/{self._key}/"

    async def close(self) -> None:
        """Let those who look have the last document, and stop."""
        self._over = True
        self.changed()
        if self._watching:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._none_left.wait(), _LAST)
        await self._runner.cleanup()

    def changed(self) -> None:
        """Wake everybody who looks."""
        for waiting in self._watching:
            waiting.set()

    def _admit(self, request: web.Request) -> None:
        host = request.host.rpartition(":")[0]
        if host not in (_LOOPBACK, "localhost") or not secrets.compare_digest(request.match_info["key"], self._key):
            raise web.HTTPNotFound(text="no such page; the command prints its address\n")

    async def _page(self, request: web.Request) -> web.Response:
        self._admit(request)
        first = self._document().replace("<", "\\u003c")  # within a script element, which only `</script` could end
        page = _read("page.html").replace('id="first">{}<', f'id="first">{first}<')
        return web.Response(text=page, content_type="text/html", headers=_HEADERS)

    async def _file(self, request: web.Request) -> web.Response:
        self._admit(request)
        name = request.match_info["file"]
        if name not in _KINDS:
            raise web.HTTPNotFound(text="no such page\n")
        return web.Response(text=_read(name), content_type=_KINDS[name], headers=_HEADERS)

    async def _state(self, request: web.Request) -> web.Response:
        self._admit(request)
        return web.Response(text=self._document(), content_type="application/json", headers=_HEADERS)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        self._admit(request)
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        changed = asyncio.Event()
        self._watching.add(changed)
        try:
            over = False
            while not over:
                over = self._over
                changed.clear()
                await response.write(f"data: {self._document()}\n\n".encode())
                if not over and not self._over:
                    await asyncio.sleep(_PERIOD)
                    await self._news(changed, response)
            await response.write(b"event: over\ndata:\n\n")
        except ConnectionError:
            pass  # whoever looked has gone
        finally:
            self._watching.discard(changed)
            if not self._watching:
                self._none_left.set()
        return response

    async def _news(self, changed: asyncio.Event, response: web.StreamResponse) -> None:
        while not changed.is_set():
            try:
                await asyncio.wait_for(changed.wait(), _QUIET)
            except TimeoutError:
                await response.write(b": still here\n\n")

    def _document(self) -> str:
        return json.dumps(self._board.told(), ensure_ascii=True, default=str)


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@contextlib.contextmanager
def served(board: Dashboard) -> Iterator[str]:
    """Serve `board` on a thread of its own while the context is open; gives the address of the page."""
    thread = LoopThread("dashboard")
    try:
        desk = _Desk(board)
        address = thread.run(desk.open())
        board.changed = lambda: thread.soon(desk.changed)
        try:
            yield address
        finally:
            board.changed = lambda: None
            thread.run(desk.close())
    finally:
        thread.close()
