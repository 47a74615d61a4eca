"""Limits of what is read: bytes, depth and number of nodes, so that no peer's bytes cost more than they should.

protobuf itself reads messages nested at most 100 deep.  Within that, types may take
`TYPE_LEVELS`, and a program that needs more than the rest is written in parts
(`Computation.detached`).
"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from tierfed.errors import ProtocolError

MAX_BYTES = 16 << 20
MAX_NODES = 100_000
MAX_DEPTH = 200  # of nodes: whatever walks a program recursively stays clear of Python's limit
LEVELS = 100  # of messages, protobuf's
TYPE_LEVELS = 70  # of messages: structs nested 23 deep
WRAPPED_LEVELS = 8  # what holds a computation in turn, such as a fold's slot of a step of a slice

M = TypeVar("M", bound=Message)


def parsed(form: type[M], data: bytes, what: str, limit: int = MAX_BYTES) -> M:
    """Return the message of class `form` in `data`.

    Raises ProtocolError for more than `limit` bytes, for bytes that are none, and for
    fields that this version does not know: to pass over them would change what is meant.
    """
    if len(data) > limit:
        raise ProtocolError(
            f"{len(data)} bytes, more than the {limit} that are read",
            where=what,
            mend="pass large arrays as arguments, not as constants",
        )
    try:
        message = form.FromString(bytes(data))
    except DecodeError:
        raise ProtocolError(
            f"the {len(data)} bytes are no {what}", where=what, mend="send the bytes that tierfed.serialize wrote"
        ) from None
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        raise ProtocolError(
            "there are fields that this version does not know",
            where=what,
            mend="use the version of tierfed that wrote it",
        )
    return message


def written(message: Message, what: str, limit: int = MAX_BYTES) -> bytes:
    """Return the bytes of `message`, the same for equal messages; raises ProtocolError beyond `limit` bytes."""
    data = message.SerializeToString(deterministic=True)
    if len(data) > limit:
        raise ProtocolError(
            f"{len(data)} bytes, more than the {limit} that are read",
            where=what,
            mend="pass large arrays as arguments, not as constants",
        )
    return data
