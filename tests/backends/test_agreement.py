"""Every backend is the reference: random programs on random trees give the same bits everywhere.

    numpy, folded by hand  ==  reference  ==  reference of every pass' output
                           ==  daemons in memory  ==  daemons over sockets

`test_backend_mutants` shows that these properties fail where they have to.
"""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from agreement import Disagreement, agree, agrees_with_numpy, check, fetched, referred, same_outcome
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from program_steps import Broadcast, Collect, Fold, Loop, Step, UserFold
from program_trees import HIERARCHIES
from programs import Case, cases, given_to, programs
from served import on_sockets

import tierfed
from tierfed.backends.native.context import NativeContext
from tierfed.compiler import climbed, compile, lowered
from tierfed.compiler.climb import climb
from tierfed.compiler.expand import expand
from tierfed.compiler.fuse import fuse
from tierfed.compiler.normalise import normalise
from tierfed.compiler.serialize import compiled_from_bytes, compiled_to_bytes
from tierfed.errors import EmptyAggregate
from tierfed.ir import check as ir_check
from tierfed.ir.intrinsics import TABLE
from tierfed.ir.intrinsics.secure import SECURE_SUMS
from tierfed.ir.nodes import Intrinsic, Node
from tierfed.language.arguments import hold
from tierfed.language.results import shown
from tierfed.node.memory_transport import Leg
from tierfed.placements import Hierarchy, Member, Placement, Tree


def examples(count: int, **more: Any) -> settings:
    """Settings for so many examples; what is drawn is large, and that is meant."""
    unworried = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(max_examples=count, suppress_health_check=unworried, **more)


@examples(150)
@given(cases())
def test_the_reference_folds_as_numpy_does(case: Case) -> None:
    """Sum, mean, weighted mean, minimum, maximum and users' folds are two loops along the tree, bit for bit."""
    computation = case.program.computation()
    agrees_with_numpy(referred(computation.node, case), computation.type_signature.result, case)


@examples(150)
@given(cases())
def test_every_pass_keeps_the_meaning(case: Case) -> None:
    """What normalise, expand, climb, fuse and all of them give means the same, is a program, and stays as it is."""
    program = case.program.computation().node
    hierarchy = case.tree.hierarchy
    wanted = referred(program, case)
    passes: list[tuple[str, Callable[[Node], Node], Node]] = []
    flat = normalise(program)
    passes.append(("normalise", normalise, flat))
    wide = expand(flat)
    passes.append(("expand", expand, wide))
    passes.append(("normalise after expand", normalise, normalise(wide)))
    passes.append(("climb", lambda node: climb(node, hierarchy), climb(normalise(wide), hierarchy)))
    passes.append(("fuse", lambda node: fuse(node, hierarchy), fuse(climbed(program, hierarchy), hierarchy)))
    passes.append(("all of them", lambda node: lowered(node, hierarchy), lowered(program, hierarchy)))
    for name, again, made in passes:
        ir_check.check(made)
        assert made.type == program.type, name
        agree(referred(made, case), wanted, program.type.result, f"the program after {name}", case)
        assert again(made) == made, f"{name} twice is not {name} once, for {case}"


@examples(80)
@given(cases())
def test_slices_come_back_from_their_bytes(case: Case) -> None:
    """What a daemon reads is what was compiled: program, hierarchy, slices and hash."""
    compiled = compile(case.program.computation(), case.tree.hierarchy)
    again = compiled_from_bytes(compiled_to_bytes(compiled))
    assert again == compiled
    assert compile(again.program, again.hierarchy).hash == compiled.hash


def at_random(seed: int) -> Callable[[Leg], float]:
    """A delay for each leg, so that messages arrive in an order that has nothing to do with the members'."""
    return lambda leg: random.Random(zlib.crc32(repr((seed, leg)).encode())).random() / 100


@examples(120)
@given(cases(), st.integers(0, 999))
def test_daemons_agree_whatever_arrives_first(case: Case, seed: int) -> None:
    """Daemons on the transport in memory, with every message late by its own time, agree bit for bit."""
    check(case, at_random(seed))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@examples(4_000)
@given(cases(), st.integers(0, 999))
def test_daemons_agree_at_length(case: Case, seed: int) -> None:
    """The same, for as long as it takes."""
    check(case, at_random(seed))


