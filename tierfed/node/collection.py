"""A collection: the children of one placement, and what each has contributed in one phase.

Sites of one phase over one placement share one set of contributors: a member is in all of
them or in none.  So the sites are collected together, and a member is *whole* when its
contribution to each of them is.

Membership is decided in member order, one after the other, and never taken back: a sum
cannot be un-added.  `cursor` counts the members decided.  Those before it are admitted or
lost for good; one behind it that is lost may still come back:

    members   c-0   c-1   c-2   c-3   c-4          cursor = 3
              in    lost  in    ·     gone         c-4 may rejoin, c-1 may not
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tierfed.node.round_events import Summary, UpSite


@dataclass(frozen=True, slots=True)
class Held:
    """A contribution that was accepted: what came, and under which epoch."""

    digest: str
    epoch: int
    summary: Summary


@dataclass(slots=True)
class Loss:
    """Why a member is missing.

    `final`: it cannot come back.  `cut`: the sites whose upload was cut, which it may send
    again; empty when its connection is gone.
    """

    reason: str
    final: bool
    error: Mapping[str, str | None] | None = None
    cut: set[UpSite] = field(default_factory=set)


class Folding:
    """How far the fold of one site has come."""

    __slots__ = ("closed", "done", "outstanding", "reached", "site")

    def __init__(self, site: UpSite) -> None:
        self.site = site
        self.reached = False
        self.done = 0  # of the admitted members, in order
        self.outstanding: str | None = None
        self.closed = False


class Collection:
    """See the module docstring.  It keeps the books; `Round` decides."""

    def __init__(self, sites: Iterable[UpSite], placement: str, members: Iterable[str], quorum: int) -> None:
        self.folds = {site: Folding(site) for site in sites}
        self.placement = placement
        self.members = tuple(members)
        self.position = {m: i for i, m in enumerate(self.members)}
        self.quorum = quorum
        self.due = math.inf
        self.cursor = 0
        self.admitted: list[str] = []
        self.lost: dict[str, Loss] = {}  # in order of their loss: the first is the cause
        self.held: dict[str, dict[UpSite, Held]] = {}
        self.partial: dict[str, set[UpSite]] = {}

    @property
    def frozen(self) -> bool:
        """Whether every member is decided."""
        return self.cursor == len(self.members)

    @property
    def reached(self) -> bool:
        """Whether the slice has come to one of the sites."""
        return any(f.reached for f in self.folds.values())

    def decided(self, member: str) -> bool:
        """Return whether `member` is in or out for good by its turn."""
        return self.position[member] < self.cursor

    def whole(self, member: str) -> bool:
        """Return whether every contribution of `member` is here."""
        return len(self.held.get(member, ())) == len(self.folds)

    def contributors(self) -> tuple[str, ...]:
        """Return the members admitted so far, in member order."""
        return tuple(self.admitted)

    def losses(self) -> dict[str, str]:
        """Return who is missing and why, in member order."""
        return {m: self.lost[m].reason for m in sorted(self.lost, key=self.position.__getitem__)}

    def summary(self, site: UpSite) -> Summary:
        """Return who stands behind the fold of `site`: its contributors' summaries, and its own losses."""
        counts: dict[str, int] = {}
        lost = self.losses()
        for m in self.admitted:
            said = self.held[m][site].summary
            for placement, n in said.counts.items():
                counts[placement] = counts.get(placement, 0) + n
            lost.update(said.lost)
        return Summary(counts, lost)
