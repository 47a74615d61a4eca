"""Peer: a child, the parent or the driver as it is connected.

    control and bulk link of one epoch      it is up
    one of the two                          it is coming, or about to be dropped
    none                                    `why_not` says why

The two come and go together: when one is lost, `drop` closes the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tierfed.errors import ProtocolError, TierfedError
from tierfed.node.link import Link
from tierfed.node.programs import Deployed

_MOST_OWED = 100_000  # keys
_AT_ONCE = 1000  # keys in a frame


class Away(ProtocolError):
    """Why a connection ended of one who goes and comes as its topology says: no fault."""


@dataclass(slots=True)
class Peer:
    """See the module docstring; `deployed` are the programs that it has from us."""

    name: str
    epoch: int = -1
    bulk: Link | None = None
    control: Link | None = None
    why_not: str = "never connected"
    deployed: Deployed = field(default_factory=Deployed)
    heard: int = 0  # words on how attempts ended (fates.py) that have left for it over the bulk link
    owed: tuple[str, ...] | None = ()  # keys to release once it is back; None: all
    holders: frozenset[str] = frozenset()  # invocations that it is too far ahead of
    past: tuple[int, int] = (0, 0)  # bytes sent and received over links that are gone

    @property
    def up(self) -> bool:
        """Whether both links are there."""
        return self.bulk is not None and self.control is not None

    @property
    def absence(self) -> str:
        """Why it is not up."""
        return "it is dialling" if self.bulk is not None or self.control is not None else self.why_not

    @property
    def unread(self) -> int:
        """Bytes of small frames that it has not read yet."""
        return sum(link.unread for link in (self.bulk, self.control) if link is not None)

    def moved(self) -> tuple[int, int]:
        """Return the bytes of frames that were sent to it and received from it, over all its links so far."""
        links = [link for link in (self.bulk, self.control) if link is not None]
        sent, received = self.past
        return sent + sum(one.sent_bytes for one in links), received + sum(one.received_bytes for one in links)

    def post(self, header: dict[str, Any]) -> None:
        """Post a small frame on the control link, if there is one."""
        if self.control is not None:
            self.control.post(header)

    def hold(self, invocation: str) -> None:
        """Read no more of its messages until `let` is called: `invocation` has enough of them waiting."""
        if self.bulk is not None:
            self.holders |= {invocation}
            self.bulk.pause()

    def let(self, invocation: str) -> None:
        """Read on, if nobody else holds it up."""
        if invocation in self.holders:
            self.holders -= {invocation}
            if not self.holders and self.bulk is not None:
                self.bulk.resume()

    def release(self, keys: list[str]) -> None:
        """Tell it to forget what it keeps under `keys`, under any if there are none: once it is back, if it is away."""
        if not keys:
            self.owed = None
        elif self.owed is not None:
            self.owed = (*self.owed, *keys) if len(self.owed) < _MOST_OWED else None
        self.pay()

    def pay(self) -> None:
        """Tell it what was released while it was away; it is back when both links are there."""
        if self.control is None or self.bulk is None or self.owed == ():
            return
        owed, self.owed = self.owed, ()
        for start in range(0, len(owed or ("",)), _AT_ONCE):
            self.control.post({"kind": "release", "keys": list(owed[start : start + _AT_ONCE]) if owed else []})

    def drop(self, why: str, error: TierfedError | None = None) -> None:
        """Close both links, giving `error` as the reason; that they are closed is no news then."""
        self.past = self.moved()
        links, self.bulk, self.control, self.why_not = (self.bulk, self.control), None, None, why
        self.holders = frozenset()
        self.deployed, self.heard = Deployed(), 0  # whoever comes next may be another process
        for link in links:
            if link is not None:
                link.close(error)
