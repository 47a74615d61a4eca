"""Values that stay at their members: handles mean the lists that they stand for, and nothing of them moves.

server ─┬─ edge-aggregators-0 ─┬─ sensors-0 sensors-1
        │                      └─ phones-0
        └─ edge-aggregators-1 ─┬─ sensors-2
                               └─ phones-1 phones-2
"""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from agreement import agree, fetched, referred
from hypothesis import Phase, given
from hypothesis import strategies as st
from program_trees import EDGE, HIERARCHIES, PHONES, SENSORS
from programs import given_to, programs
from served import in_memory, on_sockets
from test_agreement import examples, grown

import tierfed
from tierfed import CLIENTS, FederatedType, NoSuchRun, TypeMismatch, ValueMismatch
from tierfed.backends.native.context import NativeContext
from tierfed.backends.native.driver import Driver, KeptAt, Record
from tierfed.errors import EmptyAggregate
from tierfed.language.arguments import hold
from tierfed.language.placed import Placed, PlacedHere
from tierfed.language.results import shown
from tierfed.node import daemon
from tierfed.node.memory_transport import Leg
from tierfed.node.node import Node
from tierfed.node.traffic import Traffic
from tierfed.types.types import StructType, Type

program = tierfed.federated_computation
F = np.float32
FOREST = grown(HIERARCHIES["two leaf placements"], {"EDGE_AGGREGATORS": [2], "SENSORS": [2, 1], "PHONES": [1, 2]})
THREE = grown(HIERARCHIES["three tiers"], {"EDGE_AGGREGATORS": [2], "CLIENTS": [2, 1]})
TREES = {"two leaf placements": FOREST, "three tiers": THREE}
X = FederatedType(F, SENSORS)
Y = FederatedType(F, PHONES)
LARGE = tierfed.TensorType(F, (250_000,))  # 1 MB


@tierfed.py_computation(F, returns=F)
def plus_one(x: Any) -> Any:
    """One more."""
    return x + F(1)


@tierfed.py_computation(LARGE, returns=LARGE)
def spoils(x: Any) -> Any:
    """Add one, in place: what leaves are asked not to do."""
    x += 1
    return x


@program(X)
def raised(x: Any) -> Any:
    """One more, at the sensors."""
    return tierfed.federated_map(plus_one, x)


@program(X)
def total(x: Any) -> Any:
    """The sum over the sensors."""
    return tierfed.federated_sum(x)


@program(X)
def itself(x: Any) -> Any:
    """Nothing done to it."""
    return x


class Watched:
    """A context, the records of its calls, and its nodes."""

    def __init__(self, context: NativeContext, records: list[Record], nodes: list[Node]) -> None:
        self.context = context
        self.invoke, self.ainvoke = context.invoke, context.ainvoke
        self.records = records
        self.nodes = nodes

    def kept(self) -> int:
        """How many values members keep, in the whole tree."""
        return sum(map(len, (node.kept for node in self.nodes)))

    def moved(self, placement: str) -> dict[str, int]:
        """What the last call moved between the members of a placement and their parents."""
        return Traffic.named(self.records[-1].traffic)[placement]


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[Any], Any]]:
    """Serve trees over sockets, watched."""
    nodes: list[Node] = []

    class Seen(Node):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            nodes.append(self)

    stack = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(daemon, "Node", Seen)

        def up(tree: Any) -> Watched:
            records: list[Record] = []
            before = len(nodes)
            one = on_sockets(tree, on_record=lambda computation, record: records.append(record))
            context = one.__enter__()
            stack.append(one)
            return Watched(context, records, nodes[before:])

        yield up
        for one in stack:
            one.__exit__(None, None, None)


@pytest.fixture(scope="module")
def forest(serve: Callable[[Any], Any]) -> Watched:
    """The tree of this module."""
    return serve(FOREST)  # type: ignore[no-any-return]


def patiently(look: Callable[[], Any]) -> None:
    """Wait until there is something to see."""
    event = threading.Event()
    for _ in range(3000):
        if look():
            return
        event.wait(0.005)
    raise AssertionError("it never came true")


# -- what they mean


