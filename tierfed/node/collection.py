"""A collection: the children of one placement, and what each has contributed in one phase.

Sites of one phase over one placement share one set of contributors: a member is in all of
them or in none.  So the sites are collected together, and a member is *whole* when its
contribution to each of them is.

Membership is decided in member order, one after the other, and never taken back: a sum
cannot be un-added.  `cursor` counts the members decided.  Those before it are admitted or
lost for good; one behind it that is lost may still come back:

    members   c-0   c-1   c-2   c-3   c-4          cursor = 3
              in    lost  in    ·     gone         c-4 may rejoin, c-1 may not

Where more members were drawn than are to count (cohort.py), a collection has `enough`: as soon as that many are
whole, the others are out, so that all are decided at once.

Collections have an order, that of the slice.  A site in a loop is collected once a turn, and
stands where the loop begins: after all of its phase, before all later ones.  A site where senders agree
(agreement.py) has a collection of its own, before that of its phase.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from tierfed.errors import RoundFailed, TierfedError
from tierfed.node.round_events import ENOUGH, Collect, Site
from tierfed.node.summary import Summary, together

Order: TypeAlias = tuple[tuple[int, int, int, int], ...]
"""Where a collection stands: for each loop around it (phase, 1, index, turn), then (phase, 0, 0, 0); where senders
agree, (phase, -1, index, 0)."""

_Group: TypeAlias = tuple[int, tuple[Site, ...], str, int | None]
"""The sites that are collected together: phase, loops, placement, and for one where senders agree its index."""

_NAMED = 8  # of those lost after the first, in a message


@dataclass(frozen=True, slots=True)
class Held:
    """A contribution that was accepted: what came, and under which epoch."""

    digest: str
    epoch: int
    summary: Summary


class One(Mapping[Site, Held]):
    """What is held of a member who has contributed to one site: a quarter of a dict, and most have no other."""

    __slots__ = ("_held", "_site")

    def __init__(self, site: Site, held: Held) -> None:
        self._site = site
        self._held = held

    def __getitem__(self, site: Site) -> Held:
        if site != self._site:
            raise KeyError(site)
        return self._held

    def __contains__(self, site: object) -> bool:
        return site == self._site

    def __iter__(self) -> Iterator[Site]:
        yield self._site

    def __len__(self) -> int:
        return 1


@dataclass(slots=True)
class Loss:
    """Why a member is missing.

    `final`: it cannot come back.  `cut`: the sites whose upload was cut, which it may send
    again; empty when its connection is gone.
    """

    reason: str
    final: bool
    error: Mapping[str, str | None] | None = None
    cut: set[Site] = field(default_factory=set)


class Folding:
    """How far the fold of one site has come."""

    __slots__ = ("closed", "done", "outstanding", "reached", "site")

    def __init__(self, site: Site) -> None:
        self.site = site
        self.reached = False
        self.done = 0  # of the admitted members, in order
        self.outstanding: str | None = None
        self.closed = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one site is: for live views."""

    site: Site
    placement: str
    expected: int
    quorum: int
    whole: int
    folded: int
    lost: int
    closed: bool
    awaited: tuple[tuple[str, bool], ...]  # the first few who are neither whole nor lost, and whether they have begun


