"""A round, fault by fault: each row of the table of faults that concerns one."""

import ast
import inspect

import pytest

from tierfed.errors import LeafError, RoundFailed, TierfedError
from tierfed.node import collection, round, round_events, summary
from tierfed.node.round import Round
from tierfed.node.round_events import (
    Accept,
    Arrived,
    Begun,
    Broken,
    Cancelled,
    Close,
    Collect,
    Committed,
    Discard,
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
)
from tierfed.node.summary import Summary

UP, NEXT = Site(2, 0), Site(4, 0)
ONE = Summary({"CLIENTS": 1})


class Edge:
    """An edge over clients a, b, …; folds are done as soon as they are asked for, unless `slow`."""

    def __init__(self, names="abc", quorum=None, sites=(UP,), slow=False, deadline=10.0, begin=True):
        self.slow, self.now, self.actions = slow, 0.0, []
        self.round = Round(
            "edge-1",
            "i-7",
            1,
            [Collect(s, "CLIENTS") for s in sites],
            {"CLIENTS": tuple(names)},
            {"CLIENTS": len(names) if quorum is None else quorum},
            dict.fromkeys(names, 1),
        )
        if begin:
            self(Begun(deadline))
            self(Reached(sites[0]))

    def __call__(self, event, at=None):
        """Return what the event and the folds that it sets off lead to."""
        self.now = self.now if at is None else at
        todo = [event]
        seen = []
        while todo:
            actions = self.round.step(todo.pop(0), self.now)
            seen += actions
            if not self.slow:
                todo += [Folded(a.member, a.site) for a in actions if isinstance(a, Fold)]
        self.actions += seen
        return seen

    def whole(self, member, site=UP, digest=None, epoch=1, at=None):
        """Return what the arrival of the member's contribution leads to."""
        return self(Arrived(member, site, 1, epoch, digest or f"digest of {member}", ONE), at)

    def folds(self, site=UP):
        """Return who was folded, in order."""
        return "".join(a.member for a in self.actions if isinstance(a, Fold) and a.site == site)


def only(actions, kind):
    """Return the one action of `kind`."""
    (found,) = [a for a in actions if isinstance(a, kind)]
    return found


def refusal(actions):
    """Return why and with which words a contribution was refused."""
    reject = only(actions, Reject)
    return reject.why, reject.detail


def test_all_contribute():
    """Contributions that come in any order are folded in member order, each when its turn has come."""
    edge = Edge()
    assert edge.whole("c") == [Accept("c", UP, "digest of c")]
    assert edge.whole("a") == [Accept("a", UP, "digest of a"), Fold("a", UP)]
    assert edge.whole("b")[1:] == [
        Fold("b", UP),
        SetDeadline(None),
        Fold("c", UP),
        Close(UP, ("a", "b", "c"), {}, Summary({"CLIENTS": 3})),
    ]
    assert edge.folds() == "abc"
    assert edge(Committed()) == [Forget()]


def test_one_fold_at_a_time():
    """The next fold is asked for when the last is done, and the site closes after the last of them."""
    edge = Edge(slow=True)
    for m in "cba":
        edge.whole(m)
    assert edge.folds() == "a"
    assert edge(Folded("a", UP)) == [Fold("b", UP)]
    assert edge(Folded("b", UP)) == [Fold("c", UP)]
    assert only(edge(Folded("c", UP)), Close).contributors == ("a", "b", "c")


@pytest.mark.parametrize("end", [Broken("b", UP, "cut after 3 of 8 chunks"), Gone("b", "killed")], ids=["cut", "gone"])
def test_dies_in_the_middle_of_its_upload(end):
    """A client that dies while it sends is not counted, and nobody waits for it."""
    edge = Edge(quorum=2)
    edge(Offered("b", UP, 1, 1))
    edge.whole("a")
    edge(end)
    close = only(edge.whole("c"), Close)
    assert close.contributors == ("a", "c")
    assert close.lost == {"b": end.reason}
    assert edge.folds() == "ac"


