"""Who is drawn: as many as are wanted, all alike or by weight, the same again for the same seed, node and number."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from tierfed.errors import ProtocolError, RoundFailed, TierfedError
from tierfed.node import round_events as ev
from tierfed.node.cohort import chosen, draws
from tierfed.node.round import Round
from tierfed.node.summary import Summary
from tierfed.topology import NodeAssignment, Topology, assignments, tree
from tierfed.topology.cohort import Cohort
from tierfed.topology.units import Percent

NAMES = ["a", "b", "c", "d", "e"]
WEIGHTS = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "e": 5.0}
DRAWS = 6000


def drawn(count: int, weights: dict[str, float], number: int) -> set[str]:
    """Who is drawn of `NAMES` in the invocation of that number."""
    return chosen(f"7/edge/{number}/CLIENTS/", NAMES, count, weights)


def topology(select: str | int = "50%", over: str | None = None, quorum: str = "100%", clients: int = 8) -> Topology:
    """A server over clients of whom some are drawn."""
    cohort = {"select": select} | ({"over": over} if over else {})
    return tree({"CLIENTS": clients}, cohort={"CLIENTS": cohort}, collect={"SERVER": {"quorum": quorum}}, seed=3)


def root(of: Topology) -> NodeAssignment:
    """What the server is told."""
    return assignments(of)[0]


def test_every_pair_is_as_likely_as_any_other() -> None:
    """Chi-square over the ten pairs of five: below the value that one honest draw in a thousand exceeds."""
    pairs = Counter(frozenset(drawn(2, {}, n)) for n in range(DRAWS))
    expected = DRAWS / 10
    assert len(pairs) == 10
    assert sum((count - expected) ** 2 / expected for count in pairs.values()) < 27.88  # 9 degrees of freedom


@pytest.mark.parametrize("count", [1, 2, 3])
def test_by_weight_the_probability_is_the_share(count: int) -> None:
    """Each is drawn as often as count times its part of the weights, within four deviations and the rank's error."""
    times = Counter(name for n in range(DRAWS) for name in drawn(count, WEIGHTS, n))
    for name, weight in WEIGHTS.items():
        share = min(1.0, count * weight / 15)
        allowed = 4 * (share * (1 - share) / DRAWS) ** 0.5 + 0.02
        assert abs(times[name] / DRAWS - share) <= allowed


def test_who_is_to_be_drawn_surely_is() -> None:
    """One child has more than its share of three: it is always in, and the others share what is left."""
    weights = {**dict.fromkeys(NAMES, 1.0), "c": 1000.0}
    groups = Counter(frozenset(drawn(2, weights, n)) for n in range(400))
    assert all("c" in group for group in groups) and len(groups) == 4


@pytest.mark.parametrize("weights", [{}, WEIGHTS])
def test_as_many_as_are_wanted(weights: dict[str, float]) -> None:
    """Any number up to all; and who is drawn among few is drawn among more, where all are alike."""
    for count, number in itertools.product(range(7), range(20)):
        assert len(drawn(count, weights, number)) == min(count, 5)
        if not weights:
            assert drawn(count, {}, number) <= drawn(count + 1, {}, number)


def test_one_child_less_changes_the_draw_by_one() -> None:
    """Who was drawn and is there still is drawn again: a retry asks those it asked."""
    me = root(topology())
    everybody = [c.name for c in me.children]
    for number in range(1, 30):
        first = draws(me, f"9f3a-{number}", everybody)["CLIENTS"].members
        assert draws(me, f"0c-{number}", everybody)["CLIENTS"].members == first, "another session, the same number"
        again = draws(me, f"9f3a-{number}", [n for n in everybody if n != first[0]])["CLIENTS"].members
        assert set(first[1:]) <= set(again) and first[0] not in again and len(again) == 4


def test_a_draw_is_pinned() -> None:
    """The draws of a seed are those of any machine and version: histories and papers rely on it."""
    me = root(topology())
    everybody = [c.name for c in me.children]
    found = [[int(n[-1]) for n in draws(me, f"s-{k}", everybody)["CLIENTS"].members] for k in (1, 2, 3)]
    assert found == PINNED
    assert sorted(drawn(2, WEIGHTS, 1)) == PINNED_BY_WEIGHT


