"""Messages with descriptors between the supervisor and its zygote, over a socket pair.

    uint32 length | JSON object, with "descriptors": how many follow
    then one byte for every 200 of them, each carrying its share as SCM_RIGHTS

(The kernel passes at most 253 descriptors with one message.)  Both ends are
ours and of the same process tree; sizes are checked all the same.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

from tierfed.errors import ProtocolError

PIPES = ("ready", "records", "stdout", "stderr")  # what every node process inherits first, in this order

_LENGTH = struct.Struct("<I")
_SHARE = 200  # descriptors with one byte
_LIMIT = 64 << 20  # bytes of one message


def send(to: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send `message` and copies of `descriptors`; blocks until it is in the socket."""
    text = json.dumps({**message, "descriptors": len(descriptors)}).encode()
    to.sendall(_LENGTH.pack(len(text)) + text)
    for at in range(0, len(descriptors), _SHARE):
        socket.send_fds(to, [b"+"], list(descriptors[at : at + _SHARE]))


def receive(source: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next message with its descriptors (close-on-exec), None at end of file."""
    head = _exactly(source, _LENGTH.size)
    if not head:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > _LIMIT:
        raise ProtocolError(f"a message of {length} bytes, the limit is {_LIMIT}", where="channel")
    message = json.loads(_exactly(source, length))
    descriptors: list[int] = []
    while len(descriptors) < message["descriptors"]:
        byte, share, _, _ = socket.recv_fds(source, 1, _SHARE)
        descriptors.extend(share)
        if not byte or not share:
            for fd in descriptors:
                os.close(fd)
            raise ProtocolError("the other end closed within a message", where="channel")
    for fd in descriptors:
        os.set_inheritable(fd, False)
    return message, descriptors


def _exactly(source: socket.socket, count: int) -> bytes:
    """Return `count` bytes; nothing if the end of file stands before the first."""
    data = bytearray()
    while len(data) < count:
        part = source.recv(count - len(data))
        if not part:
            if not data:
                return b""
            raise ProtocolError("the other end closed within a message", where="channel")
        data += part
    return bytes(data)
