"""Fates: how far a node's part in an attempt counts, as its parent says.

    True            all that it sent is in the result
    False           nothing of it is: the round failed, or went on without it
    ((7, 0, 0, 0),) it was lost there: what it sent before phase 7 is in, the rest is not
    None            not known yet

Only the root knows: a node that gives up by itself, or has lost its parent, has sent messages that may count
all the same.  Its parent says so at the end of the invocation; and again, should that word be lost or slow, at the
beginning of the next one, so that no message is ever coded before it is known how those before it ended (downwards.py).

A node's own fate bounds its children's: of a child counts what is in the sums of this node that count.

Sound because places have one order in the whole program (collection.py), a node sends in that order, and a
member that is lost at one place is out of all later ones.
"""

from __future__ import annotations

import functools
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tierfed.errors import ProtocolError
from tierfed.node.collection import Order

Attempt: TypeAlias = tuple[str, int]
Counted: TypeAlias = bool | Order

TOLD_AGAIN = 4  # of the invocations before, at a beginning
_WAITING = 64  # attempts that have ended here, and nobody has said how


def counts(counted: Counted, order: Order) -> bool:
    """Return whether what was sent at `order` counts."""
    return counted if isinstance(counted, bool) else order < counted


def said(counted: Counted | None) -> Any:
    """Return how a header says it."""
    return [list(step) for step in counted] if isinstance(counted, tuple) else counted


def heard(counted: Any, where: str) -> Counted | None:
    """Return what a header says; raises ProtocolError for what says nothing."""
    if counted is None or isinstance(counted, bool):
        return counted
    if (
        isinstance(counted, list)
        and 0 < len(counted) <= 32
        and all(isinstance(s, list) and len(s) == 4 and all(type(n) is int for n in s) for s in counted)
    ):
        return tuple((s[0], s[1], s[2], s[3]) for s in counted)
    raise ProtocolError(
        "an end that does not say how far it counts", where=where, mend="run one version of tierfed in the whole tree"
    )


@dataclass(slots=True)
class Part:
    """What a node did in an attempt: where it sent upwards, and from where on its children were lost."""

    sent: Collection[Order]
    out: Mapping[str, Order | None]

    def of(self, child: str, counted: Counted) -> Counted:
        """Return how far a child counts, if this node counts so far."""
        if counted is False:
            return False
        out = self.out.get(child)
        if out == ():  # before it gave anything
            return False
        bounds = [] if out is None else [out]
        if isinstance(counted, tuple):
            inside = [order for order in self.sent if order < counted]
            if not inside:
                return False
            bounds.append(max(inside))
        return min(bounds, default=True)


class Words:
    """The last few words on how attempts have ended; who has heard some of them is told the others."""

    __slots__ = ("_last", "count")

    def __init__(self) -> None:
        self._last: _Said = ()  # few
        self.count = 0  # of all that were ever said

    def say(self, attempt: Attempt, counted: Counted) -> None:
        """An attempt counts so far."""
        self._last = _with(self._last, (attempt, counted))
        self.count += 1

    def after(self, heard: int) -> list[list[Any]]:
        """Return invocation, attempt and how far it counts of the last few, without the first `heard` of all."""
        last = self._last[max(0, len(self._last) - (self.count - heard)) :]
        return [[*attempt, said(counted)] for attempt, counted in last]


_Said: TypeAlias = tuple[tuple[Attempt, Counted], ...]


@functools.lru_cache(maxsize=64)
def _with(last: _Said, word: tuple[Attempt, Counted]) -> _Said:
    """Return the last few words and one more: one object for all children that were told the same."""
    return (*last[1 - TOLD_AGAIN :], word)


class Fates:
    """The attempts that have ended here before their fate was known, and the latest that is known."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Attempt, Part] = OrderedDict()
        self._known: defaultdict[str, Words] = defaultdict(Words)  # by child

    def wait(self, attempt: Attempt, part: Part) -> None:
        """The attempt is over here; how it counts is to be heard."""
        self._waiting[attempt] = part
        while len(self._waiting) > _WAITING:
            self._waiting.popitem(last=False)

    def known(self, attempt: Attempt) -> Part | None:
        """Return the part of an attempt that has waited for its fate; it does not wait any more."""
        return self._waiting.pop(attempt, None)

    def told(self, child: str, attempt: Attempt, counted: Counted) -> None:
        """A child was told."""
        self._known[child].say(attempt, counted)

    def words(self, child: str) -> Words:
        """Return what a beginning tells a child again."""
        return self._known[child]


def ended_of(header: Mapping[str, Any], where: str) -> list[tuple[str, int, Counted]]:
    """Return what a beginning says of earlier attempts; raises ProtocolError if it cannot be read."""
    found: list[tuple[str, int, Counted]] = []
    ended = header.get("ended", [])
    for one in ended if isinstance(ended, list) else [None]:
        if not (isinstance(one, list) and len(one) == 3 and isinstance(one[0], str) and type(one[1]) is int):
            raise ProtocolError(
                "a beginning with ends that cannot be read", where=where, mend="run one version of tierfed"
            )
        counted = heard(one[2], where)
        if counted is not None:
            found.append((one[0], one[1], counted))
    return found