@pytest.mark.parametrize("name", TREES)
def test_random_programs_take_what_random_programs_gave(serve: Callable[[Any], Any], name: str) -> None:
    """What stays after a program, passed to another that returns it and its sum, is what the reference gives."""
    tree = TREES[name]
    native = serve(tree)
    seen = 0

    @examples(25, phases=[Phase.explicit, Phase.reuse, Phase.generate], database=None)
    @given(st.data())
    def agrees(data: st.DataObject) -> None:
        nonlocal seen
        case = data.draw(given_to(data.draw(programs(tree.hierarchy)), tree))
        computation = case.program.computation()
        t = computation.type_signature.result
        wanted = referred(computation.node, case)
        arguments = [shown(v, p) for v, p in zip(case.arguments, case.program.parameters, strict=True)]
        if wanted is EmptyAggregate:
            with pytest.raises(EmptyAggregate):
                native.invoke(computation, *arguments)
            return
        handles = [(h, held) for h, held in _placed(native.invoke(computation, *arguments), wanted, t)]
        for handle, held in handles:
            of = handle.type_signature

            @program(of)
            def again(x: Any) -> Any:
                return {"x": x, "one": tierfed.federated_map(lambda v: v, x)}

            found = native.invoke(again, handle)
            for part in (handle, found["x"], found["one"]):
                agree(hold(part.fetch(), of, "the result"), held, of, "the handle", case)
            seen += isinstance(handle, Placed)

    agrees()
    assert seen >= 5


def _placed(result: Any, held: Any, t: Type) -> Iterator[tuple[Any, Any]]:
    """The placed parts of a result, as they were given and as the reference holds them."""
    if isinstance(t, FederatedType) and not t.all_equal:
        yield result, held
    elif isinstance(t, StructType) and t.contains(FederatedType):
        parts = list(result.values()) if isinstance(result, dict) else list(result)
        for part, value, e in zip(parts, held, t.parts(), strict=True):
            yield from _placed(part, value, e)


def test_calls_in_a_chain(forest: Watched) -> None:
    """Each call goes on from the handle that the one before gave."""
    x: Any = [1, 2, 4]
    for _ in range(4):
        x = forest.invoke(raised, x)
        assert isinstance(x, Placed) and len(x) == 3
    assert forest.invoke(total, x) == 19
    assert x.fetch() == [5, 6, 8]


def test_values_at_two_placements_and_in_the_middle(forest: Watched) -> None:
    """A struct of handles, of which each is passed on by itself, and all of them together."""

    @program(X, Y)
    def spread(x: Any, y: Any) -> Any:
        at_edges = tierfed.federated_sum(x, to=EDGE)
        return {"x": (x, tierfed.federated_map(plus_one, x)), "y": y, "edges": at_edges}

    t = spread.type_signature.result

    @program(t)
    def gathered(all: Any) -> Any:
        down = tierfed.federated_broadcast(all.edges, to=SENSORS)
        return tierfed.federated_sum(down), tierfed.federated_sum(all.x[1]), tierfed.federated_sum(all.y), all

    made = forest.invoke(spread, [1, 2, 4], [10, 20, 30])
    once = forest.invoke(spread, made["x"][1], made["y"])
    assert forest.invoke(gathered, once)[:3] == (2 * 5 + 5, 4 + 3 + 5 + 1 - 0, 60)
    again = forest.invoke(gathered, {**once, "y": [1, 2, 3]})
    assert again[:3] == (15, 13, 6)
    assert fetched(again[3]) == {"x": ([2, 3, 5], [3, 4, 6]), "y": [1, 2, 3], "edges": [5, 5]}


def test_the_same_handle_twice_and_unchanged(forest: Watched) -> None:
    """It may stand for two arguments, and come back as it is; what is released is not what others still have."""

    @program(X, X)
    def both(a: Any, b: Any) -> Any:
        return a, b, tierfed.federated_sum(tierfed.federated_map(lambda p: p[0] + p[1], (a, b)))

    first = forest.invoke(raised, [0, 1, 2])
    a, b, twice = forest.invoke(both, first, first)
    assert twice == 12
    del first
    gc.collect()
    c = forest.invoke(itself, forest.invoke(itself, a))
    del a
    gc.collect()
    assert b == c == [1, 2, 3]
    assert forest.invoke(both, b, c)[2] == 12