# -- over sockets


def grown(hierarchy: Hierarchy, counts: dict[str, list[int]]) -> Tree:
    """A tree in which the members of a placement have so many children each, in turn."""
    names: Counter[str] = Counter()
    rest = {p: iter(each) for p, each in counts.items()}

    def grow(p: Placement) -> Member:
        name = f"{p.name.lower().replace('_', '-')}-{names[p.name]}"
        names[p.name] += 1
        return Member(name, p, tuple(grow(c) for c in hierarchy.children(p) for _ in range(next(rest[c.name]))))

    return Tree(hierarchy, grow(hierarchy.root))


TREES = {
    "two tiers": {"CLIENTS": [3]},
    "three tiers": {"EDGE_AGGREGATORS": [3], "CLIENTS": [2, 3, 1]},
    "four tiers": {"REGIONS": [2], "EDGE_AGGREGATORS": [2, 1], "CLIENTS": [1, 0, 3]},
    "five tiers": {"CONTINENTS": [2], "REGIONS": [1, 2], "EDGE_AGGREGATORS": [2, 1, 1], "CLIENTS": [2, 1, 1, 2]},
    "a singleton between": {"GATE": [1], "CLIENTS": [3]},
    "two leaf placements": {"EDGE_AGGREGATORS": [2], "SENSORS": [2, 1], "PHONES": [1, 3]},
    "branches of two lengths": {"PHONES": [2], "EDGE_AGGREGATORS": [2], "SENSORS": [2, 2]},
}
PROGRAMS_EACH = 12


@pytest.fixture(scope="module")
def over_sockets() -> Iterator[Counter[str]]:
    """How many programs ran over sockets, by hierarchy."""
    yield Counter()


@pytest.mark.parametrize("name", TREES)
def test_daemons_agree_over_sockets(name: str, over_sockets: Counter[str]) -> None:
    """Served on loopback, and called as users call: the same bits, in the same containers."""
    tree = grown(HIERARCHIES[name], TREES[name])

    with on_sockets(tree) as context:

        @examples(PROGRAMS_EACH, phases=[Phase.explicit, Phase.reuse, Phase.generate], database=None)
        @given(st.data())
        def agrees(data: st.DataObject) -> None:
            case = data.draw(given_to(data.draw(programs(tree.hierarchy)), tree))
            called(context, case)
            over_sockets[name] += 1

        agrees()


def called(context: NativeContext, case: Case) -> None:
    """Raise Disagreement unless a call on the tree is what the reference and numpy say, in the same containers."""
    computation = case.program.computation()
    t = computation.type_signature.result
    given_as = zip(case.arguments, case.program.parameters, strict=True)
    arguments = [shown(value, part) for value, part in given_as]
    wanted = referred(computation.node, case)
    agrees_with_numpy(wanted, t, case)
    try:
        result = fetched(context.invoke(computation, *arguments))
    except EmptyAggregate:
        agree(EmptyAggregate, wanted, t, "the tree over sockets", case)
        return
    if wanted is EmptyAggregate:
        raise Disagreement(f"the tree over sockets gives {result}, the reference raises EmptyAggregate\n  for {case}")
    agree(hold(result, t, "the result"), wanted, t, "the tree over sockets", case)
    assert same_outcome(result, fetched(shown(wanted, t))), f"other containers, for {case}"


def test_so_many_ran_over_sockets(over_sockets: Counter[str]) -> None:
    """At least fifty random programs ran over real sockets in this very run."""
    if not over_sockets:
        pytest.skip("run with the tests before it")
    assert over_sockets.total() >= 50
    assert set(over_sockets) == set(TREES)


# -- what the random programs are like


def drawn(count: int, on: Sequence[Hierarchy] = tuple(HIERARCHIES.values())) -> list[Case]:
    """So many random cases, the same ones every time."""
    found: list[Case] = []

    @examples(count, derandomize=True, phases=[Phase.generate], database=None)
    @given(cases(on))
    def draw(case: Case) -> None:
        found.append(case)

    draw()
    return found