def test_dies_after_its_upload():
    """What was accepted counts, even if its sender is dead when its turn comes."""
    edge = Edge()
    edge.whole("c")
    edge(Gone("c", "killed"))
    edge.whole("a")
    assert only(edge.whole("b"), Close).contributors == ("a", "b", "c")


def test_dies_before_the_round():
    """A child known to be dead at the beginning is lost at once: the others close without it."""
    edge = Edge("abc", quorum=2, begin=False)
    edge(Begun(10.0, {"a": "killed in invocation i-6"}))
    edge(Reached(UP))
    edge.whole("b")
    close = only(edge.whole("c"), Close)
    assert (close.contributors, close.lost) == (("b", "c"), {"a": "killed in invocation i-6"})


def test_straggler():
    """A straggler is left out at the deadline, and told ROUND_CLOSED when it comes."""
    edge = Edge("abcd", quorum=2)
    edge.whole("d", at=1.0)
    edge.whole("b", at=2.0)
    edge(Offered("c", UP, 1, 1), at=9.0)
    assert edge.folds() == ""  # a may still come
    actions = edge(Tick(), at=10.0)
    assert only(actions, Discard) == Discard("c", UP, "deadline, in the middle of its upload")
    close = only(actions, Close)
    assert close.contributors == ("b", "d")
    assert close.lost == {"a": "deadline", "c": "deadline, in the middle of its upload"}
    assert edge.folds() == "bd"
    assert refusal(edge.whole("a")) == ("ROUND_CLOSED", "a is lost to invocation i-7: deadline")


def test_overdue_without_a_tick():
    """What comes after the deadline is not taken, even if its tick has not come yet."""
    edge = Edge("ab", quorum=1)
    edge.whole("b", at=1.0)
    actions = edge.whole("a", at=10.0)
    assert refusal(actions)[0] == "ROUND_CLOSED"
    assert only(actions, Close).contributors == ("b",)


def test_a_silent_first_member_delays_no_upload():
    """While the first is silent the others are accepted, and folded at the deadline."""
    edge = Edge("abc", quorum=1)
    assert [type(x) for x in edge.whole("b") + edge.whole("c")] == [Accept, Accept]
    assert edge.round.awaited(UP) == "a"
    edge(Tick(), at=10.0)
    assert edge.folds() == "bc"


def test_sent_again():
    """A contribution sent again is acknowledged again and counted once, also after the close."""
    edge = Edge("ab")
    edge.whole("a")
    assert edge.whole("a") == [Accept("a", UP, "digest of a", again=True)]
    assert edge(Offered("a", UP, 1, 1, "digest of a")) == [Accept("a", UP, "digest of a", again=True)]
    edge.whole("b")
    edge(Committed())
    assert edge.whole("a") == [Accept("a", UP, "digest of a", again=True)]
    assert edge.folds() == "ab"


def test_sent_again_with_another_payload():
    """Another payload under the same key is a CONFLICT that names both, and the first one counts."""
    edge = Edge("ab")
    edge.whole("a", digest="1f")
    assert refusal(edge.whole("a", digest="2e")) == (
        "CONFLICT",
        "edge-1 holds 1f of a at 2.0, and was sent 2e",
    )
    assert only(edge.whole("b"), Close).contributors == ("a", "b")
    assert edge.folds() == "ab"


def test_corrupt():
    """A corrupt upload loses its sender only; sent again before its turn, it counts."""
    edge = Edge("abcd", quorum=2)
    edge(Broken("c", UP, "checksum of chunk 2 is 1, not 2"))
    edge(Broken("d", UP, "checksum of chunk 0 is 3, not 4"))
    edge.whole("c")
    edge.whole("b")
    close = only(edge.whole("a"), Close)
    assert (close.contributors, close.lost) == (("a", "b", "c"), {"d": "checksum of chunk 0 is 3, not 4"})