def test_a_leaf_that_writes_to_its_argument_does_not_write_to_what_is_kept(forest: Watched) -> None:
    """What a leaf is given is not what its member keeps."""
    t = FederatedType(LARGE, SENSORS)
    ones = forest.invoke(program(t)(lambda x: tierfed.federated_map(lambda v: v, x)), [np.ones(250_000, F)] * 3)
    spoiling = program(t)(lambda x: tierfed.federated_max(tierfed.federated_map(spoils, x)))
    assert {forest.invoke(spoiling, ones)[0] for _ in range(3)} == {2}
    assert all((v == 1).all() for v in ones.fetch())


# -- what moves


def test_nothing_moves_but_what_is_asked_for(forest: Watched) -> None:
    """A megabyte a member is passed on for what a beginning takes; to fetch it moves it up, once."""
    t = FederatedType(LARGE, SENSORS)

    @program(t, tierfed.FederatedType(F, tierfed.SERVER))
    def scaled(large: Any, rate: Any) -> Any:
        here = tierfed.federated_zip((large, tierfed.federated_broadcast(rate, to=SENSORS)))
        return tierfed.federated_map(lambda p: p[0], here), tierfed.federated_sum(
            tierfed.federated_broadcast(rate, to=SENSORS)
        )

    @program(tierfed.FederatedType(F, tierfed.SERVER))
    def without(rate: Any) -> Any:
        return tierfed.federated_sum(tierfed.federated_broadcast(rate, to=SENSORS))

    forest.invoke(without, 2.0)
    bare = forest.moved("SENSORS")
    handle, _ = forest.invoke(scaled, [np.full(250_000, i, F) for i in range(3)], 2.0)
    assert forest.moved("SENSORS")["down"] > 3_000_000 and forest.moved("SENSORS")["up"] < 5_000
    for _ in range(2):
        handle, got = forest.invoke(scaled, handle, 2.0)
        assert got == 6
        moved = forest.moved("SENSORS")
        assert moved["down"] - bare["down"] < 200 and moved["up"] < 5_000, (moved, bare)
        assert forest.moved("EDGE_AGGREGATORS")["down"] < 5_000
    values = handle.fetch()
    assert [v[0] for v in values] == [0, 1, 2]
    assert 3_000_000 < forest.moved("SENSORS")["up"] < 3_100_000 and forest.moved("SENSORS")["down"] < 500
    calls = len(forest.records)
    assert [v[-1] for v in handle] == [0, 1, 2] and len(handle.fetch()) == 3 and handle[1][5] == 1
    assert len(forest.records) == calls, "it was fetched once"
    forest.invoke(scaled, handle, 1.0)
    assert forest.moved("SENSORS")["down"] < 5_000, "what was fetched is still where it was"


# -- where they go


def test_to_another_tree_and_to_the_reference(serve: Callable[[Any], Any], forest: Watched) -> None:
    """A handle of one tree is a list to another, and to the interpreter here, awaited too."""
    handle = forest.invoke(raised, [1, 2, 3])
    other = serve(FOREST)
    assert other.invoke(total, handle) == 9
    assert asyncio.run(other.ainvoke(total, forest.invoke(raised, [1, 1, 1]))) == 6
    with tierfed.local(topology=FOREST) as here:
        assert here.invoke(total, handle) == 9
        assert here.invoke(total, here.invoke(raised, handle)) == 12
        assert other.invoke(total, here.invoke(raised, handle)) == 12
    double = program(tierfed.SequenceType(F))(lambda values: tierfed.sequence_sum(values))
    assert double(handle) == other.invoke(double, forest.invoke(itself, handle)) == 9


