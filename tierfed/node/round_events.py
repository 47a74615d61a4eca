"""What happens to a round, and what a round asks for: the vocabulary of `node/round.py`.

Events say what an aggregator has seen of its children; actions say what its daemon is to
do.  All are plain values, so a history can keep them and a test can replay them.

A contribution is named by its key `(invocation, attempt, site, member)` and the digest of
its payload.  The digest leaves the epoch out: the same update sent again after a
reconnection is the same contribution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from tierfed.compiler.slices import Site as Site  # the words of this vocabulary
from tierfed.errors import RoundFailed
from tierfed.node.summary import Summary as Summary

Why: TypeAlias = Literal[
    "ROUND_CLOSED", "CONFLICT", "STALE_EPOCH", "STALE_ATTEMPT", "UNKNOWN_SITE", "TOO_FAR", "NOT_A_CHILD"
]


ENOUGH = "enough others were first"
"""Why a member is out that was drawn to spare."""


@dataclass(frozen=True, slots=True)
class Draw:
    """How the children at one placement were drawn: whom it was `of`, and the members drawn, in member order.

    `enough` is how many of them are to count, `number` how many were to be drawn; `key` is what the names of
    children are hashed with (cohort.py).
    """

    key: str
    of: tuple[str, ...]
    number: int
    members: tuple[str, ...]
    enough: int
    weights: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Collect:
    """One site that an aggregator collects, and the placement of the children that send to it.

    `loops` names the loops that it stands in, the outermost first: then it is collected once a turn.
    """

    site: Site
    placement: str
    loops: tuple[Site, ...] = ()


# Events ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begun:
    """The invocation begins here; all of it must be over by `deadline` (monotonic seconds).

    `dead` names the children already known to be lost, with the reason.  `draws` says, for each placement of
    which not all children take part, how they were drawn.
    """

    deadline: float
    dead: Mapping[str, str] = field(default_factory=dict)
    draws: Mapping[str, Draw] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reached:
    """The slice has come to the fold of `site`, which may now run.

    `deadline` is when this phase must have been collected, if that is before the invocation's.
    """

    site: Site
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """The slice has taken the last turn of a loop that stands in no other."""

    loop: Site


@dataclass(frozen=True, slots=True)
class Offered:
    """The first frame of a contribution is here; `digest` is None if it comes with the last one."""

    member: str
    site: Site
    attempt: int
    epoch: int
    digest: str | None = None
    size: int | None = None  # bytes


@dataclass(frozen=True, slots=True)
class Arrived:
    """A contribution is here, whole and verified."""

    member: str
    site: Site
    attempt: int
    epoch: int
    digest: str
    summary: Summary = field(default_factory=Summary)


@dataclass(frozen=True, slots=True)
class Broken:
    """The upload of a contribution was cut, or what came was corrupt; the daemon has let it go."""

    member: str
    site: Site
    reason: str
    epoch: int | None = None  # of the connection that it came over


@dataclass(frozen=True, slots=True)
class Failed:
    """The child says that it will not contribute: its leaf raised, or its subtree is below quorum.

    From `site` on, or, with None, at every site where it is not whole yet.  `error` is a
    `TierfedError.to_dict()`.
    """

    member: str
    site: Site | None
    reason: str
    error: Mapping[str, str | None] | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """The child's connection of `epoch` is lost, or its process dead (then `epoch` is None)."""

    member: str
    reason: str
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """The child is connected again, under `epoch`, and takes this invocation up again."""

    member: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Folded:
    """The fold that a `Fold` asked for is done."""

    member: str
    site: Site


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; nothing else has happened."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The invocation is off: the parent says so, or the parent is gone."""

    reason: str


@dataclass(frozen=True, slots=True)
class Committed:
    """The round that this invocation belongs to is in the record of the root."""


Event: TypeAlias = (
    Begun | Reached | Left | Offered | Arrived | Broken | Failed | Gone | Joined | Folded | Tick | Cancelled | Committed
)


# Actions -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accept:
    """Tell the child that its contribution is here, whole and verified.

    With `again`, it was here before: the copy that has just come is let go.
    """

    member: str
    site: Site
    digest: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """Tell the child that this contribution (all of them, if `site` is None) is refused; let the copy go."""

    member: str
    site: Site | None
    why: Why
    detail: str


@dataclass(frozen=True, slots=True)
class Fold:
    """Fold the member's contribution into the site's accumulator, then report `Folded` and let it go."""

    member: str
    site: Site


@dataclass(frozen=True, slots=True)
class Discard:
    """Let go of what is held of the member's contribution to `site`; it will not be folded."""

    member: str
    site: Site
    reason: str


@dataclass(frozen=True, slots=True)
class Close:
    """The site is folded: who is in it, in member order, and who was lost, with the reason."""

    site: Site
    contributors: tuple[str, ...]
    lost: Mapping[str, str]
    summary: Summary


@dataclass(frozen=True, slots=True)
class Fail:
    """The site will not be folded to its end; `error` names the first cause."""

    site: Site
    error: RoundFailed


@dataclass(frozen=True, slots=True)
class SetDeadline:
    """Send a Tick at `at` (monotonic seconds); None: no tick is needed any more."""

    at: float | None


@dataclass(frozen=True, slots=True)
class Forget:
    """Nothing of this invocation is needed any more."""


Action: TypeAlias = Accept | Reject | Fold | Discard | Close | Fail | SetDeadline | Forget