@pytest.mark.parametrize(
    ("sent", "why", "words"),
    [
        (Arrived("x", UP, 1, 1, "d"), "NOT_A_CHILD", "x is no child of edge-1"),
        (Arrived("a", Site(9, 9), 1, 1, "d"), "UNKNOWN_SITE", "site 9.9; edge-1 collects 2.0"),
        (Arrived("a", UP, 0, 1, "d"), "STALE_ATTEMPT", "attempt 0; invocation i-7 is at 1"),
        (Arrived("a", UP, 2, 1, "d"), "STALE_ATTEMPT", "attempt 2; invocation i-7 is at 1"),
        (Arrived("a", UP, 1, 0, "d"), "STALE_EPOCH", "epoch 0; a is at 1"),
        (Offered("a", UP, 1, 0), "STALE_EPOCH", "epoch 0; a is at 1"),
    ],
)
def test_what_does_not_belong(sent, why, words):
    """What is of no child, site, attempt or epoch of this round is refused with the reason, and changes nothing."""
    edge = Edge("ab")
    assert refusal(edge(sent)) == (why, words)
    edge.whole("a")
    assert only(edge.whole("b"), Close).contributors == ("a", "b")


def test_another_placement():
    """A child of another placement has no business at a site."""
    r = Round("server", "i", 1, [Collect(UP, "EDGES")], {"EDGES": ["e"], "PHONES": ["p"]}, {"EDGES": 1})
    r.step(Begun(9.0), 0.0)
    assert refusal(r.step(Arrived("p", UP, 1, 1, "d"), 0.0)) == (
        "NOT_A_CHILD",
        "p is of PHONES; site 2.0 collects EDGES",
    )


def test_partition_and_heal():
    """After a partition what the old connection still delivers is stale; what was whole stays, and counts once."""
    edge = Edge("abc")
    edge.whole("b", digest="whole before")
    edge(Offered("c", UP, 1, 1))
    assert edge(Joined("b", 2)) == []
    assert edge(Joined("c", 2)) == [Discard("c", UP, "c came back under epoch 2")]
    assert edge(Gone("c", "reset by peer", epoch=1)) == []  # the end of the old connection, seen late
    assert refusal(edge.whole("c", epoch=1))[0] == "STALE_EPOCH"
    assert edge.whole("b", epoch=2, digest="whole before")[0].again
    edge.whole("c", epoch=2)
    assert only(edge.whole("a"), Close).contributors == ("a", "b", "c")


def test_back_before_its_turn():
    """A child that is gone may come back under a higher epoch as long as its turn has not come."""
    edge = Edge("abc", quorum=2)
    edge(Gone("c", "connection lost"))
    assert refusal(edge.whole("c")) == ("STALE_EPOCH", "the connection of epoch 1 is gone: connection lost")
    edge(Joined("c", 2))
    edge.whole("c", epoch=2)
    edge.whole("a")
    assert only(edge.whole("b"), Close).contributors == ("a", "b", "c")


def test_back_after_its_turn():
    """Once the fold has gone past a child that was gone it is out, and told so."""
    edge = Edge("abc", quorum=2)
    edge(Gone("a", "connection lost"))
    edge(Joined("a", 2))
    assert refusal(edge.whole("a", epoch=2)) == ("ROUND_CLOSED", "a is lost to invocation i-7: connection lost")


@pytest.mark.parametrize("epoch", [0, 1])
def test_back_under_an_old_epoch(epoch):
    """A connection that does not raise the epoch cannot be told from the one that is gone."""
    edge = Edge("ab", quorum=1)
    edge(Gone("b", "connection lost"))
    assert refusal(edge(Joined("b", epoch))) == ("STALE_EPOCH", f"epoch {epoch}; b was at 1")


def test_a_leaf_raises():
    """With a quorum of everybody one leaf that raises fails the round at once, and the error shows its traceback."""
    edge = Edge("abc")
    edge.whole("a")
    edge.whole("c")
    error = LeafError("ValueError: bad", where="step", node="b", remote_traceback="Traceback …").to_dict()
    actions = edge(Failed("b", None, "leaf raised", error), at=1.0)
    failed = only(actions, Fail).error
    assert str(failed) == (
        "edge-1, site 2.0 of invocation i-7: 2 of 3 CLIENTS left, quorum is 3; "
        "the first lost is b: leaf raised (ValueError: bad)\n"
        "  to mend: see `tierfed logs b`, or lower collect.quorum at the parent of CLIENTS"
    )
    assert (failed.node, failed.remote_traceback) == ("b", "Traceback …")
    assert [a.member for a in actions if isinstance(a, Discard)] == ["c"]
    assert SetDeadline(None) in actions
    assert refusal(edge.whole("a"))[0] == "ROUND_CLOSED"


