"""Messages: what travels together, and that nobody waits for ever.

The graph of messages has an edge from one to another if some node takes the first before it sends
the second; loops are unrolled.  A program without a cycle in it cannot hang, and members that
follow their slices, each at its own pace, come to their end: both are tested, and a compiler that
fuses greedily, whatever lies between two messages, fails both.
"""

from __future__ import annotations

import collections
import graphlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from programs import Case, cases
from served import in_memory

import tierfed
from tierfed.backends.native.driver import Driver
from tierfed.compiler import Compiled, compile
from tierfed.compiler.slices import Broadcast, Fold, Loop, Receive, Scatter, Send, Site, Slice, Step, incoming
from tierfed.node.traffic import Traffic
from tierfed.placements import CLIENTS, SERVER, Hierarchy, Member, Placement, Tree, placement

EDGE, PHONES = placement("EDGE_AGGREGATORS"), placement("CB_PHONES")
TWO = Hierarchy.chain(SERVER, CLIENTS)
THREE = Hierarchy.chain(SERVER, EDGE, CLIENTS)
FOUR = Hierarchy.chain(SERVER, "SG_COUNTRIES", EDGE, CLIENTS)
BRANCHED = Hierarchy({EDGE: SERVER, CLIENTS: EDGE, PHONES: EDGE})
FAN_OUT = {"SG_COUNTRIES": 2, "EDGE_AGGREGATORS": 2, "CLIENTS": 2, "CB_PHONES": 2}
X = "{float32}@CLIENTS"
TURNS = 2

Message = tuple[str, Site, Placement]
"""`up` or `down`, its site in its turns, the placement below."""
Slices = Mapping[Placement, Slice]


