"""Cohorts in a tree: the result is the program's meaning over those drawn, whoever is slow, lost or away.

server ── e-0 … ── c-0 … c-4        whom each parent draws is in its history, which the checker recomputes
       ── e-1 …
"""

from __future__ import annotations

import asyncio
import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_served import Member, Served, mean_over, served, until, virtually
from fault_trees import same
from history_checker import load

import tierfed
from tierfed.backends.local import LocalContext
from tierfed.backends.native.driver import Record
from tierfed.jobs.recorder import Recorder
from tierfed.language.arguments import hold_arguments
from tierfed.language.placed import Placed
from tierfed.node.cohort import draws
from tierfed.node.memory_transport import MemoryTransport
from tierfed.placements import Member as TreeMember
from tierfed.placements import Tree
from tierfed.topology import Topology, assignments
from tierfed.topology import tree as fan_out
from tierfed.topology.plan import predicted

MEAN = mean_over(5)
WIDE = 5000
NUMBERS = tierfed.FederatedType(np.float32, tierfed.CLIENTS)


@tierfed.py_computation((np.float32, [WIDE]), np.float32, returns=(np.float32, [WIDE]))
def added(model: Any, by: Any) -> Any:
    """The model, moved."""
    return model + by


@tierfed.federated_computation(NUMBERS)
def doubled(x: Any) -> Any:
    """Twice what clients have, kept by them."""
    return x + x


@tierfed.federated_computation(NUMBERS)
def listed(x: Any) -> Any:
    """What clients have, in a list at the server."""
    return tierfed.federated_collect(x)


@tierfed.federated_computation(NUMBERS, NUMBERS)
def both(x: Any, y: Any) -> Any:
    """The sum of two values that clients have."""
    return tierfed.federated_sum(x + y)


def two_tiers() -> Topology:
    """Two of three edges, and at each two of its five clients."""
    cohort = {"EDGE_AGGREGATORS": {"select": 2}, "CLIENTS": {"select": "40%"}}
    return fan_out({"EDGE_AGGREGATORS": 3, "CLIENTS": 5}, cohort=cohort, seed=11)


def clients(select: int, over: str = "100%", quorum: str = "100%", count: int = 5) -> Topology:
    """A server over clients of whom so many are to count."""
    cohort = {"CLIENTS": {"select": select, "over": over}}
    collect = {"SERVER": {"quorum": quorum, "deadline": "40s"}}
    return fan_out({"CLIENTS": count}, cohort=cohort, collect=collect, seed=5)


def updates(count: int) -> list[np.ndarray[Any, Any]]:
    """Any bits, so that the order of a sum shows."""
    return list(np.random.default_rng(1).standard_normal((count, 5)).astype(np.float32))


def names(topology: Topology) -> list[str]:
    """The clients, in member order."""
    return [m.name for m in topology.members(tierfed.CLIENTS)]


def drawn_at(topology: Topology, number: int, present: Sequence[str] | None = None) -> tuple[str, ...]:
    """Whom the root draws of its clients."""
    me = assignments(topology)[0]
    return draws(me, f"s-{number}", names(topology) if present is None else present)["CLIENTS"].members


def over(topology: Topology, contributors: set[str], program: Any, values: Sequence[Any]) -> Any:
    """What the reference gives over these members alone."""

    def kept(member: TreeMember) -> TreeMember:
        return TreeMember(
            member.name, member.placement, tuple(kept(c) for c in member.children if c.name in contributors)
        )

    rows = [value for name, value in zip(names(topology), values, strict=True) if name in contributors]
    return LocalContext(Tree(topology.hierarchy, kept(topology.tree.root))).invoke(program, rows)


def contributors(history: dict[str, list[dict[str, Any]]], number: int) -> set[str]:
    """All that are behind the result of an invocation: who is in, at parents that are in."""
    closed = {
        node: event["contributors"]
        for node, events in history.items()
        for event in events
        if event["event"] == "closed" and event["invocation"].endswith(f"-{number}")
    }
    found, todo = set[str](), list(closed.get("server", ()))
    while todo:
        found.add(name := todo.pop())
        todo += closed.get(name, ())
    return found


