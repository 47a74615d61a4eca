"""Presence: who of a fleet is not there, and why; members come and go by their hours.

    presence.leave("c-3", "hours", Away("it is not there until 79200 s"))     its links end, with that reason
    presence.leave("c-3", 7, ProtocolError("edge-1 was killed"))              a second cause
    presence.come("c-3", "hours")                                             still away
    presence.come("c-3", 7)                                                   there, under a higher epoch

A member may be away for several causes at once, each ended by itself; it is there when none is left.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from tierfed.backends.simulated.agenda import Agenda
from tierfed.errors import TierfedError
from tierfed.node.peer import Away
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
    """The comings and goings of a member by its window, in virtual seconds since the fleet came up."""

    __slots__ = ("_agenda", "_name", "_presence", "_window")

    def __init__(self, agenda: Agenda, presence: Presence, name: str, window: Window) -> None:
        self._agenda = agenda
        self._presence = presence
        self._name = name
        self._window = window
        if window.there(0.0):
            agenda.at(window.next_gone(0.0), self._goes)
        else:
            self._away_until(window.next_there(0.0))

    def _goes(self, at: float) -> None:
        self._away_until(at + self._window.every - self._window.length)

    def _away_until(self, back: float) -> None:
        told = f"it is not there until {round(back, 3):.12g} s"
        self._presence.leave(self._name, _HOURS, Away(told, where=self._name, mend="see available: in the topology"))
        self._agenda.at(back, self._comes)

    def _comes(self, at: float) -> None:
        self._presence.come(self._name, _HOURS)
        self._agenda.at(at + self._window.length, self._goes)