class Collection:
    """See the module docstring.  It keeps the books; `Round` decides."""

    def __init__(
        self,
        sites: Iterable[Site],
        placement: str,
        members: Iterable[str],
        quorum: int,
        order: Order = (),
        enough: int | None = None,
    ) -> None:
        self.folds = {site: Folding(site) for site in sites}
        self.order = order
        self.placement = placement
        self.members = tuple(members)
        self.position = {m: i for i, m in enumerate(self.members)}
        self.quorum = quorum
        self.due = math.inf
        self.cursor = 0
        self.admitted: list[str] = []
        self.lost: dict[str, Loss] = {}  # in order of their loss: the first is the cause
        self.held: dict[str, Mapping[Site, Held]] = {}
        self.partial: dict[str, set[Site]] = {}
        self.enough = enough  # members that are to count: the first to be whole
        self._whole: dict[str, None] = {}  # in the order in which they came to be

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

    def sent(self, member: str, site: Site) -> None:
        """`member` is in the middle of its contribution to `site` no more."""
        begun = self.partial.get(member)
        if begun is not None:
            begun.discard(site)
            if not begun:
                del self.partial[member]

    def hold(self, member: str, site: Site, held: Held) -> None:
        """Keep a contribution that was accepted."""
        before = self.held.get(member)
        self.held[member] = One(site, held) if before is None else {**before, site: held}
        if self.enough is not None and self.whole(member):
            self._whole[member] = None

    def to_spare(self) -> tuple[str, ...]:
        """Return the members who are out because enough others were first; nobody as long as these are too few."""
        if self.enough is None or self.frozen or len(self._whole) < self.enough:
            return ()
        first = set(itertools.islice((m for m in self._whole if m in self.held), self.enough))
        undecided = self.members[self.cursor :]
        return tuple(m for m in undecided if m not in first) if len(first) == self.enough else ()

    def contributors(self) -> tuple[str, ...]:
        """Return the members admitted so far, in member order."""
        return tuple(self.admitted)

    def losses(self) -> dict[str, str]:
        """Return who is missing and why, in member order."""
        return {m: self.lost[m].reason for m in sorted(self.lost, key=self.position.__getitem__)}

    def summary(self, site: Site) -> Summary:
        """Return who stands behind the fold of `site`: its contributors' summaries, and its own losses.

        Who was to spare is no loss; it is in the record of the site.
        """
        losses = {m: reason for m, reason in self.losses().items() if reason != ENOUGH}
        drawn = {} if self.enough is None else {self.placement: len(self.members)}
        return together((self.held[m][site].summary for m in self.admitted), losses, drawn)

    def progress(self, fold: Folding) -> Progress:
        """Return how far `fold` is."""
        spared = 0 if self.enough is None else sum(loss.reason == ENOUGH for loss in self.lost.values())
        return Progress(
            site=fold.site,
            placement=self.placement,
            expected=len(self.members) - spared,
            quorum=self.quorum,
            whole=sum(fold.site in held for held in self.held.values()),
            folded=fold.done,
            lost=len(self.lost) - spared,
            closed=fold.closed,
            awaited=tuple(itertools.islice(self._awaited(), _NAMED)),
        )

    def _awaited(self) -> Iterator[tuple[str, bool]]:
        for member in self.members[self.cursor :]:
            if member not in self.lost and not self.whole(member):
                yield member, bool(self.partial.get(member))

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


class Plan:
    """What an aggregator collects, as it stands in its slice; its collections are made of it."""

    def __init__(
        self,
        collects: Sequence[Collect],
        children: Mapping[str, Sequence[str]],
        quorum: Mapping[str, int],
        enough: Mapping[str, int],
    ) -> None:
        self._enough = enough
        self.loops = {c.loops[0] for c in collects if c.loops}  # those in no other
        self._children, self._quorum = children, quorum
        self._groups: dict[_Group, list[Site]] = {}
        self._of: dict[Site, _Group] = {}
        for c in collects:
            key = self._of[c.site] = (c.site.phase, c.loops, c.placement, c.site.index if c.site.asks else None)
            self._groups.setdefault(key, []).append(c.site)
        once = (self._made(key, ()) for key in self._groups if not key[1])
        self.once = sorted(once, key=lambda c: c.order)
        self.looped = {
            site: self._made(key, (0,) * len(key[1])) for key, sites in self._groups.items() if key[1] for site in sites
        }

    def order(self, site: Site) -> Order | None:
        """Return where the collection of `site` stands, None if there is no such site."""
        key = self._of.get(site.written)
        return None if key is None or len(key[1]) != len(site.turns) else order_of(site, key[1])

    def source(self, site: Site) -> str:
        """Return the placement of the children that send to `site`."""
        return self._of[site.written][2]

    def around(self, site: Site) -> tuple[Site, ...]:
        """Return the loops around `site`, the outermost first."""
        return self._of[site.written][1]

    def collection(self, site: Site) -> Collection:
        """Return a new collection of the sites that belong with `site`, in the same turns."""
        return self._made(self._of[site.written], site.turns)

    def __iter__(self) -> Iterator[Site]:
        return iter(self._of)

    def _made(self, key: _Group, turns: tuple[int, ...]) -> Collection:
        """Return the collection of one phase, with its turns, and placement."""
        _, loops, placement, _ = key
        sites = [site.at(turns) for site in self._groups[key]]
        members = self._children.get(placement, ())
        needed = self._quorum.get(placement, 0 if not members else -1)
        if not 0 <= needed <= len(members):
            raise TierfedError(
                f"a quorum of {self._quorum.get(placement, 'nothing')} over {len(members)} {placement}",
                where=f"site {sites[0]}",
                mend="give a number from 0 to that of the children",
            )
        enough = self._enough.get(placement)
        if enough is not None and not needed <= enough:
            raise TierfedError(
                f"{enough} {placement} are enough, and {needed} the quorum",
                where=f"site {sites[0]}",
                mend="give a number from the quorum up",
            )
        return Collection(sites, placement, members, needed, order_of(sites[0], loops), enough)


def order_of(site: Site, loops: tuple[Site, ...]) -> Order:
    """Return where the messages of `site`, in its turns of `loops`, the outermost first, stand."""
    around = ((loop.phase, 1, loop.index, turn) for loop, turn in zip(loops, site.turns, strict=True))
    return (*around, (site.phase, -1, site.index, 0) if site.asks else (site.phase, 0, 0, 0))
