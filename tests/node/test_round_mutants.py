"""The model and the laws of a round can fail: each of these wrong rounds is caught by them."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from round_machine import LAYOUTS, LOOPS, CohortMachine, RoundMachine

from tierfed.node import collection
from tierfed.node.collection import Collection
from tierfed.node.round import Round
from tierfed.node.round_events import ENOUGH, Accept, Arrived, Discard, Fold, Offered

pytestmark = pytest.mark.slow

SEARCH = settings(
    max_examples=5000,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    report_multiple_bugs=False,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)


def of(books):
    """Return a mutant whose collections keep their books as `books` does."""

    def init(self, *args):
        Round.__init__(self, *args)
        for c in self._collections:
            c.__class__ = books

    return type(books.__name__, (Round,), {"__init__": init})


class OrderOfArrival(Round):
    """Admits members as they become whole."""

    def _decide(self, c, overdue):
        waiting = [m for m in c.held if c.whole(m) and m not in c.admitted and m not in c.lost]
        ready = [m for m in c.members if m in c.lost or m in waiting or m in c.admitted]
        c.admitted += waiting
        if len(ready) == len(c.members):
            c.cursor = len(c.members)
        elif overdue:
            super()._decide(c, overdue)
            c.admitted = list(dict.fromkeys(c.admitted))


class NoDeduplication(Round):
    """Takes a second copy as a second contribution."""

    def _contribution(self, event):
        c = self._at.get(event.site)
        if c is not None and event.member in c.admitted and isinstance(event, Arrived):
            c.admitted.append(event.member)
            self._act(Accept(event.member, event.site, event.digest))
        else:
            super()._contribution(event)


class AnyPayload(Round):
    """Acknowledges another payload under the same key."""

    def _contribution(self, event):
        c = self._at.get(event.site)
        held = c and c.held.get(event.member, {}).get(event.site)
        super()._contribution(replace(event, digest=held.digest) if held else event)


class LostInTheRecord(Collection):
    """Records lost members among the contributors."""

    __slots__ = ()

    def contributors(self):
        return self.members


class LostInTheQuorum(Round):
    """Counts lost members towards the quorum."""

    def _settle(self):
        quorums = [c.quorum for c in self._collections]
        for c in self._collections:
            c.quorum = 0
        super()._settle()
        for c, q in zip(self._collections, quorums, strict=True):
            c.quorum = q


class FailsAtTheDeadline(Round):
    """Notices a lost quorum only when everybody is decided."""

    def _settle(self):
        quorums = [c.quorum for c in self._collections]
        for c in self._collections:
            c.quorum = c.quorum if c.frozen else 0
        super()._settle()
        for c, q in zip(self._collections, quorums, strict=True):
            c.quorum = q


class WallClock(Round):
    """Reads a clock that somebody sets back, in place of the monotonic time it is given."""

    def step(self, event, now):
        self.shift = getattr(self, "shift", itertools.chain([0.0, 0.0], itertools.repeat(3600.0)))
        return super().step(event, now - next(self.shift))


class LateTick(Round):
    """Applies deadlines on a tick alone, so that what is overdue is still taken before it."""

    def _expire(self, now):
        if getattr(self, "ticking", True):
            super()._expire(now)

    def step(self, event, now):
        self.ticking = not isinstance(event, Arrived | Offered)
        return super().step(event, now)


class OldEpochs(Round):
    """Takes contributions of an older epoch."""

    def _stranger(self, event):
        refused = super()._stranger(event)
        return None if refused and refused[0] == "STALE_EPOCH" else refused


class OldAttempts(Round):
    """Takes contributions of another attempt."""

    def _stranger(self, event):
        return super()._stranger(replace(event, attempt=self.attempt))


class OldReports(Round):
    """Believes the end of a connection that another has replaced."""

    def _old(self, event):
        return False


class ForgetsWholeOnes(Round):
    """Drops whole contributions, too, when a member comes back."""

    def _joined(self, event):
        epoch = self.epoch(event.member)
        super()._joined(event)
        if event.epoch > epoch:
            for c in self._of(event.member):
                if not c.decided(event.member):
                    for site in c.held.pop(event.member, ()):
                        self._act(Discard(event.member, site, "came back"))


class BackAtALaterSite(Round):
    """Lets a member that was lost at one site into the next."""

    def _lose(self, member, start, loss):
        later = self._collections[start + 1 :]
        self._collections = self._collections[: start + 1]
        super()._lose(member, start, loss)
        self._collections += later


class GoneIsGone(Round):
    """Throws out what was whole before its member went."""

    def _gone(self, event):
        super()._gone(event)
        if event.member in self._down and not self.over:
            for c in self._of(event.member):
                if not c.decided(event.member) and c.whole(event.member):
                    c.lost[event.member] = collection.Loss("gone", final=True)
                    for site in c.held.pop(event.member):
                        self._act(Discard(event.member, site, "gone"))


class WaitsForTheLost(Round):
    """Does not see that a cut upload is a loss."""

    def _cut(self, event):
        pass


class Leaks(Round):
    """Never lets go of what it will not fold."""

    def _act(self, action):
        if not isinstance(action, Discard):
            super()._act(action)


class TwoFoldsAtOnce(Round):
    """Asks for the next fold without waiting for the last."""

    def _act(self, action):
        super()._act(action)
        if isinstance(action, Fold):
            c = self._at[action.site]
            f = c.folds[action.site]
            if f.done + 1 < len(c.admitted):
                super()._act(Fold(c.admitted[f.done + 1], action.site))


class Halves(Collection):
    """Takes a member of two sites as whole when one contribution is here."""

    __slots__ = ()

    def whole(self, member):
        return bool(self.held.get(member))


class ClosesEarly(Round):
    """Closes as soon as the quorum is in."""

    def _decide(self, c, overdue):
        super()._decide(c, overdue or 0 < c.quorum <= len(c.admitted))


# -- cohorts


class NobodyToSpare(Collection):
    """Takes all that are whole, however many were to count."""

    __slots__ = ()

    def to_spare(self):
        return ()


class FirstInMemberOrder(Collection):
    """Sends away the last in member order, not the last to be whole."""

    __slots__ = ()

    def to_spare(self):
        away = super().to_spare()
        whole = [m for m in self.members if self.whole(m)][: self.enough]
        return tuple(m for m in self.members[self.cursor :] if m not in whole) if away else ()


class SentAwayTooSoon(Collection):
    """Does with one fewer than are enough."""

    __slots__ = ()

    def to_spare(self):
        if self.enough is None or self.frozen or len(self._whole) < self.enough - 1:
            return ()
        first = list(self._whole)[: self.enough]
        return tuple(m for m in self.members[self.cursor :] if m not in first)


class SpareInTheNext(Round):
    """Lets those whom others came before into the next phase."""

    def _lose(self, member, start, loss):
        if loss.reason == ENOUGH:
            self._collections[start].lost[member] = loss
            self._drop_partial(self._collections[start], member, loss.reason)
        else:
            super()._lose(member, start, loss)


# -- loops


class BackInTheNextTurn(Round):
    """Waits in each turn for members that were lost in the one before."""

    def _turn(self, site):
        out, self._out = self._out, {}
        c = super()._turn(site)
        self._out = out
        return c


class FailedInThisTurnAlone(Round):
    """Forgets who said that it would not contribute, where it has nothing under way."""

    def _out_from(self, member, order, loss):
        if any(c.order == order and member in c.position and not c.decided(member) for c in self._collections):
            super()._out_from(member, order, loss)


class UpInTheNextTurn(Round):
    """Takes members without a connection for present when a turn begins."""

    def _turn(self, site):
        down, self._down = self._down, {}
        c = super()._turn(site)
        self._down = down
        return c


class TurnsThatAreOver(Round):
    """Takes contributions to turns that the slice has gone past."""

    def _past(self, site):
        return self.plan.order(site) is None


class WaitsForATurnNeverTaken(Round):
    """Holds later sites up for a turn that children alone have come to."""

    def _forget(self, over, why):
        super()._forget([c for c in over if c.reached], why)


class KeepsWhatALoopLeaves(Round):
    """Keeps what came for turns that are not taken."""

    def _left(self, event):
        self._loops.discard(event.loop)


class RemembersEveryTurn(Round):
    """Takes the repetition of a contribution to a past turn for one of this."""

    def _forget(self, over, why):
        super()._forget([c for c in over if not c.reached], why)


class AnyNumberAhead(Round):
    """Opens as many turns for one member as it likes."""

    def _no_turn(self, event):
        self.most_ahead = 99
        return super()._no_turn(event)


class AheadTogether(Round):
    """Counts the turns that others have opened, so that one can shut out another."""

    def _no_turn(self, event):
        opened = self._opened
        if len(opened) >= self.most_ahead and event.site not in self._at and not self._past(event.site):
            return "TOO_FAR", "others are ahead"
        return super()._no_turn(event)


class ClosedBetweenTurns(Round):
    """Is over as soon as every turn so far is."""

    def _settle(self):
        loops, self._loops = self._loops, set()
        super()._settle()
        self._loops = loops


class LaterTurnsFirst(Round):
    """Keeps turns in the order in which they came to be."""

    def _turn(self, site):
        c = super()._turn(site)
        self._collections.remove(c)
        self._collections.append(c)
        return c


class OneSetForAllTurns(Round):
    """Counts what was whole in one turn as whole in the next."""

    def _turn(self, site):
        c = super()._turn(site)
        for other in self._collections:
            if other is not c and len(other.order) == len(c.order) and other.order[-1] == c.order[-1]:
                for member, held in other.held.items():
                    if member not in c.lost and other.whole(member):
                        c.held[member] = dict(zip(c.folds, held.values(), strict=True))
        return c


IN_LOOPS = [
    BackInTheNextTurn,
    FailedInThisTurnAlone,
    UpInTheNextTurn,
    TurnsThatAreOver,
    WaitsForATurnNeverTaken,
    KeepsWhatALoopLeaves,
    RemembersEveryTurn,
    AnyNumberAhead,
    AheadTogether,
    ClosedBetweenTurns,
    LaterTurnsFirst,
    OneSetForAllTurns,
]

MUTANTS = [
    OrderOfArrival,
    NoDeduplication,
    AnyPayload,
    of(LostInTheRecord),
    LostInTheQuorum,
    FailsAtTheDeadline,
    WallClock,
    LateTick,
    OldEpochs,
    OldAttempts,
    OldReports,
    ForgetsWholeOnes,
    BackAtALaterSite,
    GoneIsGone,
    WaitsForTheLost,
    Leaks,
    TwoFoldsAtOnce,
    of(Halves),
    ClosesEarly,
]

IN_COHORTS = [
    of(NobodyToSpare),
    of(FirstInMemberOrder),
    of(SentAwayTooSoon),
    SpareInTheNext,
]


@pytest.mark.parametrize("mutant", MUTANTS + IN_LOOPS + IN_COHORTS, ids=lambda m: m.__name__)
def test_each_mutant_is_caught(mutant):
    """A round that breaks one rule fails the random histories that the true one passes."""
    layouts = LOOPS if mutant in IN_LOOPS else LAYOUTS
    base = RoundMachine
    if mutant in IN_COHORTS:
        base, layouts = CohortMachine, {"two phases": LAYOUTS["two phases"]}
    machine = type("Machine", (base,), {"make": mutant, "layouts": layouts})
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=SEARCH)