def test_the_result_is_that_over_those_drawn_at_two_tiers(tmp_path: Path) -> None:
    """Bit for bit that of the reference over them; nobody is lost, and the bytes are those predicted."""
    topology, values = two_tiers(), updates(15)

    async def main() -> list[tuple[Any, Record]]:
        async with served(MemoryTransport(), topology, histories=tmp_path) as tree:
            found = [await tree.ask(MEAN, values) for _ in range(4)]
            times = Counter(name for k in range(1, 5) for name in contributors(load(tmp_path), k))
            times[tree.root] = 4
            await until(lambda: all(len(node._over) == times[name] for name, node in tree.nodes.items()))
            for tier, expected in predicted(topology, tree.compiled(MEAN)).items():
                counted = found[0][1].traffic[tier]
                assert expected is not None and counted[1] == expected.raw_up and counted[3] == expected.raw_down
        return found

    found = virtually(main())
    groups = [contributors(load(tmp_path), number) for number in range(1, 5)]
    for (result, record), group in zip(found, groups, strict=True):
        assert same(result, over(topology, group, MEAN, values))
        assert record.counts == {"SERVER": 1, "EDGE_AGGREGATORS": 2, "CLIENTS": 4} and record.lost == {}
        assert record.drawn == {"EDGE_AGGREGATORS": 2, "CLIENTS": 4} and len(group) == 6
    assert len(set(map(frozenset, groups))) > 1, "another cohort in another round"


def test_who_is_not_drawn_hears_nothing(tmp_path: Path) -> None:
    """No program, no beginning, no message, no end; it is not lost, and may be drawn in the next one."""
    topology = clients(3)
    undrawn = next(n for n in names(topology) if n not in drawn_at(topology, 1))

    async def main() -> None:
        async with served(MemoryTransport(), topology, absent=[undrawn], histories=tmp_path) as tree:
            member = await tree.joined(undrawn)
            result, record = await tree.ask(MEAN, updates(5))
            assert same(result, over(topology, set(drawn_at(topology, 1)), MEAN, updates(5)))
            assert record.lost == {} and member.came == [] and member.told == []

    virtually(main())


async def with_a_straggler(tree: Served, topology: Topology) -> tuple[Member, str, asyncio.Task[Any]]:
    """Begin a round of which the test plays the first that is drawn."""
    first = drawn_at(topology, 1)[0]
    member = await tree.joined(first)
    return member, first, tree.ask(MEAN, updates(5))


def test_the_first_to_finish_count(tmp_path: Path) -> None:
    """Three are drawn of whom two count: the round does not wait for the third, who is refused with the reason."""
    topology = clients(2, over="150%")
    first, *others = drawn_at(topology, 1)

    async def main() -> None:
        async with served(MemoryTransport(), topology, absent=[first], histories=tmp_path) as tree:
            member, _, asked = await with_a_straggler(tree, topology)
            begin = await member.begun()
            began = asyncio.get_running_loop().time()
            result, record = await asked
            assert asyncio.get_running_loop().time() - began < 1, "the deadline is forty seconds"
            assert same(result, over(topology, set(others), MEAN, updates(5)))
            assert record.lost == {} and record.counts["CLIENTS"] == 2 and record.drawn == {"CLIENTS": 3}
            end = await member.answer(kind="end", inv=begin["inv"])
            assert end["committed"] is False and end["reason"] == "the round was committed without it"
            await member.send(member.upload(tree.compiled(MEAN), begin, updates(5)[0]))
            assert (await member.answer(kind="rejected"))["why"] == "ROUND_CLOSED"

    virtually(main())
    [closed] = [e for e in load(tmp_path)["server"] if e["event"] == "closed"]
    assert closed["lost"] == {first: "enough others were first"} and closed["contributors"] == others


def test_others_fill_in_for_one_that_is_lost(tmp_path: Path) -> None:
    """One of three is lost, two are to count, and the quorum of all of them holds."""
    topology = clients(2, over="150%")
    first, *others = drawn_at(topology, 1)

    async def main() -> Record:
        async with served(MemoryTransport(), topology, absent=[first], histories=tmp_path) as tree:
            member, _, asked = await with_a_straggler(tree, topology)
            await member.begun()
            member.leave()
            result, record = await asked
            assert same(result, over(topology, set(others), MEAN, updates(5)))
            return record

    assert virtually(main()).counts["CLIENTS"] == 2


def test_who_is_away_is_not_drawn(tmp_path: Path) -> None:
    """All that are there take part if they are fewer than the target; below the quorum the round fails, and says it."""
    topology = clients(4, quorum="75%")

    async def main(away: Sequence[str]) -> tuple[Any, Record]:
        async with served(MemoryTransport(), topology, absent=away, histories=tmp_path / str(len(away))) as tree:
            return await tree.ask(MEAN, updates(5))

    everybody = names(topology)
    for away in (everybody[:1], everybody[:2]):
        result, record = virtually(main(away))
        there = set(everybody) - set(away)
        assert same(result, over(topology, there, MEAN, updates(5)))
        assert record.lost == {} and record.drawn == {"CLIENTS": len(there)}
    with pytest.raises(tierfed.RoundFailed) as error:
        virtually(main(everybody[:3]))
    assert error.value.what.startswith("2 of 4 CLIENTS left, quorum is 3; the first lost is")
    assert "it is not connected: never connected" in error.value.what