def test_a_subtree_fails():
    """The error of a subtree below quorum keeps the name and the traceback of the client that began it."""
    below = RoundFailed("0 of 1 CLIENTS left", node="c-9", remote_traceback="Traceback of c-9").to_dict()
    edge = Edge("ab")
    error = only(edge(Failed("a", None, "below quorum", below)), Fail).error
    assert (error.node, error.remote_traceback) == ("c-9", "Traceback of c-9")
    assert "the first lost is a: below quorum (0 of 1 CLIENTS left)" in error.what
    assert "tierfed logs c-9" in error.mend


def test_the_first_lost_is_named():
    """Below quorum the error names the first one lost, in time, not in member order."""
    edge = Edge("abcd", quorum=3)
    edge(Gone("d", "killed by signal 9"))
    error = only(edge(Failed("a", None, "leaf raised")), Fail).error
    assert error.node == "d"
    assert "2 of 4 CLIENTS left, quorum is 3; the first lost is d: killed by signal 9" in error.what


def test_below_quorum_at_the_deadline():
    """Too few at the deadline: the round fails, naming the first member that was missing."""
    edge = Edge("abc", quorum=2)
    edge.whole("c")
    actions = edge(Tick(), at=10.0)
    assert only(actions, Fail).error.node == "a"
    assert "1 of 3 CLIENTS left, quorum is 2; the first lost is a: deadline" in only(actions, Fail).error.what
    assert edge.folds() == ""


@pytest.mark.parametrize(
    ("lost", "quorum", "fails"), [(0, 3, False), (1, 3, True), (1, 2, False), (2, 2, True), (3, 0, False)]
)
def test_quorum(lost, quorum, fails):
    """A round fails as soon as fewer are left than the quorum, and not before; at zero it closes empty."""
    edge = Edge("abc", quorum=quorum)
    for i, m in enumerate("abc"):
        if i < lost:
            actions = edge(Gone(m, "killed"))
            assert any(isinstance(a, Fail) for a in actions) == (3 - i - 1 == quorum - 1)
        else:
            edge.whole(m)
    assert edge.round.state == ("failed" if fails else "closed")


def test_no_children():
    """A site without children closes at once, empty; its parent counts it as present."""
    edge = Edge("", begin=False)
    assert edge(Begun(10.0)) == [Close(UP, (), {}, Summary())]
    assert edge(Reached(UP)) == []
    server = Round("server", "i", 1, [Collect(UP, "EDGES")], {"EDGES": ["e"]}, {"EDGES": 1})
    server.step(Begun(9.0), 0.0)
    server.step(Reached(UP), 0.0)
    server.step(Arrived("e", UP, 1, 1, "d", edge.round.closed[UP].summary.and_self("EDGES")), 0.0)
    close = only(server.step(Folded("e", UP), 0.0), Close)
    assert close.summary == Summary({"EDGES": 1})


def test_contributors_add_up_over_tiers():
    """A summary counts the members of each tier and names who was lost below."""
    edge = Edge("abc", quorum=2)
    edge(Gone("b", "killed"))
    edge.whole("a")
    edge.whole("c")
    says = edge.round.closed[UP].summary.and_self("EDGES")
    assert says == Summary({"CLIENTS": 2, "EDGES": 1}, {"b": "killed"})
    server = Round("server", "i", 1, [Collect(UP, "EDGES")], {"EDGES": ["e1", "e2"]}, {"EDGES": 2})
    for event in (Begun(9.0), Reached(UP)):
        server.step(event, 0.0)
    for e in ("e1", "e2"):
        server.step(Arrived(e, UP, 1, 1, e, says), 0.0)
    server.step(Folded("e1", UP), 0.0)
    close = only(server.step(Folded("e2", UP), 0.0), Close)
    assert close.summary == Summary({"CLIENTS": 4, "EDGES": 2}, {"b": "killed"})