PINNED = [[3, 4, 6, 7], [2, 3, 6, 7], [0, 4, 5, 6]]
PINNED_BY_WEIGHT = ["b", "e"]


def test_invocations_nodes_placements_and_seeds_draw_apart() -> None:
    """Each of the four changes the draw."""
    keys = ["3/e-0/1/CLIENTS/", "3/e-0/2/CLIENTS/", "3/e-1/1/CLIENTS/", "3/e-0/1/OTHERS/", "4/e-0/1/CLIENTS/"]
    names = [f"c-{i}" for i in range(40)]
    assert len({frozenset(chosen(key, names, 20, {})) for key in keys}) == 5


def test_only_who_is_there_is_drawn() -> None:
    """Of those connected; all of them if they are too few, and as many are to count as ever."""
    me = root(topology(quorum="50%"))
    there = [c.name for c in me.children][5:]
    draw = draws(me, "s-1", there)["CLIENTS"]
    assert draw.of == draw.members == tuple(there) and draw.enough == 4
    assert dict(me.quorum) == {"CLIENTS": 2}, "half of the four that are to count"


def test_below_the_quorum_the_absent_are_drawn_too() -> None:
    """So that the round fails, and says who was missing: up to the target, in member order."""
    me = root(topology())
    there = [c.name for c in me.children][6:]
    draw = draws(me, "s-1", there)["CLIENTS"]
    assert draw.of == tuple(there) and set(there) < set(draw.members) and len(draw.members) == 4
    assert list(draw.members) == sorted(draw.members)


def test_more_are_drawn_than_are_to_count() -> None:
    """130 % of the target, rounded up, and no more than there are."""
    for select, over, clients, target, number in (("50%", "130%", 8, 4, 6), (1, "100%", 8, 1, 1), (7, "200%", 8, 7, 8)):
        me = root(topology(select, over, clients=clients))
        draw = draws(me, "s-1", [c.name for c in me.children])["CLIENTS"]
        assert (draw.enough, draw.number, len(draw.members)) == (target, number, number)


def test_who_has_not_what_is_taken_is_not_drawn() -> None:
    """Those alone who have it; all of them with `everyone`; below the quorum an error says so."""
    me = root(topology())
    names = [c.name for c in me.children]
    assert draws(me, "s-1", names, names[:5])["CLIENTS"].of == tuple(names[:5])
    assert draws(me, "s-1", names, names[:5], everyone=True)["CLIENTS"].members == tuple(names[:5])
    assert draws(me, "s-1", names, everyone=True)["CLIENTS"].enough == 8
    with pytest.raises(RoundFailed) as error:
        draws(me, "s-1", names, names[:3])
    assert str(error.value) == (
        "server, invocation s-1: 3 of 8 CLIENTS have what the program takes, quorum is 4\n"
        "  to mend: give newcomers a value: handle.with_default(value)"
    )


def test_target_and_draw() -> None:
    """A share is rounded up, a number is at most all; nobody has a target of nobody."""
    share, number = Cohort(Percent.parse("10%"), Percent.parse_over("130%")), Cohort(5)
    assert [share.target(n) for n in (0, 1, 10, 11, 64)] == [0, 1, 1, 2, 7]
    assert [share.draw(n) for n in (0, 1, 10, 11, 64)] == [0, 1, 2, 3, 10]
    assert [number.target(n) for n in (0, 3, 9)] == [number.draw(n) for n in (0, 3, 9)] == [0, 3, 5]


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (5, "5 is no cohort"),
        ({"target": 5, "draw": 4, "weights": {}}, "4 drawn for 5 is no cohort"),
        ({"target": True, "draw": 4, "weights": {}}, "4 drawn for True is no cohort"),
        ({"target": 1, "draw": 4, "weights": {"c": 0.0}}, "{'c': 0.0} are no weights"),
        ({"target": 1, "draw": 4, "weights": {"c": float("nan")}}, "{'c': nan} are no weights"),
        ({"target": 1, "draw": 4, "weights": [1]}, "[1] are no weights"),
    ],
)
def test_a_plan_that_is_none_is_refused(plan: object, told: str) -> None:
    """What a node is told is checked field by field."""
    data = root(topology()).to_dict()
    assert NodeAssignment.from_dict(data) == root(topology())
    data["cohorts"]["CLIENTS"] = plan
    with pytest.raises(ProtocolError) as error:
        NodeAssignment.from_dict(data)
    assert error.value.what == told and error.value.where == "assignment.cohorts.CLIENTS"