@pytest.mark.parametrize("here", [True, False], ids=["here", "over sockets"])
def test_where_it_does_not_fit(forest: Watched, here: bool) -> None:
    """Of another member type, another placement, or where all members have one: both types are told."""
    with tierfed.local(topology=FOREST) as context:
        run = context.invoke if here else forest.invoke
        handle = run(raised, [1, 2, 3])
        assert isinstance(handle, PlacedHere if here else Placed)
        for t, told in (
            (FederatedType(np.int32, SENSORS), "{int32}@SENSORS"),
            (FederatedType(F, EDGE), "{float32}@EDGE_AGGREGATORS"),
            (FederatedType(F, SENSORS, all_equal=True), "float32@SENSORS"),
        ):
            with pytest.raises(TypeMismatch) as refusal:
                run(program(t)(lambda x: x), handle)
            assert refusal.value.what == f"the placed value: expected {told}, got {{float32}}@SENSORS"
            assert "handle.fetch()" in str(refusal.value.mend) and "test_placed_values.py" in str(refusal.value.where)
        with pytest.raises(ValueMismatch):
            run(program(X, X, X)(lambda a, b, c: a), handle)


# -- beginnings that come before the end


def _late(leg: Leg) -> float:
    """The control links are slow: that a call is over is heard long after the next has begun."""
    return 1.0 if leg.plane == "control" else 0.001


def test_a_beginning_that_overtakes_the_end_of_the_call_before() -> None:
    """A member that was not told yet that its value counts waits until it is."""

    async def work(driver: Driver) -> Any:
        first = tierfed.compile(raised, FOREST.hierarchy)
        x: Any = (F(1), F(2), F(4))
        kept, _ = await driver.invoke(first, x)
        for _ in range(3):
            assert isinstance(kept, KeptAt)
            again = tierfed.compile(raised, FOREST.hierarchy, recalled=frozenset({"arg"}))
            kept, _ = await driver.invoke(again, Placed(X, None), {"arg": kept.key})  # type: ignore[arg-type]
        summed = tierfed.compile(total, FOREST.hierarchy, recalled=frozenset({"arg"}))
        return (await driver.invoke(summed, Placed(X, None), {"arg": kept.key}))[0]  # type: ignore[arg-type]

    assert in_memory(FOREST, work, _late) == 7 + 4 * 3


# -- memory


def test_what_nobody_holds_is_forgotten(serve: Callable[[Any], Any]) -> None:
    """When the last handle is gone the members forget; from whatever thread, however many."""
    tree = serve(FOREST)
    handles = [tree.invoke(raised, [i, i, i]) for i in range(5)]
    patiently(lambda: tree.kept() == 15)
    defaulted = handles[0].with_default(3.0)
    handles.pop(0)
    handles.pop()
    patiently(lambda: tree.kept() == 12)
    assert defaulted.fetch() == [1, 1, 1]
    thread = threading.Thread(target=handles.clear)
    thread.start()
    thread.join()
    patiently(lambda: tree.kept() == 3)
    del defaulted

    async def dropped_by_the_loop() -> None:
        for i in range(20):
            await tree.ainvoke(raised, [i, i, i])

    asyncio.run(dropped_by_the_loop())
    patiently(lambda: not any(node.kept._pending or node.kept._ends or len(node.kept) for node in tree.nodes))


def test_a_driver_that_leaves_takes_its_handles_with_it(serve: Callable[[Any], Any]) -> None:
    """Members forget everything when the driver is gone; the handle says what became of it."""
    tree = serve(FOREST)
    handle, fetched_before = tree.invoke(raised, [1, 2, 3]), tree.invoke(raised, [1, 2, 3])
    assert fetched_before.fetch() == [2, 3, 4]
    patiently(lambda: tree.kept() == 6)
    tree.context.close()
    patiently(lambda: tree.kept() == 0)
    for use in (handle.fetch, lambda: list(handle), lambda: asyncio.run(handle.afetch())):
        with pytest.raises(NoSuchRun) as refusal:
            use()
        assert str(refusal.value) == (
            "handle: the tree whose members had the values of this handle, {float32}@SENSORS, is down\n"
            "  to mend: fetch what is needed later while the tree is up: values = handle.fetch()"
        )
    with tierfed.local(topology=FOREST), pytest.raises(NoSuchRun, match="the values of this handle"):
        total(handle)
    assert fetched_before == [2, 3, 4] and len(handle) == 3


# -- loops


