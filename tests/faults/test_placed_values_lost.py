"""Handles when members are lost: what they stand for then, who may go on, and what is kept by whom.

server ── e-0 (deadline 1 s) ── c-0 c-1 c-2
       └─ e-1               ── c-3 c-4 c-5        half of an edge's clients are enough
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_gate import PATIENCE, Gate
from fault_programs import CLIENTS, mean_of, reading, update
from fault_served import RUN, Served, served, until, virtually
from fault_trees import Brought, bring_up, orders, same

import tierfed
from tierfed.backends.native.driver import KeptAt
from tierfed.language.arguments import hold_arguments
from tierfed.language.placed import Placed
from tierfed.node.kept import Kept
from tierfed.node.memory_transport import Leg, MemoryTransport
from tierfed.topology import Topology
from tierfed.topology import tree as fan_out

TREE = """
apiVersion: tierfed/v1
kind: Topology
name: handles
placements:
  SERVER: {collect: {deadline: 60s}}
  EDGE_AGGREGATORS:
    parent: SERVER
    members:
      e-0: {collect: {deadline: 1s}}
      e-1: {}
    collect: {quorum: 50%, deadline: 40s}
  CLIENTS: {parent: EDGE_AGGREGATORS, per_parent: 3, name: "c-{n}"}
"""
VECTOR = (np.float32, [5])
VECTORS = tierfed.FederatedType(VECTOR, CLIENTS)
NUMBERS = tierfed.FederatedType(np.float32, CLIENTS)


@tierfed.federated_computation(tierfed.FederatedType(np.int32, CLIENTS), tierfed.FederatedType(str, CLIENTS))
def made(numbers: Any, orders: Any) -> Any:
    """What `reading` gives, kept by each client."""
    return tierfed.federated_map(reading, (numbers, orders))


@tierfed.federated_computation(VECTORS)
def mean(x: Any) -> Any:
    """The mean of what clients have."""
    return tierfed.federated_mean(x)


@tierfed.federated_computation(VECTORS, VECTORS)
def mean_of_both(x: Any, y: Any) -> Any:
    """The mean of the sums of two values that clients have."""
    return tierfed.federated_mean(x + y)


@pytest.fixture(scope="module")
def tree(fault_home: Path) -> Iterator[Brought]:
    """The tree of this module: nobody is killed in it."""
    file = fault_home / "handles.yaml"
    file.write_text(TREE)
    tree = bring_up(file)
    yield tree
    tree.end()


def made_without(tree: Brought, gate: Gate, name: str) -> Any:
    """A handle that was made while `name` raised."""
    order = {name.replace("-", "_"): gate.order(name)}
    asked = tree.ask(made, range(6), orders(6, **order))
    gate.say(name, "raise")
    return asked.result(PATIENCE)


def test_a_member_that_was_lost_has_no_value_and_joins_with_a_default(tree: Brought, gate: Gate) -> None:
    """Five values; the one without is lost to the next call, by name, and takes part with a default."""
    handle = made_without(tree, gate, "c-4")
    assert isinstance(handle, Placed) and len(handle) == 5 and bool(handle)
    assert same(tree.result(mean, handle), mean_of([0, 1, 2], [3, 5]))
    record = tree.recorded()
    assert record["counts"]["CLIENTS"] == 5 and list(record["lost"]) == ["c-4"]
    assert record["lost"]["c-4"].startswith("c-4 has no value of float32[5] kept as ")
    assert len(handle) == 5 and [same(v, update(n, 5)) for v, n in zip(handle, (0, 1, 2, 3, 5), strict=True)]
    total = handle.with_default(update(4, 5))
    assert len(total) == 6
    assert same(tree.result(mean, total), mean_of([0, 1, 2], [3, 4, 5]))
    assert tree.recorded()["lost"] == {}
    assert same(np.array(total.fetch()), np.array([update(n, 5) for n in range(6)]))
    assert len(handle.fetch()) == 5, "it was fetched before, and is what it was"


def test_members_without_a_value_count_against_the_quorum(tree: Brought, gate: Gate) -> None:
    """Two handles that lack different clients of one edge: too few have both, and the round says who and why."""
    x, y = made_without(tree, gate, "c-3"), made_without(tree, gate, "c-4")
    error = tree.failure(tree.ask(mean_of_both, x, y))
    assert isinstance(error, tierfed.RoundFailed)
    assert error.what.startswith(
        "1 of 2 EDGE_AGGREGATORS left, quorum is 2; the first lost is e-1: "
        "1 of 3 CLIENTS left, quorum is 2; the first lost is c-"
    )
    assert " has no value of float32[5] kept as " in error.what
    assert same(tree.result(mean_of_both, x, x), 2 * mean_of([0, 1, 2], [4, 5]))
    zeros = np.zeros(5, np.float32)
    both = tree.result(mean_of_both, x.with_default(zeros), y.with_default(zeros))
    expected = np.zeros(5, np.float32)
    for edge in ([0, 1, 2], [3, 4, 5]):
        part = np.zeros(5, np.float32)
        for n in edge:
            part = part + (update(n, 5) * np.float32(1 if n in (3, 4) else 2))
        expected = part if edge[0] == 0 else expected + part
    assert same(both, expected / np.float32(6))


def test_one_that_was_too_late_keeps_nothing(tree: Brought, gate: Gate) -> None:
    """Lost by the deadline of its edge, it computes on; the round was committed without it, and it has no value."""
    asked = tree.ask(made, range(6), orders(6, c_0=gate.order("c-0"), c_5=gate.order("c-5")))
    gate.arrived("c-0", "c-5")
    (number,) = {e["invocation"] for e in tree.history("e-0")[-1:]}
    tree.until("e-0", "closed", invocation=number)
    gate.say("c-0")
    tree.until("e-0", "rejected", member="c-0", invocation=number)
    gate.say("c-5")
    handle = asked.result(PATIENCE)
    assert len(handle) == 5
    assert same(tree.result(mean, handle), mean_of([1, 2], [3, 4, 5]))
    assert tree.recorded()["lost"]["c-0"].startswith("c-0 has no value of ")


def test_a_member_killed_while_the_value_was_made(brought: Callable[..., Brought], gate: Gate) -> None:
    """The others' values are there; one that is gone has none of a default either, and yet the list is whole."""
    collect = {"EDGE_AGGREGATORS": {"quorum": "60%", "deadline": "40s"}}
    tree = brought(fan_out({"EDGE_AGGREGATORS": 2, "CLIENTS": 3}, collect=collect))
    asked = tree.ask(made, range(6), orders(6, c_1=gate.order("c-1")))
    gate.say("c-1", "kill")
    handle = asked.result(PATIENCE)
    assert len(handle) == 5
    assert same(tree.result(mean, handle), mean_of([0, 2], [3, 4, 5]))
    assert same(tree.result(mean, handle.with_default(update(1, 5))), mean_of([0, 2], [3, 4, 5]))
    whole = handle.with_default(update(1, 5)).fetch()
    assert [same(v, update(n, 5)) for n, v in enumerate(whole)] == [True] * 6
    values = tree.result(made, range(6), orders(6))
    tree.kill(tree.tree.topology.members(CLIENTS)[3].name)
    assert len(values) == 5 and len(values.fetch()) == len(values) == 4, "one more was lost since"