def test_random_programs_say_everything() -> None:
    """Each public intrinsic is among them, over one hop and over several, and so is each way of folding."""
    found = drawn(700) + drawn(250, [HIERARCHIES["two leaf placements"]])
    uris: Counter[str] = Counter()
    hops: Counter[tuple[str, int]] = Counter()
    folds: Counter[str] = Counter()
    loops: Counter[str] = Counter()
    down_and_up = 0
    wanted = {op.uri for op in TABLE.values() if op.public} - SECURE_SUMS | {"federated_weighted_mean"}
    for case in found:
        steps = case.program.steps
        if not wanted <= set(uris):  # tracing takes its time
            uris.update(n.uri for n in case.program.computation().node.walk() if isinstance(n, Intrinsic))
        for step in steps:
            if isinstance(step, Fold | UserFold | Collect):
                kind = step.name if isinstance(step, Fold) else "collect" if isinstance(step, Collect) else "aggregate"
                kind = "reduce" if isinstance(step, UserFold) and step.reduce else kind
                hops[kind, len(case.tree.hierarchy.path(steps[step.x].at, step.at)) - 1] += 1
            if isinstance(step, UserFold):
                folds[repr(step.fold)] += 1
        down_and_up += _comes_back(steps)
        for step in steps:
            if isinstance(step, Loop):
                loops.update(_kinds_of_loop(case, step))
    assert wanted <= set(uris)
    kinds = ("sum", "mean", "min", "max", "reduce", "aggregate", "collect")
    assert {(kind, h) for kind in kinds for h in (1, 2)} <= set(hops)
    assert {"affine", "counted", "noted", "added up", "taken away", "first", "last"} == set(folds)
    kinds_of_loop = {"at the root", "at a leaf", "in between", "a struct", "data", "captures", "down and up"}
    kinds_of_loop |= {"nested", "two leaf placements", "0 turns", "several turns", "turns as an argument"}
    assert kinds_of_loop <= set(loops)
    assert down_and_up >= 5, f"{down_and_up} times: aggregate, broadcast and aggregate again"
    assert sum(case.expected() is not None for case in found) == len(found)
    childless = sum(any(not m.children and m.placement.name != "CLIENTS" for m in c.tree.root.walk()) for c in found)
    assert childless >= 40


def _kinds_of_loop(case: Case, loop: Loop) -> Iterator[str]:
    """What a loop of a random program is like."""
    hierarchy = case.tree.hierarchy
    placed = {i for i, step in enumerate(case.program.steps[: loop.known]) if step.at is not None}
    if loop.where == hierarchy.root:
        yield "at the root"
    else:
        yield "in between" if hierarchy.children(loop.where) else "at a leaf"
    if len(loop.parts) > 1:
        yield "a struct"
    if loop.data:
        yield "data"
    if any(i in placed for step in loop.body for i in step.uses()):
        yield "captures"
    if {Broadcast, Fold} <= {type(step) for step in loop.body}:
        yield "down and up"
    if len({step.at for step in loop.body if step.at is not None and not hierarchy.children(step.at)}) > 1:
        yield "two leaf placements"
    if any(isinstance(step, Loop) for step in loop.body):
        yield "nested"
    if loop.count is not None:
        yield "turns as an argument"
    else:
        yield "0 turns" if loop.turns == 0 else "several turns" if loop.turns > 1 else "one turn"


def _comes_back(steps: tuple[Step, ...]) -> bool:
    """Whether what was folded goes down, and what is made of it is folded again."""
    state = dict.fromkeys(range(len(steps)), 0)
    for i, step in enumerate(steps):
        before = max((state[s] for s in step.uses()), default=0)
        if isinstance(step, Fold | UserFold):
            before = 3 if before >= 2 else 1
        elif isinstance(step, Broadcast) and before == 1:
            before = 2
        state[i] = before
    return 3 in state.values()


def test_a_difference_is_seen() -> None:
    """One bit of one value is enough to disagree, and so are an error and a value."""
    case = next(c for c in drawn(50) if referred(c.program.computation().node, c) is not EmptyAggregate)
    computation = case.program.computation()
    t = computation.type_signature.result
    wanted = referred(computation.node, case)
    agree(wanted, wanted, t, "it", case)
    with pytest.raises(Disagreement, match="^it gives <class"):
        agree(EmptyAggregate, wanted, t, "it", case)
    zero = tierfed.to_type("float32@SERVER")
    with pytest.raises(Disagreement, match="^it gives -0.0\n  the reference gives 0.0"):
        agree(np.float32(-0.0), np.float32(0.0), zero, "it", case)