def traced(*types: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that gives the program of a function."""
    return lambda f: tierfed.federated_computation(*types)(f).node


# ---------------------------------------------------------------- the graph


def unrolled(steps: tuple[Step, ...], turns: tuple[int, ...] = ()) -> Iterator[Step]:
    """Yield the steps as a member takes them, with every loop taken twice; sites have their turns."""
    for step in steps:
        if isinstance(step, Loop):
            for turn in range(TURNS):
                yield from unrolled(step.steps, (*turns, turn))
        elif isinstance(step, Receive | Broadcast | Scatter | Fold | Send):
            yield replace(step, site=step.site.at(turns))


def ends(slice_: Slice, root: Placement) -> Iterator[tuple[str, Message]]:
    """Yield what a member takes and sends in order, without what goes to the driver and comes from it."""
    here = slice_.placement
    for step in unrolled(slice_.steps):
        match step:
            case Receive(site=site) if here != root:
                yield "takes", ("down", site, here)
            case Send(site=site) if here != root:
                yield "sends", ("up", site, here)
            case Broadcast(site=site, to=below) | Scatter(site=site, to=below):
                yield "sends", ("down", site, below)
            case Fold(site=site, source=below):
                yield "takes", ("up", site, below)


def graph(slices: Slices, root: Placement) -> dict[Message, set[Message]]:
    """Return, for each message, those that somebody has to have taken before it is sent."""
    needs: dict[Message, set[Message]] = {}
    for slice_ in slices.values():
        taken: set[Message] = set()
        for verb, message in ends(slice_, root):
            if verb == "sends":
                needs.setdefault(message, set()).update(taken)
            else:
                taken.add(message)
                needs.setdefault(message, set())
    return needs


def in_order(slices: Slices, root: Placement) -> list[Message]:
    """Return the messages in an order in which they can be sent; raises CycleError if there is none."""
    return list(graphlib.TopologicalSorter(graph(slices, root)).static_order())


@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(cases())
def test_messages_have_no_cycle(case: Case) -> None:
    """Whatever the program, loops and all: each message can be sent after those that it needs."""
    hierarchy = case.tree.hierarchy
    compiled = compile(case.program.computation(), hierarchy)
    order = in_order(compiled.slices, hierarchy.root)
    assert len(order) == len(set(order))
    assert {m for s in compiled.slices.values() for _, m in ends(s, hierarchy.root)} == set(order)


# ---------------------------------------------------------------- members at their own pace


class Stuck(AssertionError):
    """Every node that is not done waits."""


class Exchange:
    """Members that execute the sends and receives of their slices, over first-in first-out channels."""

    def __init__(self, slices: Slices, tree: Tree, rng: random.Random) -> None:
        self.tree = tree
        self.rng = rng
        self.left = {m.name: list(unrolled(slices[m.placement].steps)) for m in tree.root.walk()}
        self.channels: dict[tuple[str, str], collections.deque[Site]] = collections.defaultdict(collections.deque)

    def run(self) -> int:
        """Run to the end, in an order by lot; return the number of messages.  Raises Stuck."""
        sent = 0
        while waiting := [name for name, left in self.left.items() if left]:
            self.rng.shuffle(waiting)
            moved = False
            for name in waiting:
                while self.left[name] and (done := self.step(self.tree.member(name), self.left[name][0])) is not None:
                    self.left[name].pop(0)
                    sent += done
                    moved = True
            if not moved:
                raise Stuck({name: left[0] for name, left in self.left.items() if left})
        assert not any(self.channels.values()), "messages that nobody took"
        return sent

    def step(self, member: Member, step: Step) -> int | None:
        """Do one step: the number of messages sent, or None if it has to wait."""
        parent = self.tree.parent(member.name)
        match step:
            case Broadcast(site=site, to=to) | Scatter(site=site, to=to):
                below = [c for c in member.children if c.placement == to]
                for child in below:
                    self.channels[member.name, child.name].append(site)
                return len(below)
            case Send(site=site) if parent is not None:
                self.channels[member.name, parent.name].append(site)
                return 1
            case Receive(site=site) if parent is not None:
                return self.take(site, [(parent.name, member.name)])
            case Fold(site=site, source=source):
                return self.take(site, [(c.name, member.name) for c in member.children if c.placement == source])
        return 0

    def take(self, site: Site, ways: list[tuple[str, str]]) -> int | None:
        """Take the next message of every way, which has to be of `site`."""
        if not all(self.channels[way] for way in ways):
            return None
        for way in ways:
            assert self.channels[way].popleft() == site, f"another message than {site} on {way}"
        return 0


def random_program(rng: random.Random, hierarchy: Hierarchy) -> Any:
    """Return a program of ten operations by lot, over values at every tier and two without a placement."""

    def body(model: Any, x: Any, rate: Any, other: Any) -> Any:
        own = tierfed.federated_value(np.float32(1.5), CLIENTS)  # sent up while the arguments come down
        values: dict[Placement, list[Any]] = {SERVER: [model], CLIENTS: [x, own]}
        for _ in range(10):
            source = rng.choice(list(values))
            value = rng.choice(values[source])
            above = hierarchy.path_to_root(source)[1:]
            match rng.choice(["fold", "fold", "down", "map", "pair", "loop"]):
                case "fold" if above:
                    to = rng.choice(above)
                    fold = rng.choice([tierfed.federated_sum, tierfed.federated_mean, tierfed.federated_max])
                    values.setdefault(to, []).append(fold(value, to=to))
                case "down":
                    to = rng.choice(hierarchy.placements[1:])
                    down = tierfed.federated_broadcast(rng.choice(values[SERVER]), to=to)
                    values.setdefault(to, []).append(down)
                case "pair":
                    pair = tierfed.federated_zip((value, rng.choice(values[source])))
                    values[source].append(tierfed.federated_map(lambda p: p[0] + p[1], pair))
                case "loop" if source != CLIENTS and hierarchy.is_above(source, CLIENTS):
                    values[source].append(tierfed.federated_iterate(improved(source), value, 2, x, at=source))
                case _:
                    by = rng.choice([rate, other, rate * 2.0])
                    values[source].append(tierfed.federated_map(lambda v, by=by: v * by, value))
        return tuple(of[-1] for of in values.values())

    return traced("float32@SERVER", X, "float32", "float32")(body)


def improved(at: Placement) -> Callable[[Any, Any], Any]:
    """Return a turn of a loop: down to the clients and up again."""

    def once(m: Any, x: Any) -> Any:
        here = tierfed.federated_zip((tierfed.federated_broadcast(m), x))
        return m + tierfed.federated_mean(tierfed.federated_map(lambda p: p[1] - p[0], here), to=at)

    return once


@pytest.mark.parametrize("hierarchy", [TWO, THREE, FOUR, BRANCHED], ids=["two", "three", "four", "branched"])
def test_nobody_waits_for_ever(hierarchy: Hierarchy) -> None:
    """Members that follow their slices in any order all come to their end, and take every message there is."""
    tree = Tree.grown(hierarchy, FAN_OUT)
    sent = loops = 0
    for seed in range(25):
        rng = random.Random(seed)
        slices = compile(random_program(rng, hierarchy), hierarchy).slices
        sent += Exchange(slices, tree, rng).run()
        loops += sum(isinstance(step, Loop) for step in slices[CLIENTS].walk())
    assert sent > 25 * len(tree) and loops > 5


# ---------------------------------------------------------------- a compiler that fuses greedily


@traced("float32@SERVER", X)
def two_rounds(model: Any, x: Any) -> Any:
    """Up, down and up again: the second upload needs the first."""
    middle = tierfed.federated_mean(x) + model
    here = tierfed.federated_zip((tierfed.federated_broadcast(middle), x))
    return tierfed.federated_sum(tierfed.federated_map(lambda p: p[0] - p[1], here))


def greedily(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return steps with all that rises over one link in one message, whatever its phase.

    It is sent once all of it is there, and taken where the first of it is needed.
    """
    sends = [s for s in steps if isinstance(s, Send)]
    found: list[Step] = []
    folded: dict[Placement, int] = {}
    for step in steps:
        if isinstance(step, Send):
            if step is sends[-1]:
                slots = dict.fromkeys(slot for send in sends for slot in send.slots)
                found.append(Send(sends[0].site, tuple(slots)))
        elif isinstance(step, Fold) and step.source in folded:
            first = found[folded[step.source]]
            assert isinstance(first, Fold)
            found[folded[step.source]] = replace(first, folds=(*first.folds, *step.folds))
        elif isinstance(step, Loop):
            found.append(replace(step, steps=greedily(step.steps)))
        else:
            if isinstance(step, Fold):
                folded[step.source] = len(found)
            found.append(step)
    return tuple(found)


def spoilt(slices: Slices) -> Slices:
    """Return slices as a greedy compiler fuses them; both ends of each message still fit."""
    found = {p: Slice(p, greedily(s.steps)) for p, s in slices.items()}
    for below, part in found.items():
        for send in (s for s in part.walk() if isinstance(s, Send)):
            for above in found.values():
                for fold in (s for s in above.walk() if isinstance(s, Fold) and s.source == below):
                    assert fold.site != send.site or set(incoming(fold.folds)) == set(send.slots)
    return found


@pytest.mark.parametrize("hierarchy", [TWO, THREE], ids=["two", "three"])
def test_greedy_fusion_hangs(hierarchy: Hierarchy) -> None:
    """Two uploads in one, of which the second needs what the first brought: a cycle, and everybody waits."""
    right = compile(two_rounds, hierarchy).slices
    in_order(right, SERVER)
    Exchange(right, Tree.grown(hierarchy, FAN_OUT), random.Random(0)).run()
    wrong = spoilt(right)
    assert len(list(sends(wrong, CLIENTS))) == 1 and len(list(sends(right, CLIENTS))) == 2
    with pytest.raises(graphlib.CycleError):
        in_order(wrong, SERVER)
    with pytest.raises(Stuck):
        Exchange(wrong, Tree.grown(hierarchy, FAN_OUT), random.Random(0)).run()


def test_greedy_fusion_inside_a_loop_hangs() -> None:
    """The same within one turn of a loop."""

    @traced("float32@SERVER", X)
    def program(model: Any, x: Any) -> Any:
        return tierfed.federated_iterate(
            lambda m, x: improved(SERVER)(improved(SERVER)(m, x), x), model, 3, x, at=SERVER
        )

    right = compile(program, TWO).slices
    in_order(right, SERVER)
    with pytest.raises(graphlib.CycleError):
        in_order(spoilt(right), SERVER)


def test_greedy_fusion_is_harmless_where_nothing_lies_between() -> None:
    """It is the need that makes the cycle: where one phase is all there is, greedy fusion changes nothing."""
    slices = compile(traced(X)(lambda x: (tierfed.federated_sum(x), tierfed.federated_max(x))), THREE).slices
    assert spoilt(slices) == slices


# ---------------------------------------------------------------- how many messages


def sends(slices: Slices, at: Placement) -> Iterator[Send]:
    """Yield the messages that go up from a placement."""
    return (step for step in slices[at].walk() if isinstance(step, Send))


def counted(compiled: Compiled, tree: Tree, argument: Any) -> dict[str, tuple[int, int]]:
    """Return how many messages daemons sent up and down, by the tier below."""

    async def work(driver: Driver) -> Any:
        return (await driver.invoke(compiled, argument))[1]

    record = in_memory(tree, work)
    named = Traffic.named(record.traffic)
    return {p: (tier["messages_up"], tier["messages_down"]) for p, tier in named.items()}


def forest() -> Tree:
    """Return two edges of three clients each."""
    edges = (Member(f"e{i}", EDGE, tuple(Member(f"c{i}{j}", CLIENTS) for j in range(3))) for i in range(2))
    return Tree(THREE, Member("server", SERVER, tuple(edges)))


@traced(X)
def aggregates(x: Any) -> Any:
    """Five aggregates that need nothing of one another."""
    doubled = tierfed.federated_map(lambda v: v * 2.0, x)
    return (
        tierfed.federated_sum(x),
        tierfed.federated_mean(x, weight=x),
        tierfed.federated_max(doubled),
        tierfed.federated_min(doubled, to=EDGE),
        tierfed.federated_sum(doubled, to=EDGE),
    )


READINGS = tuple(np.float32(v) for v in range(1, 7))


def test_independent_aggregates_are_one_message() -> None:
    """Five aggregates cost each client one message, and each edge one; so the daemons count."""
    compiled = compile(aggregates, THREE, keep=False)
    assert [len(list(sends(compiled.slices, p))) for p in (CLIENTS, EDGE)] == [1, 1]
    assert counted(compiled, forest(), READINGS) == {"CLIENTS": (6, 6), "EDGE_AGGREGATORS": (2, 2)}


def test_independent_broadcasts_are_one_message() -> None:
    """Three broadcasts, and two values without a placement, come down in one message each member."""

    @traced("float32@SERVER", "float32@SERVER", "float32", "float32")
    def program(a: Any, b: Any, c: Any, d: Any) -> Any:
        down = tierfed.federated_zip(tuple(tierfed.federated_broadcast(v) for v in (a, b, a + b)))
        return tierfed.federated_sum(tierfed.federated_map(lambda p: p[0] * c + p[1] * d - p[2], down))

    compiled = compile(program, THREE)
    one = np.float32(1)
    assert counted(compiled, forest(), (one, one, one, one)) == {"CLIENTS": (6, 6), "EDGE_AGGREGATORS": (2, 2)}


def inside_and_outside(turns: int) -> Compiled:
    """Return a loop at the edges, with two aggregates a turn, beside two aggregates of the same clients."""

    @traced("float32@SERVER", X)
    def program(model: Any, x: Any) -> Any:
        def once(m: Any, x: Any) -> Any:
            own = tierfed.federated_map(lambda p: p[0] * p[1], (tierfed.federated_broadcast(m), x))
            return m + tierfed.federated_sum(own, to=EDGE) + tierfed.federated_max(own, to=EDGE)

        start = tierfed.federated_broadcast(model, to=EDGE)
        found = tierfed.federated_iterate(once, start, turns, x, at=EDGE)
        return tierfed.federated_sum(found), tierfed.federated_sum(x), tierfed.federated_min(x)

    return compile(program, THREE)


def test_a_turn_costs_a_message_each_way() -> None:
    """Two aggregates in a loop are one message a turn; tiers above the loop have none of them."""
    argument = (np.float32(0.5), READINGS)
    once, four = (counted(inside_and_outside(turns), forest(), argument) for turns in (1, 4))
    assert {p: (four[p][0] - once[p][0], four[p][1] - once[p][1]) for p in four} == {
        "CLIENTS": (3 * 6, 3 * 6),
        "EDGE_AGGREGATORS": (0, 0),
    }
    assert once["EDGE_AGGREGATORS"][0] == 2 * 2  # the sums over the clients, and that of the loop


def inside(steps: tuple[Step, ...], loops: tuple[Site, ...] = ()) -> Iterator[tuple[Site, tuple[Site, ...]]]:
    """Yield the sites in steps, with the loops that each stands in."""
    for step in steps:
        if isinstance(step, Loop):
            yield from inside(step.steps, (*loops, step.site))
        elif isinstance(step, Receive | Broadcast | Scatter | Fold | Send):
            yield step.site, loops


def test_inside_and_outside_never_share_a_message() -> None:
    """The sums beside the loop are of the phase of those in it, and are messages of their own."""
    clients = inside_and_outside(3).slices[CLIENTS]
    up = [s.site for s in clients.steps if isinstance(s, Send)]
    (loop,) = (s for s in clients.steps if isinstance(s, Loop))
    within = [s.site for s in loop.steps if isinstance(s, Send)]
    assert len(up) == len(within) == 1 and up != within
    phases = {s.site.phase for s in clients.walk() if isinstance(s, Receive | Send)}
    assert up[0].phase in phases and up[0].phase > loop.site.phase


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(cases())
def test_a_site_stands_in_the_same_loops_everywhere(case: Case) -> None:
    """Whatever the program: a site is of one loop, or of none, in every slice that has it."""
    found: dict[Site, set[tuple[Site, ...]]] = collections.defaultdict(set)
    for slice_ in compile(case.program.computation(), case.tree.hierarchy).slices.values():
        for site, loops in inside(slice_.steps):
            found[site].add(loops)
    assert all(len(loops) == 1 for loops in found.values())