# -- nodes in this process


@tierfed.federated_computation(NUMBERS)
def doubled(x: Any) -> Any:
    """Twice what clients have."""
    return x + x


@tierfed.federated_computation(NUMBERS)
def total(x: Any) -> Any:
    """The sum of what clients have."""
    return tierfed.federated_sum(x)


@tierfed.py_computation(np.float32, returns=np.float32)
def none_above_nine(x: Any) -> Any:
    """The same, or an error."""
    if x > 9:
        raise ValueError("more than nine")
    return x


@tierfed.federated_computation(NUMBERS)
def checked(x: Any) -> Any:
    """What clients have, kept, unless one of them has more than nine: it is looked at after the others keep theirs."""
    looked_at = tierfed.federated_map(none_above_nine, x)
    return x + x, tierfed.federated_sum(looked_at)


def four(quorum: str = "100%") -> Topology:
    """Two edges of two clients."""
    collect = {name: {"quorum": quorum, "deadline": "30s"} for name in ("SERVER", "EDGE_AGGREGATORS")}
    return fan_out({"EDGE_AGGREGATORS": 2, "CLIENTS": 2}, collect=collect)


async def invoked(tree: Served, program: Any, *args: Any, of: str | None = None) -> Any:
    """The held result of a program whose results stay, given values, or what is kept under a key."""
    recalled = frozenset({"arg"} if of is not None else ())
    compiled = tierfed.compile(program, tree.topology.hierarchy, recalled=recalled)
    held = hold_arguments(program.type_signature, args, {}) if of is None else Placed(NUMBERS, None)  # type: ignore[arg-type]
    found, _ = await tree.driver.invoke(compiled, held, {} if of is None else {"arg": of})
    return found