@pytest.mark.parametrize("here", [True, False], ids=["here", "over sockets"])
def test_the_state_of_a_loop_stays(forest: Watched, here: bool) -> None:
    """What is carried from turn to turn at the sensors starts from a handle and ends as one; its data is one too."""

    @program(X, Y, np.int32)
    def edge_rounds(state: Any, offset: Any, rounds: Any) -> Any:
        def step(s: Any, d: Any) -> Any:
            at_edge = tierfed.federated_broadcast(tierfed.federated_sum(d, to=EDGE), to=SENSORS)
            return tierfed.federated_map(lambda p: p[0] + p[1], (s, at_edge))

        return tierfed.federated_iterate(step, state, rounds, data=offset, at=EDGE), offset

    with tierfed.local(topology=FOREST) as context:
        run = context.invoke if here else forest.invoke
        state: Any = run(raised, [0, 1, 2])
        offset: Any = run(program(Y)(lambda y: y + y), [1, 2, 3])
        for _ in range(2):
            state, offset = run(edge_rounds, state, offset, 2)
            assert isinstance(state, PlacedHere if here else Placed)
    assert state.fetch() == [1 + 4 * 2, 2 + 4 * 2, 3 + 4 * 10] and offset.fetch() == [2, 4, 6]


# -- as Python's own


class Pair(NamedTuple):
    """A struct of a class of the user's."""

    a: Any
    b: Any


def made_here_and_far(forest: Watched) -> tuple[Any, Any]:
    """The same values as handles of both kinds."""
    with tierfed.local(topology=FOREST) as context:
        return context.invoke(raised, [0, 1, 3]), forest.invoke(raised, [0, 1, 3])


def test_as_the_list_that_it_stands_for(forest: Watched) -> None:
    """Whatever lists do without changing, both kinds do, with the same result."""
    uses: list[Callable[[Any], Any]] = [
        len,
        bool,
        list,
        tuple,
        sum,
        max,
        sorted,
        lambda h: h[0],
        lambda h: h[-1],
        lambda h: h[1:],
        lambda h: h[::-1],
        lambda h: list(reversed(h)),
        lambda h: list(enumerate(h)),
        lambda h: list(zip(h, h, strict=True)),
        lambda h: 4.0 in h,
        lambda h: 5.0 in h,
        lambda h: h.index(2.0),
        lambda h: h.count(1.0),
        lambda h: h == [1, 2, 4],
        lambda h: [1, 2, 4] == h,
        lambda h: h == [1, 2],
        lambda h: h != [1, 2, 4],
        lambda h: h == (1, 2, 4),
        lambda h: h + [8.0],
        lambda h: [8.0] + h,
        lambda h: [*h],
        lambda h: np.array(h).tolist(),
        lambda h: np.asarray(h, np.float64).dtype,
        lambda h: np.mean(h),
        lambda h: np.stack(h).shape,
        lambda h: h.fetch(),
        lambda h: asyncio.run(h.afetch()),
        lambda h: json.dumps([float(x) for x in h]),
        lambda h: str(h.type_signature),
        lambda h: copy.deepcopy({"h": h})["h"] == h,
        lambda h: [type(x) for x in h],
    ]
    for number, use in enumerate(uses):
        near, far = made_here_and_far(forest)
        found, wanted = use(far), use(near)
        assert type(found) is type(wanted) and found == wanted, number
    near, far = made_here_and_far(forest)
    assert near == far and far == near and far == forest.invoke(raised, [0, 1, 3]) and far != near[1:]
    with pytest.raises(IndexError):
        far[3]
    first, *rest = far
    assert (first, rest) == (1, [2, 4])


def test_what_moves_nothing(forest: Watched) -> None:
    """To count it, to print it, to ask whether it is there, to copy or to show it fetches nothing."""
    handle = forest.invoke(raised, [0, 1, 3])
    calls = len(forest.records)
    assert len(handle) == 3 and handle and handle == handle
    assert repr(handle) == str(handle) == "<placed {float32}@SENSORS of 3 members>"
    assert "{float32}@SENSORS: 3 values, at its members" in handle._repr_html_()
    assert copy.copy(handle) is copy.deepcopy(handle) is handle
    assert len(handle.with_default(1)) == 3
    assert len(forest.records) == calls
    assert repr(handle.fetch()) == repr(handle) != ""
    assert "3 values, fetched" in handle._repr_html_()


