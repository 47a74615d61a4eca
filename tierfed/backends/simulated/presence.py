"""Presence: who of a fleet is not there, and why; members come and go by their hours.

    presence.leave("c-3", "hours", Away("it is not there until 79200 s"))     its links end, with that reason
    presence.leave("c-3", 7, ProtocolError("edge-1 was killed"))              a second cause
    presence.come("c-3", "hours")                                             still away
    presence.come("c-3", 7)                                                   there, under a higher epoch

A member may be away for several causes at once, each ended by itself; it is there when none is left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

from tierfed.backends.simulated.agenda import Agenda
from tierfed.errors import TierfedError
from tierfed.node.peer import Away
from tierfed.topology.links.trace import Trace
from tierfed.topology.links.window import Window

_HOURS = "hours"


class Presence:
    """See the module docstring.

    `detach` is called with a member and the reason when it goes, `attach` when it comes back, `explain` with a reason
    when there is another one for one who is away.
    """

    def __init__(
        self,
        detach: Callable[[str, TierfedError], None],
        attach: Callable[[str], None],
        explain: Callable[[str, TierfedError], None],
    ) -> None:
        self._detach = detach
        self._attach = attach
        self._explain = explain
        self._causes: dict[str, dict[Hashable, TierfedError]] = {}

    def why(self, name: str) -> TierfedError | None:
        """Return why a member is not there, None if it is."""
        causes = self._causes.get(name)
        return next(iter(causes.values())) if causes else None

    def leave(self, name: str, cause: Hashable, reason: TierfedError) -> None:
        """A member goes, or has one more cause to be away."""
        there = name not in self._causes
        self._causes.setdefault(name, {})[cause] = reason
        if there:
            self._detach(name, reason)

    def come(self, name: str, cause: Hashable) -> None:
        """A cause has ended; a member that has no other comes back."""
        causes = self._causes.get(name, {})
        if causes.pop(cause, None) is None:
            return
        if causes:
            self._explain(name, next(iter(causes.values())))
        else:
            del self._causes[name]
            self._attach(name)


class Hours:
    """The comings and goings of a member by its window or trace, in virtual seconds since the fleet came up."""

    __slots__ = ("_agenda", "_away", "_changes", "_name", "_presence", "_since")

    def __init__(self, agenda: Agenda, presence: Presence, name: str, window: Window | Trace) -> None:
        self._agenda = agenda
        self._presence = presence
        self._name = name
        self._changes = window.changes()
        self._away = 0.0  # seconds, until it came last
        self._since: float | None = None  # it is away
        if window.there(0.0):
            self._next(self._goes)
        else:
            self._goes(0.0)

    def away(self, now: float) -> float:
        """Return for how many of the seconds until `now` it was not there."""
        return self._away + (now - self._since if self._since is not None else 0.0)

    def _next(self, happens: Callable[[float], None]) -> float:
        """Let `happens` be at its next change; return when that is."""
        at = next(self._changes, math.inf)
        if at < math.inf:
            self._agenda.at(at, happens)
        return at

    def _goes(self, at: float) -> None:
        self._since = at
        back = self._next(self._comes)
        told = f"it is not there until {round(back, 3):.12g} s" if back < math.inf else "it does not come back"
        self._presence.leave(self._name, _HOURS, Away(told, where=self._name, mend="see available: in the topology"))

    def _comes(self, at: float) -> None:
        if self._since is not None:
            self._away += at - self._since
            self._since = None
        self._presence.come(self._name, _HOURS)
        self._next(self._goes)