def kept(tree: Served) -> int:
    """How many values members keep, or would if their round were committed."""
    return sum(len(node.kept) + len(node.kept._pending) for node in tree.nodes.values())


def test_a_call_that_fails_or_is_cancelled_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of neither is anything kept when it is over, and what it would have been called cannot be read."""

    names: set[str] = set()
    keep = Kept.keep

    def noted(kept: Kept, attempt: Any, key: str, t: Any, value: Any) -> None:
        names.add(key)
        keep(kept, attempt, key, t, value)

    monkeypatch.setattr(Kept, "keep", noted)

    async def main() -> None:
        async with served(MemoryTransport(delay=lambda leg: 0.01), four()) as tree:
            with pytest.raises(tierfed.RoundFailed, match="more than nine"):
                await invoked(tree, checked, [1, 2, 3, 10])
            await until(lambda: not kept(tree))
            under_way = asyncio.create_task(invoked(tree, doubled, [1, 2, 3, 4]))
            await until(lambda: any(node.kept._pending for node in tree.nodes.values()))
            under_way.cancel()
            await until(lambda: not kept(tree))
            assert len({name.partition(":")[0] for name in names}) == 2, "both had come to keep something"
            for name in tuple(names):
                with pytest.raises(tierfed.RoundFailed, match=f"has no value of float32 kept as {name}"):
                    await invoked(tree, total, of=name)
            good = await invoked(tree, doubled, [1, 2, 3, 4])
            assert isinstance(good, KeptAt)
            assert await invoked(tree, total, of=good.key) == 20

    virtually(main())


def test_a_member_that_was_away_forgets_what_was_released_meanwhile() -> None:
    """It hears of it when it is back; what is still held it still has."""

    async def main() -> None:
        async with served(MemoryTransport(), four()) as tree:
            first, second = await invoked(tree, doubled, [1, 2, 3, 4]), await invoked(tree, doubled, [1, 1, 1, 1])
            await until(lambda: kept(tree) == 8 and not any(n.kept._pending for n in tree.nodes.values()))
            edge = tree.nodes[tree.topology.members("EDGE_AGGREGATORS")[1].name]
            link = edge._parent.control
            assert link is not None
            link.close()
            await until(lambda: not tree.nodes[tree.root].connected(edge.me.name))
            tree.driver.release([first.key])
            await until(lambda: kept(tree) == 4 and tree.nodes[tree.root].connected(edge.me.name))
            assert await invoked(tree, total, of=second.key) == 8
            tree.driver.release([second.key])
            await until(lambda: not kept(tree))

    virtually(main())


def test_a_driver_that_goes_away_in_the_middle_leaves_nothing() -> None:
    """What was kept and what was being made is forgotten everywhere, by those who are away too."""

    async def main() -> None:
        net = MemoryTransport(delay=lambda leg: 0.05 if leg.plane == "bulk" else 0.001)
        async with served(net, four()) as tree:
            await invoked(tree, doubled, [1, 2, 3, 4])
            task = asyncio.create_task(invoked(tree, doubled, [1, 2, 3, 4]))
            await until(lambda: any(node.kept._pending for node in tree.nodes.values()) and kept(tree) > 4)
            away = next(node for node in tree.nodes.values() if not node.me.children)
            assert away._parent.control is not None
            away._parent.control.close()
            await tree.driver.close()
            with pytest.raises(tierfed.RoundFailed):
                await task
            await until(lambda: not kept(tree))
            tree.driver = type(tree.driver)()
            await tree.driver.connect(tree.addresses[tree.root], RUN, over=net)

    virtually(main())


# -- what is not believed


@pytest.mark.parametrize("recalled", [[], "x", {"arg": 3}, {"arg": None}, 7], ids=repr)
def test_a_beginning_with_keys_that_are_none(recalled: Any) -> None:
    """Whoever begins with such keys is cut off, and is told why."""

    async def main() -> None:
        async with served(MemoryTransport(), four()) as tree:
            assert await invoked(tree, total, [1, 2, 3, 4]) == 10
            hash_ = tierfed.compile(total, tree.topology.hierarchy).hash
            begin = {"kind": "begin", "inv": "x-1", "att": 1, "hash": hash_, "budget": 5.0, "recalled": recalled}
            assert tree.driver._bulk is not None
            await tree.driver._bulk.send_all([(begin, ())])
            await until(lambda: tree.driver._bulk is None)
            with pytest.raises(tierfed.RoundFailed) as error:
                await invoked(tree, total, [1, 2, 3, 4])
            assert error.value.what == f"the root {tree.root} is gone: a beginning with keys that cannot be read"

    virtually(main())


@pytest.mark.parametrize("said", [{}, {"keys": "all"}, {"keys": [3]}, {"keys": {"a": 1}}], ids=repr)
def test_a_release_that_cannot_be_read(said: Any) -> None:
    """Nothing is forgotten because of it before the link is cut."""

    async def main() -> None:
        async with served(MemoryTransport(), four()) as tree:
            await invoked(tree, doubled, [1, 2, 3, 4])
            await until(lambda: sum(len(node.kept) for node in tree.nodes.values()) == 4)
            root = tree.nodes[tree.root]
            forgotten: list[Any] = []
            release = type(root.kept).release

            for node in tree.nodes.values():
                node.kept.release = lambda keys, own=node.kept: (forgotten.append(keys), release(own, keys))  # type: ignore[method-assign, misc]
            assert tree.driver._control is not None
            tree.driver._control.post({"kind": "release", **said})
            await until(lambda: tree.driver._control is None)
            await until(lambda: not kept(tree))
            assert set(forgotten) == {None}, "all, since the driver is gone"

    virtually(main())


def test_a_child_cannot_release_what_others_keep() -> None:
    """A release is a parent's to say; a child that says it is cut off, and its siblings have what they had."""

    async def main() -> None:
        topology = four("50%")
        evil_one = topology.members(CLIENTS)[3].name
        async with served(MemoryTransport(), topology, absent=[evil_one]) as tree:
            evil = await tree.joined(evil_one)
            asked = asyncio.create_task(invoked(tree, doubled, [1, 2, 3, 4]))
            await evil.begun()
            evil.control.post({"kind": "release", "keys": []})
            error = await evil.closed()
            assert error is None or "a 'release' of a child" in error.what
            found = await asked
            await until(lambda: sum(len(node.kept) for node in tree.nodes.values()) == 3)
            assert await invoked(tree, total, of=found.key) == 12

    virtually(main())


