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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tierfed.errors import RoundFailed, TierfedError
from tierfed.node.round_events import Collect, UpSite
from tierfed.node.summary import Summary, together

_NAMED = 8  # of those lost after the first, in a message


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


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one site is: for live views."""

    site: UpSite
    placement: str
    expected: int
    quorum: int
    whole: int
    folded: int
    lost: int
    closed: bool


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
        return together((self.held[m][site].summary for m in self.admitted), self.losses())

    def progress(self, fold: Folding) -> Progress:
        """Return how far `fold` is."""
        return Progress(
            site=fold.site,
            placement=self.placement,
            expected=len(self.members),
            quorum=self.quorum,
            whole=sum(fold.site in held for held in self.held.values()),
            folded=fold.done,
            lost=len(self.lost),
            closed=fold.closed,
        )

    def below_quorum(self, node: str, invocation: str) -> RoundFailed:
        """Return the error of a collection that has lost too many: it names the first one lost."""
        member, loss = next(iter(self.lost.items()))
        after = list(self.lost)[1:]
        more = f" and {len(after) - _NAMED} more" if len(after) > _NAMED else ""
        others = f"; after it {', '.join(after[:_NAMED])}{more}" if after else ""
        error = loss.error or {}
        what = error.get("what")
        said = f" ({what})" if what and what not in loss.reason else ""
        culprit = error.get("node") or member
        mend = f"see `tierfed logs {culprit}`, or lower collect.quorum at the parent of {self.placement}"
        if told := error.get("mend"):  # what would mend the first cause comes first
            mend = told if error.get("kind") == "RoundFailed" else f"{told}; or {mend}"
        return RoundFailed(
            f"{len(self.members) - len(self.lost)} of {len(self.members)} {self.placement} left, "
            f"quorum is {self.quorum}; the first lost is {member}: {loss.reason}{said}{others}",
            where=f"{node}, site {next(iter(self.folds))} of invocation {invocation}",
            mend=mend,
            node=culprit,
            remote_traceback=error.get("traceback"),
        )


def grouped(
    collects: Sequence[Collect], children: Mapping[str, Sequence[str]], quorum: Mapping[str, int]
) -> list[Collection]:
    """Return the collections of `collects`: one for each phase (with its loop indices) and placement."""
    groups: dict[tuple[int, tuple[int, ...], str], list[UpSite]] = {}
    for collect in collects:
        groups.setdefault((collect.site.phase, collect.site.loops, collect.placement), []).append(collect.site)
    collections = []
    for (_, _, placement), sites in groups.items():
        members = children.get(placement, ())
        needed = quorum.get(placement, 0 if not members else -1)
        if not 0 <= needed <= len(members):
            raise TierfedError(
                f"a quorum of {quorum.get(placement, 'nothing')} over {len(members)} {placement}",
                where=f"site {sites[0]}",
                mend="give a number from 0 to that of the children",
            )
        collections.append(Collection(sites, placement, members, needed))
    return collections