SITE = ev.Site(2, 0)


def began(enough: int | None) -> Round:
    """A round over four clients at one site, of whom so many are to count; two are the quorum."""
    members = [f"c-{i}" for i in range(4)]
    epochs = dict.fromkeys(members, 0)
    more = None if enough is None else {"CLIENTS": enough}
    found = Round("edge", "i-1", 1, [ev.Collect(SITE, "CLIENTS")], {"CLIENTS": members}, {"CLIENTS": 2}, epochs, more)
    found.step(ev.Begun(10.0), 0.0)
    return found


def came(member: str) -> ev.Arrived:
    """A contribution, whole."""
    return ev.Arrived(member, SITE, 1, 0, f"of {member}", Summary({"CLIENTS": 1}))


def test_who_was_whole_first_counts_also_before_the_slice_came() -> None:
    """By arrival, not by place in the tree; what is whole and too much is let go, and folds are in member order."""
    found = began(2)
    for member in ("c-3", "c-1", "c-0"):
        assert found.step(came(member), 1.0) == [ev.Accept(member, SITE, f"of {member}")]
    actions = found.step(ev.Reached(SITE), 2.0)
    assert actions[:2] == [ev.Discard("c-0", SITE, ev.ENOUGH), ev.Fold("c-1", SITE)]
    assert found.step(ev.Folded("c-1", SITE), 2.0) == [ev.Fold("c-3", SITE)]
    [close] = found.step(ev.Folded("c-3", SITE), 2.0)
    assert isinstance(close, ev.Close) and close.contributors == ("c-1", "c-3")
    assert close.lost == {"c-0": ev.ENOUGH, "c-2": ev.ENOUGH}
    assert close.summary == Summary({"CLIENTS": 2}, drawn={"CLIENTS": 4}), "nobody is lost"
    [late] = found.step(came("c-2"), 3.0)
    assert isinstance(late, ev.Reject) and late.detail == f"c-2 is lost to invocation i-1: {ev.ENOUGH}"


def test_progress_is_of_those_who_are_to_count() -> None:
    """Four are awaited until enough are there, and then those."""
    found = began(2)
    found.step(ev.Reached(SITE), 0.0)
    assert [(p.expected, p.whole, p.lost) for p in found.progress()] == [(4, 0, 0)]
    for member in ("c-0", "c-1"):
        found.step(came(member), 1.0)
    assert [(p.expected, p.whole, p.lost) for p in found.progress()] == [(2, 2, 0)]


def test_the_deadline_takes_fewer_than_enough() -> None:
    """Those who are whole by then, if they are the quorum; the others are lost, and said to be."""
    found = began(3)
    found.step(ev.Reached(SITE), 0.0)
    for member in ("c-2", "c-0"):
        found.step(came(member), 1.0)
    found.step(ev.Tick(), 11.0)
    found.step(ev.Folded("c-0", SITE), 11.0)
    [close] = found.step(ev.Folded("c-2", SITE), 11.0)
    assert isinstance(close, ev.Close) and close.lost == {"c-1": "deadline", "c-3": "deadline"}
    assert dict(close.summary.lost) == dict(close.lost)


def test_enough_below_the_quorum_is_refused() -> None:
    """Nobody could tell whether such a round had failed."""
    with pytest.raises(TierfedError) as error:
        began(1)
    assert error.value.what == "1 CLIENTS are enough, and 2 the quorum"