def test_early_contributions_wait():
    """What comes before the node has reached its site, or even begun, is accepted and folded when it has."""
    edge = Edge("a", begin=False)
    assert edge.whole("a") == [Accept("a", UP, "digest of a")]
    assert edge(Begun(10.0)) == [SetDeadline(10.0)]
    assert edge(Reached(UP))[0] == Fold("a", UP)


def test_lost_at_one_site_is_out_of_the_later_ones():
    """A member lost in one phase stays out, with all that it has sent ahead."""
    edge = Edge("abc", quorum=2, sites=(UP, NEXT))
    edge.whole("b", NEXT)  # of an upload that overtook the one before it
    edge(Broken("b", UP, "cut"))
    edge.whole("a")
    assert edge.round.awaited(UP) == "c"
    edge.whole("c")
    assert Discard("b", NEXT, "cut") in edge.actions
    edge(Reached(NEXT))
    assert refusal(edge.whole("b", NEXT))[0] == "ROUND_CLOSED"
    edge.whole("a", NEXT)
    close = only(edge.whole("c", NEXT), Close)
    assert (close.contributors, close.lost) == (("a", "c"), {"b": "cut"})


def test_lost_at_a_later_site_stays_in_the_earlier():
    """A leaf that raises in the second phase takes nothing back from the first."""
    edge = Edge("ab", quorum=1, sites=(UP, NEXT))
    edge.whole("b")
    edge(Failed("b", NEXT, "leaf raised"))
    assert only(edge.whole("a"), Close).contributors == ("a", "b")
    edge(Reached(NEXT))
    close = only(edge.whole("a", NEXT), Close)
    assert (close.contributors, close.lost) == (("a",), {"b": "leaf raised"})


def test_one_phase_has_one_set():
    """Sites of one phase share their contributors: whole at one of them only is not in."""
    other = Site(2, 1)
    edge = Edge("abc", quorum=1, sites=(UP, other))
    for m in "abc":
        edge.whole(m)
    edge.whole("a", other)
    edge(Gone("b", "killed"))
    edge.whole("c", other)
    assert edge.round.closed[UP].contributors == ("a", "c")
    assert Discard("b", UP, "killed") in edge.actions
    edge(Reached(other))
    assert edge.round.closed[other].contributors == ("a", "c")
    assert edge.folds(other) == "ac"


def test_each_phase_may_have_its_deadline():
    """A straggler of the first phase costs its deadline, and leaves the second phase its own."""
    edge = Edge("ab", quorum=1, sites=(UP, NEXT), begin=False, deadline=None)
    assert edge(Begun(100.0)) == [SetDeadline(100.0)]
    assert edge(Reached(UP, deadline=10.0)) == [SetDeadline(10.0)]
    edge.whole("a")
    assert only(edge(Tick(), at=10.0), Close).contributors == ("a",)
    assert edge(Reached(NEXT, deadline=20.0)) == [SetDeadline(20.0)]
    assert only(edge.whole("a", NEXT, at=15.0), Close).contributors == ("a",)
    assert edge.round.state == "closed"


def test_cancelled():
    """A cancelled invocation fails its open sites, lets go of everything and takes nothing more."""
    edge = Edge("abc", slow=True)
    edge.whole("a")
    edge.whole("b")
    edge(Offered("c", UP, 1, 1))
    actions = edge(Cancelled("server is gone"))
    error = only(actions, Fail).error
    assert error.what == "invocation i-7 was cancelled: server is gone"
    assert [a.member for a in actions if isinstance(a, Discard)] == ["b", "c"]  # a is being folded
    assert [a for a in actions if not isinstance(a, Fail | Discard)] == [Forget(), SetDeadline(None)]
    assert edge(Folded("a", UP)) == []
    assert refusal(edge.whole("c")) == ("ROUND_CLOSED", "invocation i-7 was cancelled: server is gone")


