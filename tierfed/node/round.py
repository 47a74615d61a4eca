"""Round: one aggregator's part in one invocation, as a pure state machine.

Events in, actions out; no socket, no clock, no task.  `step(event, now)` first applies the
deadlines that `now` has passed, then the event, and returns what the daemon is to do, in
that order.  Over clients c-0 and c-1, with c-1's update here first:

    Begun · Reached 2.0         -> SetDeadline
    Arrived c-1                 -> Accept c-1
    Arrived c-0                 -> Accept c-0 · Fold c-0
    Folded c-0                  -> Fold c-1
    Folded c-1                  -> Close 2.0 (c-0, c-1)

Rules.  A contribution counts when it is whole; the members of a site are decided in member
order, each as soon as it is whole or known lost, at the deadline by what is whole.  One
fold is outstanding a site.  A site closes when all are decided and folded, and the round
fails as soon as fewer are left than the quorum.  Where `enough` are said, the first so many to
be whole count, and the others are out.  A member lost at one site is out of the later ones.  A
site in a loop is collected anew in each turn, from when the slice comes to that turn or a child
does, who may be ahead by some; once the slice has gone past it the turn is over.
`docs/rounds.md` tells it at length.

Sound because each decision is taken once: a member behind the cursor of its collection is
never looked at again, so no schedule of events can fold it twice or out of order, and
whatever the deadline finds undecided it decides, so nothing waits for ever.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from tierfed.errors import RoundFailed, TierfedError
from tierfed.node.collection import Collection, Folding, Held, Loss, Order, Plan, Progress
from tierfed.node.round_events import (
    ENOUGH,
    Accept,
    Action,
    Arrived,
    Begun,
    Broken,
    Cancelled,
    Close,
    Collect,
    Committed,
    Discard,
    Event,
    Fail,
    Failed,
    Fold,
    Folded,
    Forget,
    Gone,
    Joined,
    Left,
    Offered,
    Reached,
    Reject,
    SetDeadline,
    Site,
    Tick,
    Why,
)

_AFTER = (0, 0, 0, 0)  # after an order, and before all that come after it

State: TypeAlias = Literal["waiting", "open", "closed", "failed", "cancelled", "committed"]


class Round:
    """See the module docstring.

    `most_ahead`: how many turns of its loops a child may open before the slice comes to them.
    `collects`: the sites that this aggregator collects, in phase order.
    `children`: for each placement just below, its children in member order.
    `quorum`: for each placement below, how many of those children must be in.
    `epochs`: the epoch under which each child is connected; a child left out never was.
    `enough`: for a placement of which more were drawn than are to count, how many of them are.
    """

    most_ahead = 256

    def __init__(
        self,
        node: str,
        invocation: str,
        attempt: int,
        collects: Sequence[Collect],
        children: Mapping[str, Sequence[str]],
        quorum: Mapping[str, int],
        epochs: Mapping[str, int] | None = None,
        enough: Mapping[str, int] | None = None,
    ) -> None:
        self.node = node
        self.invocation = invocation
        self.attempt = attempt
        self.state: State = "waiting"
        self.closed: dict[Site, Close] = {}  # the record: who is in each site
        self._epochs = dict(epochs or {})
        self._placement = {m: p for p, members in children.items() for m in members}
        self._down: dict[str, str] = {}  # members without a connection, and why
        self.plan = Plan(collects, children, quorum, enough or {})
        self._collections = list(self.plan.once)
        self._at = {site: c for c in self._collections for site in c.folds}
        self._loops = set(self.plan.loops)  # those that take more turns
        self._now: Order = ()  # where the slice has come to: turns before it are over
        self._opened: dict[Collection, str] = {}  # turns that the slice has not come to, and who did
        self._out: dict[str, tuple[Order, Loss]] = {}  # members lost for good, and from where on
        self._until = math.inf
        self._deadline: float | None = None  # the last SetDeadline
        self._ended = ""  # why no contribution is taken any more
        self._actions: list[Action] = []

    # What others ask -----------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether no site is open any more."""
        return self.state not in ("waiting", "open")

    def awaited(self, site: Site) -> str | None:
        """Return the member whose turn it is at `site`; its upload must never wait for another's buffer."""
        c = self._at[site]
        return None if c.frozen or self.over else c.members[c.cursor]

    def lost(self, member: str) -> bool:
        """Return whether `member` is lost for good, at what is being collected or later."""
        return member in self._out

    def out(self, member: str) -> Order | None:
        """Return from where on `member` is lost for good, None if it is not: what it gave before stays in."""
        return self._out[member][0] if member in self._out else None

    def ahead(self, member: str) -> int:
        """Return of how many turns that the slice has not come to something of `member` is here."""
        return sum(member in c.held or bool(c.partial.get(member)) for c in self._opened)

    def collections(self) -> tuple[Collection, ...]:
        """Return the collections, in phase order: to be read, by histories and reports."""
        return tuple(self._collections)

    def epoch(self, member: str) -> int:
        """Return the epoch under which `member` is connected, -1 if it never was."""
        return self._epochs.get(member, -1)

    def progress(self) -> tuple[Progress, ...]:
        """Return how far each site is, in phase order."""
        return tuple(c.progress(fold) for c in self._collections for fold in c.folds.values())

    def forget(self) -> None:
        """Let go of the books, once it has ended and nobody reads them: at once, and not when garbage is collected."""
        self._collections.clear()
        self._at.clear()
        self._opened.clear()
        self._epochs.clear()

    # What happens --------------------------------------------------------------------------

    def step(self, event: Event, now: float) -> list[Action]:
        """Return what is to be done after `event`, which is handled at `now` (monotonic seconds).

        Raises TierfedError if the daemon breaks its side: begins twice, reports a fold that
        was not asked for, or reaches a phase before the one below it is closed.
        """
        actions: list[Action] = []
        self._actions = actions
        self._expire(now)
        match event:
            case Offered() | Arrived():
                self._contribution(event)
            case Committed() | Cancelled():
                self._end(event)
            case Gone():
                self._gone(event)
            case Joined():
                self._joined(event)
            case _ if self.over:
                pass  # a late report: its site is closed, or its round over
            case Begun():
                self._begin(event)
            case Reached():
                self._reach(event)
            case Left():
                self._left(event)
            case Broken():
                self._cut(event)
            case Failed():
                self._failed(event)
            case Folded():
                self._folded(event)
            case Tick():
                pass
        self._expire(now)
        self._settle()
        return actions

    def _begin(self, event: Begun) -> None:
        if self.state != "waiting":
            raise self._misuse("begun twice", "make one Round for each invocation and attempt")
        self.state = "open"
        self._until = event.deadline
        for c in self._collections:
            c.due = min(c.due, event.deadline)
        for member, reason in event.dead.items():
            self._gone(Gone(member, reason))

    def _reach(self, event: Reached) -> None:
        site = event.site
        if site not in self._at and (self.plan.order(site) is None or self._past(site)):
            raise self._misuse(f"reached {site}, a site it does not collect", self._sites())
        c = self._at.get(site) or self._turn(site)
        self._now = max(self._now, c.order)
        self._forget([e for e in self._collections if e.order < c.order], "the slice went on without that turn")
        if any(not e.frozen for e in self._earlier(c)):
            raise self._misuse(f"reached {site} while an earlier phase is open", "fold the phases in order")
        self._opened.pop(c, None)
        c.folds[site].reached = True
        if event.deadline is not None:
            c.due = min(c.due, event.deadline)

    def _past(self, site: Site) -> bool:
        """Return whether a site in a loop, in the turns named, is behind the slice."""
        order = self.plan.order(site)
        return order is None or order < self._now or self.plan.around(site)[0] not in self._loops

    def _turn(self, site: Site) -> Collection:
        """Return a new collection for a site in a loop, in the turns named."""
        c = self.plan.collection(site)
        c.due = self._until
        bisect.insort(self._collections, c, key=lambda other: other.order)
        self._at.update(dict.fromkeys(c.folds, c))
        for member in c.members:
            if member in self._out and self._out[member][0] <= c.order:
                self._lose(member, self._collections.index(c), self._out[member][1])
            elif member in self._down:
                c.lost[member] = Loss(self._down[member], final=False)
        return c

    def _left(self, event: Left) -> None:
        """A loop takes no more turns: let go of what came for any."""
        self._loops.discard(event.loop)
        around = (event.loop.phase, 1, event.loop.index)
        inside = [c for c in self._collections if c.order[0][:3] == around]
        self._forget(inside, f"loop {event.loop} takes no more turns")

    def _forget(self, over: Iterable[Collection], why: str) -> None:
        """Forget the turns among `over`: those folded, and those that came from children alone."""
        for c in over:
            if len(c.order) == 1 or (c.reached and not all(f.closed for f in c.folds.values())):
                continue
            self._collections.remove(c)
            if self._opened.pop(c, None) is not None:
                for member, held in c.held.items():
                    for site in held:
                        self._act(Discard(member, site, why))
                for member in tuple(c.partial):
                    self._drop_partial(c, member, why)
            for site in c.folds:
                del self._at[site]
                self.closed.pop(site, None)

    def _contribution(self, event: Offered | Arrived) -> None:
        """Take, or refuse, a contribution of which the first frame or the whole is here."""
        member, site, digest = event.member, event.site, event.digest
        if refused := self._stranger(event):
            why, detail = refused
            self._act(Reject(member, site, why, detail))
            return
        if event.epoch > self.epoch(member):
            self._joined(Joined(member, event.epoch))  # the bulk connection was quicker than the control connection
        if closed := self._no_turn(event):
            why, detail = closed
            self._act(Reject(member, site, why, detail))
            return
        c = self._at[site]
        held = c.held.get(member, {}).get(site)
        loss = c.lost.get(member)
        if self.state in ("failed", "cancelled") or (self._ended and held is None):
            self._act(Reject(member, site, "ROUND_CLOSED", f"invocation {self.invocation} {self._ended}"))
        elif held is not None:
            if digest == held.digest:
                self._act(Accept(member, site, held.digest, again=True))
            elif digest is not None:
                detail = f"{self.node} holds {held.digest} of {member} at {site}, and was sent {digest}"
                self._act(Reject(member, site, "CONFLICT", detail))
            # without a digest it is judged when the last frame is here
        elif loss is not None and loss.final:
            detail = f"{member} is lost to invocation {self.invocation}: {loss.reason}"
            self._act(Reject(member, site, "ROUND_CLOSED", detail))
        else:
            self._take(c, event, loss)

    def _take(self, c: Collection, event: Offered | Arrived, loss: Loss | None) -> None:
        member, site = event.member, event.site
        if loss is not None and loss.cut:
            loss.cut.discard(site)  # it is sending again what was cut
            if not loss.cut:
                del c.lost[member]
        if isinstance(event, Offered):
            c.partial.setdefault(member, set()).add(site)
            return
        c.sent(member, site)
        c.hold(member, site, Held(event.digest, event.epoch, event.summary))
        self._act(Accept(member, site, event.digest))

    def _stranger(self, event: Offered | Arrived) -> tuple[Why, str] | None:
        """Return why this contribution cannot be one of this round, None if it can."""
        member, site = event.member, event.site
        placement = self._placement.get(member)
        if placement is None:
            return "NOT_A_CHILD", f"{member} is no child of {self.node}"
        if event.attempt != self.attempt:
            return "STALE_ATTEMPT", f"attempt {event.attempt}; invocation {self.invocation} is at {self.attempt}"
        if self.plan.order(site) is None:
            return "UNKNOWN_SITE", f"site {site}; {self._sites()}"
        if placement != self.plan.source(site):
            return "NOT_A_CHILD", f"{member} is of {placement}; site {site} collects {self.plan.source(site)}"
        epoch = self.epoch(member)
        if event.epoch < epoch:
            return "STALE_EPOCH", f"epoch {event.epoch}; {member} is at {epoch}"
        if event.epoch == epoch and member in self._down:
            return "STALE_EPOCH", f"the connection of epoch {epoch} is gone: {self._down[member]}"
        return None

    def _no_turn(self, event: Offered | Arrived) -> tuple[Why, str] | None:
        """Return why there is no collection of a site in a loop, None if there is one from now on."""
        member, site = event.member, event.site
        if site in self._at:
            return None
        if self.over or self._past(site):
            return "ROUND_CLOSED", f"site {site}: that turn is over"
        if sum(m == member for m in self._opened.values()) >= self.most_ahead:
            return "TOO_FAR", f"site {site}; {self.node} is {self.most_ahead} turns behind {member}"
        self._opened[self._turn(site)] = member
        return None

    def _cut(self, event: Broken) -> None:
        """Count the member as lost at this collection, unless it sends again before its turn."""
        c = self._at.get(event.site)
        if c is None or event.member not in c.position or self._old(event):
            return
        if event.site in c.held.get(event.member, ()):
            return  # a second copy was cut; the first is here
        c.sent(event.member, event.site)
        if c.decided(event.member):
            return
        loss = c.lost.setdefault(event.member, Loss(event.reason, final=False))
        if not loss.final and event.member not in self._down:
            loss.cut.add(event.site)

    def _failed(self, event: Failed) -> None:
        if event.member not in self._placement or (event.site is not None and event.site not in self._at):
            return
        loss = Loss(event.reason, final=True, error=event.error)
        if event.site is None:  # out of the turns too that nobody has come to yet
            decided = [c.order for c in self._of(event.member) if c.decided(event.member)]
            self._out_from(event.member, (*max(decided), _AFTER) if decided else (), loss)
        start = 0 if event.site is None else self._collections.index(self._at[event.site])
        self._lose(event.member, start, loss)

    def _gone(self, event: Gone) -> None:
        """Count the member as lost wherever it is not whole; it may come back until its turn."""
        member = event.member
        if member not in self._placement or member in self._down or self._old(event):
            return
        self._down[member] = event.reason
        for c in () if self.over else self._of(member):
            self._drop_partial(c, member, event.reason)
            if not c.decided(member) and not c.whole(member):
                c.lost.setdefault(member, Loss(event.reason, final=False)).cut.clear()

    def _joined(self, event: Joined) -> None:
        """Raise the member's epoch; what it was in the middle of sending is dropped, what is whole stays."""
        member, epoch = event.member, self.epoch(event.member)
        if member not in self._placement:
            self._act(Reject(member, None, "NOT_A_CHILD", f"{member} is no child of {self.node}"))
        elif event.epoch < epoch or (event.epoch == epoch and member in self._down):
            self._act(Reject(member, None, "STALE_EPOCH", f"epoch {event.epoch}; {member} was at {epoch}"))
        elif event.epoch > epoch:
            self._epochs[member] = event.epoch
            self._down.pop(member, None)
            for c in () if self.over else self._of(member):
                self._drop_partial(c, member, f"{member} came back under epoch {event.epoch}")
                if member in c.lost and not c.lost[member].final:
                    del c.lost[member]

    def _old(self, event: Gone | Broken) -> bool:
        """Return whether a report is of a connection that another has taken the place of."""
        return event.epoch is not None and event.epoch < self.epoch(event.member)

    def _folded(self, event: Folded) -> None:
        c = self._at.get(event.site)
        fold = c.folds[event.site] if c else None
        if c is None or fold is None or fold.outstanding != event.member:
            raise self._misuse(f"{event.member} was folded at {event.site} unasked", "fold when a Fold says so")
        fold.outstanding = None
        fold.done += 1

    def _end(self, event: Committed | Cancelled) -> None:
        """Take leave of the invocation.  A round that had not closed when the root's was committed is not in it."""
        if self.state in ("cancelled", "committed"):
            return
        reason = "was committed" if isinstance(event, Committed) else f"was cancelled: {event.reason}"
        if not self.over:
            error = RoundFailed(
                f"invocation {self.invocation} {reason}",
                where=self.node,
                mend="see the first error of its parent's log",
                node=self.node,
            )
            self._close_down(error, reason)
        self._ended = self._ended or reason
        self.state = "committed" if isinstance(event, Committed) and self.state == "closed" else "cancelled"
        self._act(Forget())

    # What follows --------------------------------------------------------------------------

    def _expire(self, now: float) -> None:
        """Decide what is overdue: whole is in, anything else is lost."""
        if self.state != "open":
            return
        for c in self._collections:
            if c.due <= now:
                self._decide(c, overdue=True)

    def _settle(self) -> None:
        """Decide, fail, fold and close what can be."""
        if self.state == "open":
            for c in self._collections:
                if c.reached and all(e.frozen for e in self._earlier(c)):
                    self._decide(c, overdue=False)
            failed = next((c for c in self._collections if len(c.members) - len(c.lost) < c.quorum), None)
            if failed is not None:
                self.state = "failed"
                error = failed.below_quorum(self.node, self.invocation)
                self._close_down(error, f"failed: {error.what}")
            else:
                for c in self._collections:
                    for fold in c.folds.values():
                        self._fold_on(c, fold)
                if not self._loops and all(f.closed for c in self._collections for f in c.folds.values()):
                    self.state = "closed"
        due = [c.due for c in self._collections if not c.frozen] if self.state == "open" else []
        at = min(due, default=None)
        if at != self._deadline and at != math.inf:
            self._deadline = at
            self._act(SetDeadline(at))

    def _decide(self, c: Collection, overdue: bool) -> None:
        """Admit or lose the members whose turn has come, in member order; all of them once enough are whole."""
        for member in c.to_spare():
            loss = c.lost.get(member) or Loss(ENOUGH, final=True)
            loss.final = True
            for site in c.held.pop(member, ()):  # it was whole, and not among the first
                self._act(Discard(member, site, loss.reason))
            self._lose(member, self._collections.index(c), loss)
        while not c.frozen:
            member = c.members[c.cursor]
            if member not in c.lost and c.whole(member):
                c.admitted.append(member)
            elif member in c.lost or overdue:
                late = "deadline, in the middle of its upload" if c.partial.get(member) else "deadline"
                loss = c.lost.get(member) or Loss(late, final=True)
                loss.final = True
                self._lose(member, self._collections.index(c), loss)
            else:
                return
            c.cursor += 1

    def _lose(self, member: str, start: int, loss: Loss) -> None:
        """Lose `member` for good at the first of its collections from `start` on where it is not whole, and after."""
        out = False
        for c in self._collections[start:]:
            if c.placement != self._placement[member] or c.decided(member) or (c.whole(member) and not out):
                continue
            if not out:
                self._out_from(member, c.order, loss)
            out = True
            if not (member in c.lost and c.lost[member].final):
                c.lost[member] = loss
            self._drop_partial(c, member, loss.reason)
            for site in c.held.pop(member, ()):
                self._act(Discard(member, site, loss.reason))

    def _out_from(self, member: str, order: Order, loss: Loss) -> None:
        if member not in self._out or order < self._out[member][0]:
            self._out[member] = order, loss

    def _fold_on(self, c: Collection, fold: Folding) -> None:
        if fold.closed or fold.outstanding is not None:
            return
        if fold.done < len(c.admitted):
            if fold.reached:
                fold.outstanding = c.admitted[fold.done]
                self._act(Fold(fold.outstanding, fold.site))
        elif c.frozen:
            fold.closed = True
            self.closed[fold.site] = Close(fold.site, c.contributors(), c.losses(), c.summary(fold.site))
            self._act(self.closed[fold.site])

    def _close_down(self, error: RoundFailed, ended: str) -> None:
        """Fail every open site with `error` and let go of what will not be folded."""
        self._ended = ended
        for c in self._collections:
            for fold in c.folds.values():
                if not fold.closed:
                    self._act(Fail(fold.site, error))
        for c in self._collections:
            for fold in c.folds.values():
                spent = set(c.admitted[: fold.done + (fold.outstanding is not None)])
                for member, held in c.held.items():
                    if fold.site in held and member not in spent:
                        self._act(Discard(member, fold.site, ended))
            for member in tuple(c.partial):
                self._drop_partial(c, member, ended)

    def _drop_partial(self, c: Collection, member: str, reason: str) -> None:
        for site in sorted(c.partial.pop(member, ())):
            self._act(Discard(member, site, reason))

    def _of(self, member: str) -> Iterable[Collection]:
        return (c for c in self._collections if c.placement == self._placement[member])

    def _earlier(self, c: Collection) -> Iterable[Collection]:
        return (e for e in self._collections[: self._collections.index(c)] if e.placement == c.placement)

    def _sites(self) -> str:
        return f"{self.node} collects {', '.join(map(str, self.plan)) or 'nothing'}"

    def _misuse(self, what: str, mend: str) -> TierfedError:
        return TierfedError(what, where=f"{self.node}, invocation {self.invocation}", mend=mend)

    def _act(self, action: Action) -> None:
        self._actions.append(action)
