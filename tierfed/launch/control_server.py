"""The server's side of the control socket, for a loop around one selector.

Every registered object of that loop is a callable: `key.data(mask)`.  A peer is
untrusted until the kernel has named its uid; then its first line, of at most 64
KiB, is the request.  Answers are queued and written when the peer reads, so a
peer that stops reading stops nobody else.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tierfed.errors import ProtocolError
from tierfed.launch.control import SOCKET

_REQUEST_LIMIT = 64 << 10  # bytes
_PEERS = 64
_UCRED = struct.Struct("3i")  # pid, uid, gid


class Peer:
    """One connection: a request, then any number of answers."""

    def __init__(self, server: ControlServer, connection: socket.socket) -> None:
        self._server = server
        self._connection = connection
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._asked = False
        self._finishing = False
        self.closed = False

    def event(self, mask: int) -> None:
        """Read or write what can be."""
        try:
            if mask & selectors.EVENT_READ:
                self._read()
            if mask & selectors.EVENT_WRITE and not self.closed:
                self._write()
        except BlockingIOError:
            pass
        except OSError:
            self.close()

    def _read(self) -> None:
        part = self._connection.recv(1 << 16)
        if not part:
            return self.close()
        if self._asked:
            return None  # one request a connection: the rest is not looked at
        self._incoming += part
        line, newline, _ = self._incoming.partition(b"\n")
        if newline:
            self._asked = True
            self._server.request(self, bytes(line))
        elif len(self._incoming) > _REQUEST_LIMIT:
            self.close()
        return None

    def send(self, answer: dict[str, Any]) -> None:
        """Queue one answer."""
        if not self.closed:
            self._outgoing += json.dumps(answer).encode() + b"\n"
            self.event(selectors.EVENT_WRITE)

    def finish(self) -> None:
        """Close as soon as everything queued is written."""
        self._finishing = True
        self.event(selectors.EVENT_WRITE)

    def _write(self) -> None:
        while self._outgoing:
            try:
                sent = self._connection.send(self._outgoing)
            except BlockingIOError:
                break
            del self._outgoing[:sent]
        if self._finishing and not self._outgoing:
            return self.close()
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)
        self._server.selector.modify(self._connection, wanted, self.event)
        return None

    def close(self) -> None:
        """Close at once."""
        if not self.closed:
            self.closed = True
            self._server.selector.unregister(self._connection)
            self._connection.close()
            self._server.peers.discard(self)

    def flush(self, seconds: float) -> None:
        """Write the rest, waiting at most `seconds`: for the last answer before the process ends."""
        if not self.closed:
            self._connection.settimeout(seconds)
            with contextlib.suppress(OSError):
                self._connection.sendall(self._outgoing)
            self.close()


class ControlServer:
    """Listens in a runtime folder and hands each request to `answer`."""

    def __init__(
        self, selector: selectors.BaseSelector, folder: Path, answer: Callable[[dict[str, Any], Peer], None]
    ) -> None:
        self.selector = selector
        self.peers: set[Peer] = set()
        self.path = str(folder / SOCKET)
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            self._listener.bind(self.path)
        finally:
            os.umask(before)
        self._listener.listen(16)
        self._listener.setblocking(False)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _accept(self, _mask: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        if not permitted(_UCRED.unpack(credentials)[1]) or len(self.peers) >= _PEERS:
            connection.close()
            return
        connection.setblocking(False)
        peer = Peer(self, connection)
        self.peers.add(peer)
        self.selector.register(connection, selectors.EVENT_READ, peer.event)

    def request(self, peer: Peer, line: bytes) -> None:
        """Answer one request line, or say what is wrong with it."""
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise ProtocolError("not an object")
        except (ValueError, RecursionError, ProtocolError):
            peer.send({"error": {"kind": "ProtocolError", "what": "a request is one JSON object on a line"}})
            peer.finish()
            return
        self._answer(request, peer)

    def close(self) -> None:
        """Close the listener and, after their last answers, all connections."""
        self.selector.unregister(self._listener)
        self._listener.close()
        for peer in list(self.peers):
            peer.flush(1.0)


def permitted(uid: int) -> bool:
    """Return whether a peer with `uid` may speak: this user, and nobody else (root needs no door)."""
    return uid == os.getuid()