def test_what_it_is_not(forest: Watched) -> None:
    """It is not pickled, hashed, changed or written as JSON; a default is of its type."""
    handle = forest.invoke(raised, [0, 1, 3])
    with pytest.raises(TypeError, match=r"a handle of \{float32\}@SENSORS is of the tree .* use handle.fetch\(\)"):
        pickle.dumps({"h": handle})
    with pytest.raises(TypeError, match="unhashable"):
        hash(handle)
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(handle)
    with pytest.raises(TypeError, match="does not support item assignment"):
        handle[0] = 3.0
    with pytest.raises(ValueMismatch, match="default: expected float32, got"):
        handle.with_default("nothing")
    handle.fetch().append(5)
    assert handle == [1, 2, 4], "a list that was fetched is the caller's"


def test_fetched_in_a_running_loop(forest: Watched) -> None:
    """A coroutine may use it as a list, or await it; several fetch side by side."""

    async def main() -> Any:
        a, b = await asyncio.gather(forest.ainvoke(raised, [0, 0, 0]), forest.ainvoke(raised, [1, 1, 1]))
        both = await asyncio.gather(a.afetch(), b.afetch(), a.afetch())
        c = await forest.ainvoke(raised, b)
        return both, list(c), await asyncio.to_thread(c.fetch)

    assert asyncio.run(main()) == ([[1] * 3, [2] * 3, [1] * 3], [3] * 3, [3] * 3)


def test_structs_and_containers(forest: Watched) -> None:
    """Members' structs come back in the user's class, and so does a struct of handles."""
    t = tierfed.to_type(Pair(F, (F, [2])))

    @program(FederatedType(t, SENSORS))
    def swapped(x: Any) -> Any:
        return Pair(x.a, tierfed.federated_map(lambda p: Pair(p.a + p.a, p.b), x))

    pairs = [Pair(F(i), np.full(2, i, F)) for i in range(3)]
    found = forest.invoke(swapped, pairs)
    assert isinstance(found, Pair) and isinstance(found.b, Placed)
    assert found.a == [0, 1, 2] and [type(p) for p in found.b] == [Pair] * 3
    again = forest.invoke(swapped, found.b)
    assert again.a == [0, 2, 4] and again.b[2].a == 8 and again.b[2].b.tolist() == [2, 2]
    assert np.array(found.a).dtype == F


def test_one_of_a_singleton_and_of_nobody(serve: Callable[[Any], Any]) -> None:
    """A handle over a placement without members is an empty list; what is at the root is here anyway."""
    empty = grown(HIERARCHIES["three tiers"], {"EDGE_AGGREGATORS": [2], "CLIENTS": [0, 0]})
    tree = serve(empty)
    of = FederatedType(F, CLIENTS)
    none = tree.invoke(program(of)(lambda x: x + x), [])
    assert len(none) == 0 and not none and none.fetch() == [] and none == []
    assert tree.invoke(program(of)(lambda x: tierfed.federated_sum(x)), none) == 0
    assert tree.invoke(program(tierfed.FederatedType(F, tierfed.SERVER, False))(lambda x: x), [3.0]) == [3]


# -- defaults


def test_a_default_is_sent_when_somebody_needs_it(serve: Callable[[Any], Any]) -> None:
    """While all are known to have a value no default moves; once a call has lost somebody, the next one brings it."""
    tree = serve(FOREST)
    t = FederatedType(LARGE, SENSORS)
    highest = program(t)(lambda x: tierfed.federated_max(x))
    ones = tree.invoke(program(t)(lambda x: tierfed.federated_map(lambda v: v, x)), [np.ones(250_000, F)] * 3)
    handle = ones.with_default(np.full(250_000, 7, F))
    assert tree.invoke(highest, handle)[0] == 1
    assert tree.moved("SENSORS")["down"] < 5_000
    (forgetful,) = (node for node in tree.nodes if node.me.name == "sensors-2")
    forgetful.kept.release(None)
    with pytest.raises(tierfed.RoundFailed, match="sensors-2 has no value of "):
        tree.invoke(highest, handle)
    assert tree.invoke(highest, handle)[0] == 7
    assert tree.moved("SENSORS")["down"] > 3_000_000
    with pytest.raises(tierfed.RoundFailed, match=r"handle.with_default\(value\)|sensors-2 has no value"):
        tree.invoke(highest, ones)