def test_a_failed_round_ends_with_its_invocation():
    """A round that failed is kept, to answer late contributions, until its invocation is over."""
    edge = Edge("ab")
    edge(Gone("a", "killed"))
    assert edge.round.state == "failed"
    assert edge(Cancelled("the round failed")) == [Forget()]


def test_committed_without_this_subtree():
    """A commit that finds the round open or failed is not the commit of what was accepted here."""
    for lost in ("killed", None):
        edge = Edge("ab")
        edge.whole("a")
        if lost:
            edge(Gone("b", lost))
        actions = edge(Committed())
        assert actions[-1 if lost else -2] == Forget()
        assert edge.round.state == "cancelled"
        assert refusal(edge.whole("a"))[0] == "ROUND_CLOSED"


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Begun(9.0), "edge-1, invocation i-7: begun twice"),
        (Reached(Site(9, 9)), "edge-1, invocation i-7: reached 9.9, a site it does not collect"),
        (Reached(NEXT), "edge-1, invocation i-7: reached 4.0 while an earlier phase is open"),
        (Folded("a", UP), "edge-1, invocation i-7: a was folded at 2.0 unasked"),
    ],
)
def test_misuse(event, words):
    """A daemon that does not keep to the protocol hears of it."""
    with pytest.raises(TierfedError) as caught:
        Edge("ab", sites=(UP, NEXT))(event)
    assert str(caught.value).startswith(words)
    assert "to mend:" in str(caught.value)


@pytest.mark.parametrize(("quorum", "words"), [({"CLIENTS": 3}, "a quorum of 3"), ({}, "a quorum of nothing")])
def test_impossible_quorum(quorum, words):
    """A quorum that cannot be met, or was not given, is refused before the round."""
    with pytest.raises(TierfedError, match=f"site 2.0: {words} over 2 CLIENTS"):
        Round("edge-1", "i-7", 1, [Collect(UP, "CLIENTS")], {"CLIENTS": ["a", "b"]}, quorum)


@pytest.mark.parametrize("module", [round, round_events, collection, summary])
def test_no_clock_no_chance_no_io(module):
    """The state machine imports nothing through which time, randomness or a socket could come in."""
    tree = ast.parse(inspect.getsource(module))
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    allowed = {
        "__future__",
        "bisect",
        "math",
        "collections.abc",
        "dataclasses",
        "itertools",
        "typing",
        "tierfed.errors",
    }
    allowed.add("tierfed.compiler.slices")  # for what a site is
    assert names <= allowed | {f"tierfed.node.{m}" for m in ("round_events", "collection", "summary")}


def test_only_differences_of_time_matter():
    """The same history on a clock that is a year ahead gives the same actions."""

    def play(zero):
        r = Round("e", "i", 1, [Collect(UP, "CLIENTS")], {"CLIENTS": "ab"}, {"CLIENTS": 1}, {"a": 1, "b": 1})
        history = [(Begun(zero + 5.0), 0.0), (Reached(UP), 0.0), (Arrived("b", UP, 1, 1, "d"), 1.0), (Tick(), 5.0)]
        history += [(Folded("b", UP), 6.0), (Arrived("a", UP, 1, 1, "d"), 6.0)]
        return [a for e, t in history for a in r.step(e, zero + t) if not isinstance(a, SetDeadline)]

    assert play(0.0) == play(2.0**25)
    assert len(play(0.0)) == 4


def test_progress():
    """Progress tells how many of how many are in, how many are lost, and who is waited for."""
    edge = Edge("abcd", quorum=2)
    edge.whole("a")
    edge.whole("c")
    (p,) = edge.round.progress()
    assert p.awaited == (("b", False), ("d", False))
    edge(Offered("b", UP, 1, 1))
    (p,) = edge.round.progress()
    assert p.awaited == (("b", True), ("d", False))
    edge(Gone("d", "killed"))
    (p,) = edge.round.progress()
    assert (p.expected, p.quorum, p.whole, p.folded, p.lost, p.closed) == (4, 2, 2, 1, 1, False)
    assert p.awaited == (("b", True),)


LOOP = Site(1, 0)


