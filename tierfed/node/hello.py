"""Hello: who dials whom, settled before any other frame.

The child speaks first, in one frame without payload:

    {link: "hello", protocol: [1, 1], run: "5f0c22aa", token: …,
     node: "e0", placement: "EDGE_AGGREGATORS", plane: "bulk", epoch: 0}

and the parent answers `{link: "welcome", protocol: 1, node: …, info: {…}}`, or
`{link: "close", error: {…}}` with a typed reason.  `protocol` is a range, so
that two versions can meet; the highest that both speak is used.

A hello is hostile until checked: every field has a type and a length, and the
token is compared in constant time.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Any

from tierfed.errors import ProtocolError

__all__ = ["PLANES", "PROTOCOL", "Hello", "agree", "check_hello", "check_welcome"]

PROTOCOL = (1, 1)  # lowest and highest link protocol that this version speaks
PLANES = ("bulk", "control")

_LONGEST = 255  # characters of a name, a run or a token


@dataclass(frozen=True, slots=True)
class Hello:
    """What one end of a link says of itself."""

    run: str
    token: str = field(repr=False)
    node: str
    placement: str
    plane: str = "bulk"
    epoch: int = 0
    protocol: tuple[int, int] = PROTOCOL

    def header(self) -> dict[str, Any]:
        """Return the hello as the header of its frame."""
        return {
            "link": "hello",
            "protocol": list(self.protocol),
            "run": self.run,
            "token": self.token,
            "node": self.node,
            "placement": self.placement,
            "plane": self.plane,
            "epoch": self.epoch,
        }

    def welcome(self, protocol: int, info: dict[str, Any]) -> dict[str, Any]:
        """Return the header of a parent's answer; the token stays at home."""
        return {
            "link": "welcome",
            "protocol": protocol,
            "node": self.node,
            "placement": self.placement,
            "epoch": self.epoch,
            "info": info,
        }


def check_hello(header: dict[str, Any]) -> Hello:
    """Return the hello that `header` holds.

    Raises ProtocolError naming the field that is missing, of another type or too long.
    """
    low, high = _range(header.get("protocol"))
    plane = _text(header, "plane")
    if plane not in PLANES:
        raise _bad(f"plane {plane!r} is none of {', '.join(PLANES)}")
    return Hello(
        run=_text(header, "run"),
        token=_text(header, "token"),
        node=_text(header, "node"),
        placement=_text(header, "placement"),
        plane=plane,
        epoch=_count(header, "epoch"),
        protocol=(low, high),
    )


def check_welcome(header: dict[str, Any], hello: Hello) -> tuple[Hello, dict[str, Any]]:
    """Return what the parent says of itself in `header`, and the `info` that it adds.

    Raises ProtocolError if the header is none, or chooses a protocol that `hello` did not offer.
    """
    protocol = _count(header, "protocol")
    low, high = hello.protocol
    if not low <= protocol <= high:
        raise _bad(f"protocol {protocol} chosen, {_spoken(low, high)} offered")
    info = header.get("info")
    if not isinstance(info, dict):
        raise _bad(f"info is {type(info).__name__}, a map expected")
    parent = Hello(
        run=hello.run,
        token="",
        node=_text(header, "node"),
        placement=_text(header, "placement"),
        plane=hello.plane,
        epoch=_count(header, "epoch"),
        protocol=(protocol, protocol),
    )
    return parent, info


def agree(theirs: Hello, ours: Hello) -> int:
    """Return the protocol that both ends speak.

    Raises ProtocolError if there is none, or the peer is of another run or has another token.
    """
    (low, high), (least, most) = theirs.protocol, ours.protocol
    if low > most or high < least:
        raise ProtocolError(
            f"protocol {_spoken(low, high)} spoken, {_spoken(least, most)} understood",
            where=f"hello of {theirs.node} to {ours.node}",
            mend="run one version of tierfed at both ends",
        )
    if theirs.run != ours.run:
        raise ProtocolError(
            f"run {theirs.run} spoken, this is run {ours.run}",
            where=f"hello of {theirs.node} to {ours.node}",
            mend="stop what is left of the other run: `tierfed down`",
        )
    if not hmac.compare_digest(theirs.token.encode(), ours.token.encode()):
        raise ProtocolError(
            "the token is not that of the run",
            where=f"hello of {theirs.node} to {ours.node}",
            mend="start the node from the run's own supervisor",
        )
    return min(high, most)


def _spoken(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _range(value: object) -> tuple[int, int]:
    if (
        isinstance(value, list)
        and len(value) == 2
        and all(type(item) is int and 0 < item < 2**16 for item in value)
        and value[0] <= value[1]
    ):
        return value[0], value[1]
    raise _bad("protocol is no range of two positive integers")


def _text(header: dict[str, Any], key: str) -> str:
    value = header.get(key)
    if not isinstance(value, str) or not value:
        raise _bad(f"{key} is {type(value).__name__}, a text expected")
    if len(value) > _LONGEST or not value.isprintable():
        raise _bad(f"{key} is longer than {_LONGEST} characters, or not printable")
    return value


def _count(header: dict[str, Any], key: str) -> int:
    value = header.get(key)
    if type(value) is not int or not 0 <= value < 2**63:
        raise _bad(f"{key} is no integer from 0 on")
    return value


def _bad(what: str) -> ProtocolError:
    return ProtocolError(what, where="hello", mend="dial with tierfed of the same version")
