"""Listeners: bound before any node starts, so that every address is known and no port is raced for.

Each listening node gets a socket on 127.0.0.1 with a port of the kernel's
choice, already listening: a child that comes up before its parent waits in the
backlog instead of being refused.
"""

from __future__ import annotations

import socket
from typing import Any

from tierfed.errors import TierfedError

_HOST = "127.0.0.1"
_BACKLOG = 4096  # the kernel lowers it to net.core.somaxconn


def bind(assignments: list[dict[str, Any]]) -> dict[str, socket.socket]:
    """Return a listener for each node that listens, and write its address into its children's assignments."""
    listeners: dict[str, socket.socket] = {}
    for assignment in assignments:
        if assignment["listens"]:
            listeners[assignment["name"]] = _listener(assignment["name"])
    for assignment in assignments:
        parent = assignment["parent"]
        if parent is None:
            continue
        if parent not in listeners:
            raise TierfedError(
                f"its parent {parent} does not listen",
                where=f"node {assignment['name']}",
                mend="plan the tree anew: every parent's assignment has listens=True",
            )
        assignment["parent_address"] = list(listeners[parent].getsockname())
    return listeners


def _listener(name: str) -> socket.socket:
    listener = socket.socket()
    try:
        listener.bind((_HOST, 0))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise TierfedError(
            f"cannot listen on {_HOST}: {error.strerror}",
            where=f"node {name}",
            mend="free some ports (net.ipv4.ip_local_port_range), or raise the limit of open files (ulimit -n)",
        ) from error
    return listener