class Looping(Edge):
    """An edge whose site is in a loop, which no turn of is reached yet."""

    def __init__(self, names="ab", quorum=1):
        super().__init__(names, quorum, begin=False)
        arguments = {"CLIENTS": tuple(names)}, {"CLIENTS": quorum}, dict.fromkeys(names, 1)
        self.round = Round("edge-1", "i-7", 1, [Collect(UP, "CLIENTS", (LOOP,))], *arguments)
        self(Begun(float("inf")))

    def closed(self, turn):
        """Return the close of a turn."""
        return next(a for a in self.actions if isinstance(a, Close) and a.site == UP.at((turn,)))


def test_turns_are_collected_apart():
    """A child that is ahead waits in the turns to come; one that is lost in a turn is out of those after it."""
    edge = Looping()
    for turn in range(4):
        edge.whole("a", UP.at((turn,)))
    assert edge.round.ahead("a") == 4 and edge.round.ahead("b") == 0
    edge(Reached(UP.at((0,))))
    edge.whole("b", UP.at((0,)))
    edge(Reached(UP.at((1,)), 5.0))
    edge(Tick(), at=5.0)
    edge(Reached(UP.at((2,)), 9.0))
    assert [edge.closed(turn).contributors for turn in range(3)] == [("a", "b"), ("a",), ("a",)]
    assert edge.closed(2).lost == {"b": "deadline"}
    (refused,) = edge.whole("b", UP.at((2,)))
    assert refused == Reject("b", UP.at((2,)), "ROUND_CLOSED", "b is lost to invocation i-7: deadline")
    (refused,) = edge.whole("a", UP.at((0,)))
    assert refused == Reject("a", UP.at((0,)), "ROUND_CLOSED", "site 2.0[0]: that turn is over")
    left, *_ = edge(Left(LOOP))
    assert left == Discard("a", UP.at((3,)), "loop 1.0 takes no more turns")
    assert edge.round.state == "closed" and not edge.round.collections()


def test_the_earliest_loss_counts():
    """Lost in a turn ahead, and then in this one, a member is not waited for in the one between."""
    edge = Looping()
    edge(Failed("a", UP.at((2,)), "corrupt"))  # nobody has come to that turn: it says nothing
    edge(Offered("a", UP.at((2,)), 1, 1))
    edge(Failed("a", UP.at((2,)), "corrupt"))
    edge(Reached(UP.at((0,)), 5.0))
    edge.whole("b", UP.at((0,)))
    edge(Tick(), at=5.0)
    edge.whole("b", UP.at((1,)))
    edge(Reached(UP.at((1,)), 9.0))
    assert edge.closed(1).contributors == ("b",) and edge.now == 5.0


def test_a_child_may_be_so_far_ahead():
    """It opens no more than so many turns; another one's are its own."""
    edge = Looping()
    edge.round.most_ahead = 2
    seen = [edge.whole("a", UP.at((turn,))) for turn in (7, 3, 5)]
    assert [type(actions[0]) for actions in seen] == [Accept, Accept, Reject]
    assert seen[2] == [Reject("a", UP.at((5,)), "TOO_FAR", "site 2.0[5]; edge-1 is 2 turns behind a")]
    assert [type(a) for a in edge.whole("b", UP.at((5,)))] == [Accept]
    (refused,) = edge.whole("a", UP.at((0, 0)))
    assert refused.why == "UNKNOWN_SITE"
    edge(Reached(UP.at((5,))))
    assert [a.site.turns for a in edge.actions if isinstance(a, Discard)] == [(3,)]


def test_sites_are_written_with_their_loops():
    """A site's text shows phase, index and the indices of the loops around it."""
    assert [str(Site(2, 0)), str(Site(2, 1, (3, 0)))] == ["2.0", "2.1[3,0]"]


def test_five_thousand_children():
    """5,000 children whose contributions come last one first are folded in member order."""
    names = [f"c-{i}" for i in range(5000)]
    edge = Edge(names, quorum=4000)
    for m in reversed(names):
        edge.whole(m)
    assert edge.round.closed[UP].contributors == tuple(names)
