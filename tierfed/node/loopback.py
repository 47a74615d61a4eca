"""Loopback: off this machine nothing is served and nothing is dialled.

A link carries models and a bearer token in clear, so leaving the machine
without mutual TLS is refused at both ends, before a byte is sent.  Names are
not looked up: `localhost` is 127.0.0.1, any other name is refused.
"""

from __future__ import annotations

import ipaddress
import socket

from tierfed.errors import UnsupportedError

__all__ = ["check_listener", "loopback"]


def loopback(host: str, port: int, *, doing: str) -> tuple[str, int]:
    """Return the address with `localhost` resolved.

    Raises UnsupportedError if it is not on loopback; `doing` is "serve" or "dial".
    """
    literal = "127.0.0.1" if host == "localhost" else host
    try:
        inside = ipaddress.ip_address(literal).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise UnsupportedError(
            f"{host}:{port} is not on loopback",
            where=doing,
            mend="use 127.0.0.1: links off this machine need mutual TLS, which is not supported by this version",
        )
    return literal, port


def check_listener(listener: socket.socket) -> tuple[str, int]:
    """Return where `listener` listens; raises UnsupportedError off loopback."""
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        raise UnsupportedError(
            f"a listener of family {listener.family.name}",
            where="serve",
            mend="hand down a TCP listener on 127.0.0.1",
        )
    host, port = listener.getsockname()[:2]
    return loopback(host, port, doing="serve")