@tierfed.federated_computation(
    tierfed.FederatedType((np.float32, [WIDE]), tierfed.SERVER, all_equal=True),
    tierfed.FederatedType(np.float32, tierfed.CLIENTS),
)
def moved(model: Any, by: Any) -> Any:
    """The model, moved by the mean of what clients have."""
    return tierfed.federated_mean(tierfed.federated_map(added, (tierfed.federated_broadcast(model), by)))


@pytest.mark.parametrize("up", ["none", "thc(bits=4)"])
def test_codecs_with_a_memory(tmp_path: Path, up: str) -> None:
    """Differences to what a client got last, whenever that was: who was not drawn for long gets what it lacks."""
    codec = {name: {"up": up, "down": "delta"} for name in ("EDGE_AGGREGATORS", "CLIENTS")}
    cohort = {"EDGE_AGGREGATORS": {"select": 2}, "CLIENTS": {"select": "40%", "over": "150%"}}
    topology = fan_out({"EDGE_AGGREGATORS": 3, "CLIENTS": 5}, cohort=cohort, codec=codec, seed=11)

    async def main() -> None:
        async with served(MemoryTransport(), topology, histories=tmp_path) as tree:
            model = np.arange(WIDE, dtype=np.float32)  # whole numbers, so that differences are exact
            for number in range(6):
                result, record = await tree.ask(moved, model, [2.0] * 15)
                if up == "none":
                    assert same(result, model + np.float32(2))
                assert record.counts["CLIENTS"] == 4 and record.lost == {} and record.drawn["CLIENTS"] == 6
                model = model + np.float32(number)

    virtually(main())


async def invoked(tree: Served, program: Any, *args: Any, keep: bool = True, **of: str) -> Any:
    """The held result of a program, given values, or what is kept under keys."""
    compiled = tierfed.compile(program, tree.topology.hierarchy, recalled=frozenset(of), keep=keep)
    t = program.type_signature
    held = hold_arguments(t, args, {}) if not of else Placed(NUMBERS, None)  # type: ignore[arg-type]
    held = (held, held) if len(of) > 1 else held
    return (await tree.driver.invoke(compiled, held, of, everyone=not keep))[0]


def test_what_is_kept_is_asked_of_those_who_have_it(tmp_path: Path) -> None:
    """A handle of a cohort: it is fetched from all of them, and a program that takes it draws of them alone."""
    topology = clients(3, quorum="60%", count=9)

    async def main() -> None:
        async with served(MemoryTransport(), topology, histories=tmp_path) as tree:
            root = tree.nodes[tree.root]
            kept = await invoked(tree, doubled, list(range(9)))
            had = [2.0 * names(topology).index(n) for n in drawn_at(topology, 1)]
            await until(lambda: len(root.having) == 1)
            for _ in range(3):  # each draws anew, and no others have it
                assert list(await invoked(tree, listed, arg=kept.key)) == had
            assert list(await invoked(tree, listed, keep=False, arg=kept.key)) == had
            other = await invoked(tree, doubled, list(range(9)))
            common = [n for n in drawn_at(topology, 1) if n in drawn_at(topology, 6)]
            assert len(common) < 2, "the quorum"
            with pytest.raises(tierfed.RoundFailed) as error:
                await invoked(tree, both, **{"arg.0": kept.key, "arg.1": other.key})
            assert error.value.what == f"{len(common)} of 9 CLIENTS have what the program takes, quorum is 2"
            tree.driver.release([kept.key, other.key])
            await until(lambda: not len(root.having))

    virtually(main())


def test_rounds_say_how_many_were_drawn(tmp_path: Path) -> None:
    """A column for each tier that has a cohort, and none where there is none."""
    recorder = Recorder(tmp_path, two_tiers(), lambda event: None)
    recorder.round_begins(0, 1)
    counts = {"SERVER": 1, "EDGE_AGGREGATORS": 2, "CLIENTS": 3}
    drawn = {"EDGE_AGGREGATORS": 2, "CLIENTS": 4}
    recorder.record("step", Record("s-1", counts=counts, lost={"c": "deadline"}, drawn=drawn))
    recorder.round_ends()
    recorder.close()
    with open(tmp_path / "rounds.csv", encoding="utf-8") as file:
        [row] = csv.DictReader(file)
    found = {key: row[key] for key in ("contributors", "lost", "drawn.EDGE_AGGREGATORS", "drawn.CLIENTS")}
    assert found == {"contributors": "3", "lost": "1", "drawn.EDGE_AGGREGATORS": "2", "drawn.CLIENTS": "4"}
    (tmp_path / "flat").mkdir()
    other = Recorder(tmp_path / "flat", fan_out({"CLIENTS": 2}), lambda event: None)
    other.round_begins(0, 1)
    other.round_ends()
    other.close()
    assert "drawn" not in (tmp_path / "flat" / "rounds.csv").read_text()