def test_what_is_kept_is_asked_for_as_what_it_is() -> None:
    """A key of a value of another type is refused by the member that has it."""

    @tierfed.federated_computation(tierfed.FederatedType(np.int32, CLIENTS))
    def counted(x: Any) -> Any:
        return tierfed.federated_sum(x)

    async def main() -> None:
        async with served(MemoryTransport(), four()) as tree:
            found = await invoked(tree, doubled, [1, 2, 3, 4])
            with pytest.raises(tierfed.TierfedError) as error:
                await invoked(tree, counted, of=found.key)
            assert f"the value kept as {found.key} is of float32, and is asked for as int32" in error.value.what
            assert await invoked(tree, total, of=found.key) == 20

    virtually(main())


def test_a_member_whose_link_breaks_between_value_and_commit_has_none() -> None:
    """It was counted, and never heard that it was: it has no value, says so, and joins with a default."""

    def slow_ends(leg: Leg) -> float:
        return 2.0 if leg.plane == "control" and not leg.rises else 0.001

    async def main() -> None:
        async with served(MemoryTransport(delay=slow_ends), four("50%")) as tree:
            found = await invoked(tree, doubled, [1, 2, 3, 4])
            unlucky = tree.nodes[tree.topology.members(CLIENTS)[2].name]
            assert unlucky.kept._pending
            assert unlucky._parent.bulk is not None
            unlucky._parent.bulk.close()
            parent = tree.nodes[unlucky.me.parent or ""]
            await until(lambda: not parent.connected(unlucky.me.name))
            await until(lambda: parent.connected(unlucky.me.name))
            assert not kept_by(unlucky)
            assert await invoked(tree, total, of=found.key) == 14

    virtually(main())


def kept_by(node: Any) -> int:
    """How many values a node keeps, or would."""
    return len(node.kept) + len(node.kept._pending)
