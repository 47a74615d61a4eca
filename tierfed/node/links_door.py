"""The door to a node's links: one HTTP request, of who has the run's token.

    POST /v1/links   Authorization: Bearer 5f0c…   {"do": "set", "children": ["c-3"], "figures": {"delay": .2}}
    200 {"node": "edge-eu", "links": {…}}   ·   400, 401 {"error": {"kind": …, "what": …}}

It is on the loopback port that children dial, and asks for what they have to prove: the token, compared in constant
time, before anything of the body is read.  The token is given by the supervisor to processes of the same user
(launch/control.py).  A body is at most a megabyte, and its JSON is hostile until it is checked.
"""

from __future__ import annotations

import hmac
import json
import logging
from typing import Any

from aiohttp import web

from tierfed.errors import ProtocolError, TierfedError
from tierfed.node.reception import Door
from tierfed.node.telling import told

PATH = "/v1/links"
LARGEST = 1 << 20  # bytes of a request

log = logging.getLogger("tierfed.node.transport")


def open_to(app: web.Application, token: str, door: Door) -> None:
    """Let `app` answer requests of whoever has `token` by what `door` says."""

    async def asked(request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), f"Bearer {token}".encode()):
            log.warning("%s is refused: not the token of the run", request.remote)
            return _refusal(ProtocolError("the token is not that of the run", where=PATH), 401)
        try:
            return web.json_response(door(_request(await request.read())))
        except TierfedError as error:
            return _refusal(error, 400)

    app.router.add_post(PATH, asked)


def _request(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise ProtocolError("a request is one JSON object", where=PATH)
    return data


def _refusal(error: TierfedError, status: int) -> web.Response:
    return web.json_response({"error": told(error)}, status=status)
