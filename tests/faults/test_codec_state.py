"""What codecs keep between rounds, on a virtual clock: when rounds fail, words are lost, members leave and come back.

server ── e-0 ── c-0 c-1      or      server ── c-0 c-1 c-2
       └─ e-1 ── c-2 c-3
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_served import Served, served, until, virtually

import tierfed
from tierfed import CLIENTS, SERVER, FederatedType
from tierfed.errors import LeafError, RoundFailed
from tierfed.node.fates import Part, heard, said
from tierfed.node.memory_transport import Leg, MemoryTransport
from tierfed.node.saving import folder_of
from tierfed.topology import Topology
from tierfed.topology import tree as fan_out
from tierfed.topology.plan import predicted

SIZE = 5000
MODEL = tierfed.to_type(f"float32[{SIZE}]")
UP, DOWN = {"up": "error_feedback+sign"}, {"down": "delta+int8"}
FAILS, FAILS_LATER = 1e6, 2e6


@tierfed.py_computation(MODEL, returns=MODEL)
def work(x: Any) -> Any:
    """A member's update; the member that is told to fails."""
    if x[0] == FAILS:
        raise ValueError("told to")
    return x


@tierfed.py_computation(MODEL, MODEL, returns=MODEL)
def later(m: Any, x: Any) -> Any:
    """A member's second update."""
    if x[0] == FAILS_LATER:
        raise ValueError("told to, later")
    return 2 * x


@tierfed.federated_computation(FederatedType(MODEL, CLIENTS))
def total(x: Any) -> Any:
    """The sum of the members' updates."""
    return tierfed.federated_sum(tierfed.federated_map(work, x))


@tierfed.federated_computation(FederatedType(MODEL, CLIENTS))
def two_phases(x: Any) -> Any:
    """A sum, and another one that each member knows the first for."""
    first = tierfed.federated_sum(x)
    both = tierfed.federated_zip((tierfed.federated_broadcast(first), x))
    return first, tierfed.federated_sum(tierfed.federated_map(later, both))


@tierfed.federated_computation(FederatedType(MODEL, CLIENTS), np.int32)
def in_turns(x: Any, turns: Any) -> Any:
    """The sum of the members' updates, once a turn."""
    start = tierfed.federated_value(np.zeros(SIZE, np.float32), SERVER)
    return tierfed.federated_iterate(lambda m: m + tierfed.federated_sum(x), start, turns, at=SERVER)


@tierfed.py_computation(MODEL, np.int32, returns=MODEL)
def seen(m: Any, order: Any) -> Any:
    """The model as a member has got it; the member that is told to fails."""
    if order:
        raise ValueError("told to")
    return m


@tierfed.federated_computation(FederatedType(MODEL, SERVER, all_equal=True), FederatedType(np.int32, CLIENTS))
def spread(m: Any, orders: Any) -> Any:
    """The sum of the model as each member has got it."""
    both = tierfed.federated_zip((tierfed.federated_broadcast(m), orders))
    return tierfed.federated_sum(tierfed.federated_map(lambda p: seen(p[0], p[1]), both))


@tierfed.py_computation(MODEL, returns=MODEL)
def grown(m: Any) -> Any:
    """A model, a little larger."""
    return m * np.float32(1.01)


@tierfed.federated_computation(FederatedType(MODEL, SERVER, all_equal=True), np.int32)
def spread_in_turns(m: Any, turns: Any) -> Any:
    """A model that grows by what comes back of it, sent down in each turn."""

    def turn(m: Any) -> Any:
        return tierfed.federated_mean(tierfed.federated_map(grown, tierfed.federated_broadcast(m)))

    return tierfed.federated_iterate(turn, m, turns, at=SERVER)


def two_tiers(codec: dict[str, str], quorum: str = "100%", clients: int = 3) -> Topology:
    """Clients of the root."""
    collect = {"SERVER": {"quorum": quorum, "deadline": "10s"}}
    return fan_out({"CLIENTS": clients}, collect=collect, codec={"CLIENTS": codec})


def three_tiers(codec: dict[str, str], quorum: str = "100%") -> Topology:
    """Two edges of two clients."""
    collect = {name: {"quorum": quorum, "deadline": "10s"} for name in ("SERVER", "EDGE_AGGREGATORS")}
    codecs = {"CLIENTS": codec, "EDGE_AGGREGATORS": codec}
    return fan_out({"EDGE_AGGREGATORS": 2, "CLIENTS": 2}, collect=collect, codec=codecs)


def clients(topology: Topology) -> list[str]:
    """Their names, in order."""
    return [m.name for m in topology.members(CLIENTS)]


def updates(seed: int, count: int, failing: dict[int, float] | None = None) -> list[Any]:
    """One update a member; of those in `failing`, the first element says when the member fails."""
    rng = np.random.default_rng(seed)
    found = [rng.standard_normal(SIZE).astype(np.float32) for _ in range(count)]
    for index, order in (failing or {}).items():
        found[index][0] = order
    return found


def left(tree: Served, site: str | None = None) -> Any:
    """The sum of all residuals, or of those of a site."""
    found = [a for n in tree.nodes.values() for k, a in n.keeping.residuals.all() if site in (None, k.site)]
    return sum((a.astype(np.float64) for a in found), np.zeros(SIZE))


def residuals(tree: Served) -> dict[str, bytes]:
    """The bits of every node's residuals."""
    return {
        name: b"".join(a.tobytes() for _, a in sorted(node.keeping.residuals.all(), key=lambda row: row[0].site))
        for name, node in tree.nodes.items()
    }


def summed(values: Sequence[Any]) -> Any:
    """The sum in float64."""
    return sum((v.astype(np.float64) for v in values), np.zeros(SIZE))


def assert_nothing_lost(results: Sequence[Any], given: Sequence[Any], rest: Any) -> None:
    """Σ results + residuals = Σ given, to the rounding of float32; and the codec did lose something on the way."""
    assert np.abs(summed(results) + rest - summed(given)).max() < 2e-5
    assert np.abs(summed(results) - summed(given)).max() > 0.5


async def over(tree: Served) -> None:
    """Wait until no node is in a round, and none waits for a word about one."""
    await until(lambda: not any(n._invocations or n.keeping.residuals._open for n in tree.nodes.values()))


async def reconnected(tree: Served, net: MemoryTransport, name: str) -> None:
    """Cut a node's connections, and wait until it is back."""
    parent = tree.nodes[tree.topology.node(name).parent or ""]
    before = parent.epoch(name)
    net.sever(name)
    await until(lambda: parent.epoch(name) > before and parent.connected(name) and tree.nodes[name].ready.is_set())


def test_residuals_of_every_tier_make_good_what_was_lost() -> None:
    """Over rounds, the results and what is still here are the updates; clients and edges feed back."""

    async def main() -> None:
        topology = three_tiers(UP)
        async with served(MemoryTransport(), topology) as tree:
            results, given = [], []
            for number in range(4):
                given += updates(number, 4)
                result, _ = await tree.ask(total, given[-4:])
                results.append(result)
                await over(tree)
                assert_nothing_lost(results, given, left(tree))
            kept = {name: len(list(node.keeping.residuals.all())) for name, node in tree.nodes.items()}
            assert kept == {name: int(name != tree.root) for name in tree.nodes}

    virtually(main())


@pytest.mark.parametrize("slow", ["control", "bulk"])
def test_no_message_is_coded_before_it_is_known_how_the_last_one_ended(slow: str) -> None:
    """Whichever link is slower, rounds in a row have the results that they have on quick ones."""

    async def results(net: MemoryTransport) -> list[bytes]:
        async with served(net, three_tiers(UP)) as tree:
            return [(await tree.ask(total, updates(n, 4)))[0].tobytes() for n in range(3)]

    def delay(leg: Leg) -> float:
        return 1.0 if leg.plane == slow else 0.001

    assert virtually(results(MemoryTransport(delay=delay))) == virtually(results(MemoryTransport()))


def test_a_failed_round_leaves_everything_as_it_was() -> None:
    """A round below its quorum is as if it had never been: residuals, and the rounds after it, bit for bit."""

    async def main(fails: bool) -> list[bytes]:
        async with served(MemoryTransport(), three_tiers(UP)) as tree:
            first, _ = await tree.ask(total, updates(0, 4))
            await over(tree)
            before = residuals(tree)
            if fails:
                error = await tree.failure(tree.ask(total, updates(1, 4, {3: FAILS})))
                assert isinstance(error, LeafError | RoundFailed) and "told to" in str(error)
                await over(tree)
                assert residuals(tree) == before
            second, _ = await tree.ask(total, updates(2, 4))
            return [first.tobytes(), second.tobytes()]

    assert virtually(main(True)) == virtually(main(False))


def test_a_member_that_was_lost_in_one_round_is_as_it_was_in_the_next() -> None:
    """Only what counted is in results and residuals, also where it was an edge that was lost, with its clients."""

    async def main() -> None:
        topology = three_tiers(UP, "50%")
        names = clients(topology)
        net = MemoryTransport()
        async with served(net, topology) as tree:
            results, given = [], []
            for number, failing in enumerate([{}, {0: FAILS}, {2: FAILS, 3: FAILS}, {}]):
                values = updates(number, 4, failing)
                result, record = await tree.ask(total, values)
                assert all(names[i] in str(record.lost) or "edge" in str(record.lost) for i in failing)
                results.append(result)
                given += [v for i, v in enumerate(values) if i not in failing]
                await over(tree)
                assert_nothing_lost(results, given, left(tree))

    virtually(main())


def test_a_member_lost_later_has_fed_back_what_counted_before() -> None:
    """Lost in the second phase after the first one counted: its residual of that is used up, the other one not."""

    async def main() -> None:
        async with served(MemoryTransport(), two_tiers(UP, "60%")) as tree:
            sums: dict[str, list[Any]] = {"first": [], "second": []}
            given: dict[str, list[Any]] = {"first": [], "second": []}
            for number, failing in enumerate([{}, {1: FAILS_LATER}, {}]):
                values = updates(number, 3, failing)
                (one, two), record = await tree.ask(two_phases, values)
                assert len(record.lost) == len(failing)
                sums["first"].append(one)
                sums["second"].append(two)
                given["first"] += values
                given["second"] += [2 * v for i, v in enumerate(values) if i not in failing]
                await over(tree)
                sites = sorted({k.site for n in tree.nodes.values() for k, _ in n.keeping.residuals.all()})
                assert len(sites) == 2
                for site, phase in zip(sites, ("first", "second"), strict=True):
                    scale = 1e6 if phase == "first" else 1
                    got = summed(sums[phase]) + left(tree, site)
                    assert np.abs(got - summed(given[phase])).max() < 2e-5 * scale

    virtually(main())


def test_turns_of_a_loop_feed_each_other() -> None:
    """Five messages of one site in one invocation chain their residuals; the last one's is that of the next round."""

    async def main() -> None:
        async with served(MemoryTransport(), three_tiers(UP)) as tree:
            results, given = [], []
            for number in range(2):
                values = updates(number, 4)
                result, _ = await tree.ask(in_turns, values, 5)
                results.append(result)
                given += 5 * values
                await over(tree)
                assert_nothing_lost(results, given, left(tree))

    virtually(main())


def test_two_rounds_at_once_share_what_was_lost_without_counting_it_twice() -> None:
    """Of two rounds at once of one program, one takes the residuals, the other starts from nothing; it all adds up."""

    async def main() -> None:
        async with served(MemoryTransport(delay=lambda leg: 0.5), three_tiers(UP)) as tree:
            results, given = [], []
            for number in range(3):
                values = [updates(10 * number + i, 4) for i in range(2)]
                for task in [tree.ask(total, v) for v in values]:
                    result, _ = await task
                    results.append(result)
                given += [v for one in values for v in one]
                await over(tree)
                assert_nothing_lost(results, given, left(tree))

    virtually(main())


@pytest.mark.parametrize("counts", [True, False])
def test_a_word_that_was_lost_is_said_again(counts: bool) -> None:
    """A client loses its connection when its update is whole, and hears at the next beginning how far it counted."""

    async def main() -> None:
        topology = two_tiers(UP, clients=2)
        one, other = clients(topology)
        net = MemoryTransport(delay=lambda leg: 2.0 if leg.child == other and leg.rises else 0.01)
        async with served(net, topology) as tree:
            first = updates(0, 2)
            results, given = [(await tree.ask(total, first))[0]], list(first)
            await over(tree)
            second = updates(1, 2, {} if counts else {1: FAILS})
            asked = tree.ask(total, second)
            root = tree.nodes[tree.root]
            await until(lambda: any(i.round.collections()[0].whole(one) for i in root._invocations.values()))
            net.sever(one)
            if counts:
                results.append((await asked)[0])
                given += second
            else:
                await tree.failure(asked)
            await until(lambda: tree.nodes[one].ready.is_set() and root.connected(one))
            if counts:
                assert tree.nodes[one].keeping.residuals._open  # nobody has said how it ended
            third = updates(2, 2)
            results.append((await tree.ask(total, third))[0])
            given += third
            await over(tree)
            assert_nothing_lost(results, given, left(tree))

    virtually(main())


def test_another_codec_or_program_starts_from_nothing() -> None:
    """Residuals are those of one program, and small tensors have none."""
    small = tierfed.to_type("float32[100]")

    @tierfed.federated_computation(FederatedType((MODEL, small), CLIENTS))
    def other(x: Any) -> Any:
        return tierfed.federated_sum(x)

    async def main() -> None:
        async with served(MemoryTransport(), two_tiers(UP)) as tree:
            await tree.ask(total, updates(0, 3))
            tiny = np.ones(100, np.float32)
            (_, ones), _ = await tree.ask(other, [(v, tiny) for v in updates(1, 3)])
            assert ones.tolist() == [3.0] * 100
            await over(tree)
            client = tree.nodes[clients(tree.topology)[0]]
            keys = [key for key, _ in client.keeping.residuals.all()]
            assert len(keys) == 2 and len({key.program for key in keys}) == 2
            assert {key.codec for key in keys} == {"error_feedback+sign"} and len({key.path for key in keys}) == 2

    virtually(main())


def test_a_run_that_goes_on_has_the_results_of_one_that_was_never_interrupted(tmp_path: Path) -> None:
    """Four rounds, and two and two with all nodes new in between, give the same bits; without the files they do not."""

    async def rounds(numbers: Sequence[int], before: Path | None, after: Path | None) -> list[bytes]:
        async with served(MemoryTransport(delay=lambda leg: 0.1), three_tiers(UP)) as tree:
            for name, node in tree.nodes.items():
                node._checkpoints = after
                if before is not None:
                    node.keeping.restore(before, name)
            results = [(await tree.ask(total, updates(number, 4)))[0].tobytes() for number in numbers]
            if after is not None:
                await tree.driver.save(1)
                files = sorted(p.stem for p in folder_of(after, 1).iterdir())
                assert files == sorted(name for name in tree.nodes if name != tree.root)
            return results

    whole = virtually(rounds(range(4), None, None))
    assert virtually(rounds([0, 1], None, tmp_path)) == whole[:2]
    assert virtually(rounds([2, 3], folder_of(tmp_path, 1), None)) == whole[2:]
    assert virtually(rounds([2, 3], None, None)) != whole[2:]


def test_a_tree_saves_without_those_who_are_gone(tmp_path: Path) -> None:
    """A member that cannot be reached does not hold up a checkpoint; one that is lost meanwhile neither."""

    async def main() -> None:
        topology = two_tiers(UP, "60%")
        one, other, third = clients(topology)
        slow: dict[str, float] = {}
        net = MemoryTransport(delay=lambda leg: slow.get(leg.child, 0.01) if leg.plane == "control" else 0.01)
        async with served(net, topology, absent=[other]) as tree:
            for node in tree.nodes.values():
                node._checkpoints = tmp_path
            await tree.ask(total, updates(0, 3))
            slow[third] = 5.0
            saving = asyncio.create_task(tree.driver.save(0))
            await until(lambda: tree.nodes[tree.root]._unsaved == {0: {third}})
            net.sever(third)
            await saving
            assert sorted(p.stem for p in folder_of(tmp_path, 0).iterdir()) == sorted([one, third])

    virtually(main())


# -- differences


def moved(m: Any, seed: int) -> Any:
    """A model a small step further."""
    return m + np.float32(0.01) * np.random.default_rng(seed).standard_normal(SIZE).astype(np.float32)


def start() -> Any:
    """A model."""
    return np.random.default_rng(99).standard_normal(SIZE).astype(np.float32)


def test_a_model_goes_down_in_full_once_and_then_as_differences() -> None:
    """At every tier the first is exact, later ones are int8's size and err as int8 does on what has changed."""

    async def main() -> None:
        async with served(MemoryTransport(), three_tiers(DOWN)) as tree:
            m, x = start(), [0] * 4
            sent = []
            for number in range(4):
                result, record = await tree.ask(spread, m, x)
                sent.append(record.traffic["CLIENTS"][2])
                error = np.abs(result / 4 - m).max()
                assert error == 0 if number == 0 else 0 < error < 2 * 0.05 / 254
                m = moved(m, number)
            assert sent[0] > 3.5 * sent[1] and sent[1] == sent[2] == sent[3]

    virtually(main())


def test_what_is_coded_off_the_loop_is_kept_alike() -> None:
    """Tensors of two chunks and more than a megabyte, both ways: bases agree, and nothing is lost for good."""
    large = tierfed.to_type("float32[300000]")

    @tierfed.py_computation(large, returns=large)
    def as_it_is(m: Any) -> Any:
        return m

    @tierfed.federated_computation(FederatedType(large, SERVER, all_equal=True))
    def there_and_back(m: Any) -> Any:
        return tierfed.federated_sum(tierfed.federated_map(as_it_is, tierfed.federated_broadcast(m)))

    async def main() -> None:
        async with served(MemoryTransport(), two_tiers({**UP, **DOWN}, clients=2)) as tree:
            m, got = np.random.default_rng(0).standard_normal(300_000).astype(np.float32), []
            for _ in range(2):
                got.append((await tree.ask(there_and_back, m))[0].astype(np.float64))
            await over(tree)
            rest = sum(a.astype(np.float64) for n in tree.nodes.values() for _, a in n.keeping.residuals.all())
            assert np.abs(sum(got) + rest - 4.0 * m).max() < 1e-5 and np.abs(sum(got) - 4.0 * m).max() > 1
            names = {b.name for n in tree.nodes.values() for b in n.keeping.received._held.values()}
            assert names == {b.name for b in tree.nodes[tree.root].keeping.sent._held.values()}

    virtually(main())


def test_a_failed_round_leaves_the_bases_as_they_were() -> None:
    """After a round that failed, differences are to what was before it, at both ends."""

    async def main(fails: bool) -> list[bytes]:
        async with served(MemoryTransport(), three_tiers(DOWN)) as tree:
            m, x = start(), [0] * 4
            first, _ = await tree.ask(spread, m, x)
            if fails:
                await tree.failure(tree.ask(spread, moved(m, 7), [0, 0, 0, 1]))
            second, record = await tree.ask(spread, moved(m, 8), x)
            assert record.traffic["CLIENTS"][2] < 40_000  # with what the edge that failed had not told
            return [first.tobytes(), second.tobytes()]

    assert virtually(main(True)) == virtually(main(False))


@pytest.mark.parametrize("how", ["missed the first", "came back", "missed a round"])
def test_who_lacks_the_base_gets_what_the_others_have(how: str) -> None:
    """One child in full, the others as differences, all the same value; from then on one message for all."""

    async def main() -> None:
        topology = two_tiers(DOWN, "60%")
        names = clients(topology)
        net = MemoryTransport()
        async with served(net, topology) as tree:
            m, x = start(), [0] * 3
            await tree.ask(spread, m, [0, 1, 0] if how == "missed the first" else x)
            if how == "missed a round":
                await tree.ask(spread, m := moved(m, 0), [0, 1, 0])
            if how == "came back":
                await reconnected(tree, net, names[1])
            m = moved(m, 1)
            result, record = await tree.ask(spread, m, x)
            assert record.lost == {} and 20_480 + 2 * 5_000 < record.traffic["CLIENTS"][2] < 20_480 + 2 * 7_000
            error = np.abs(result / 3 - m).max()
            assert 0 < error < 2 * 0.05 / 254  # also the one in full has the others' value
            m = moved(m, 2)
            result, record = await tree.ask(spread, m, x)
            assert record.traffic["CLIENTS"][2] < 3 * 7_000
            assert len({next(iter(tree.nodes[n].keeping.received._held.values())).name for n in names}) == 1

    virtually(main())


def test_a_difference_to_what_is_not_here_is_refused_and_mended() -> None:
    """A child whose base is gone, or is another, says so, is lost to that round, and gets the next one in full."""

    async def main(spoil: str) -> None:
        topology = two_tiers(DOWN, "60%")
        names = clients(topology)
        async with served(MemoryTransport(), topology) as tree:
            m, x = start(), [0] * 3
            await tree.ask(spread, m, x)
            await until(lambda: not any(n._invocations for n in tree.nodes.values()))
            held = tree.nodes[names[2]].keeping.received._held
            (key,) = held
            if spoil == "gone":
                held.clear()
            else:
                held[key].name = bytes(16)
            result, record = await tree.ask(spread, moved(m, 1), x)
            assert list(record.lost) == [names[2]]
            here = "none" if spoil == "gone" else "00000000"
            assert "a difference to base " in record.lost[names[2]]
            assert record.lost[names[2]].endswith(f", here is {here}")
            result, record = await tree.ask(spread, moved(m, 2), x)
            assert record.lost == {} and np.abs(result / 3 - moved(m, 2)).max() < 0.001

    for spoil in ("gone", "another"):
        virtually(main(spoil))


def test_a_round_that_fails_for_want_of_a_base_is_followed_by_one_that_does_not() -> None:
    """Where every member is needed, the round fails with what the child says, and the next one is whole."""

    async def main() -> None:
        topology = two_tiers(DOWN)
        async with served(MemoryTransport(), topology) as tree:
            m = start()
            await tree.ask(spread, m, [0] * 3)
            await until(lambda: not any(n._invocations for n in tree.nodes.values()))
            tree.nodes[clients(topology)[2]].keeping.received._held.clear()
            error = await tree.failure(tree.ask(spread, moved(m, 1), [0] * 3))
            assert isinstance(error, RoundFailed) and ", here is none" in error.what
            assert "the parent sends the next one in full" in str(error)
            result, record = await tree.ask(spread, moved(m, 2), [0] * 3)
            assert record.lost == {} and np.abs(result / 3 - moved(m, 2)).max() < 0.001

    virtually(main())


def test_turns_of_a_loop_differ_from_the_turn_before() -> None:
    """In a loop the first turn of the first round is in full, all others are differences."""

    async def main() -> None:
        async with served(MemoryTransport(), three_tiers(DOWN)) as tree:
            m = start()
            sent = []
            for _ in range(2):
                result, record = await tree.ask(spread_in_turns, m, 4)
                np.testing.assert_allclose(result, m * 1.01**4, atol=0.01)
                sent.append(record.traffic["CLIENTS"][2])
            assert 4 * 20_000 < sent[0] < 4 * 20_900 + 12 * 6_000 and sent[1] < 16 * 6_000

    virtually(main())


def test_what_is_fed_back_on_the_way_down_is_one_residual_a_codec() -> None:
    """A broadcast is coded once, with one residual; over rounds its errors cancel for whoever has got all of them."""

    async def main() -> None:
        async with served(MemoryTransport(), two_tiers({"down": "error_feedback+sign"})) as tree:
            m, x = start(), [0] * 3
            got = [(await tree.ask(spread, m, x))[0] / 3 for _ in range(5)]
            await over(tree)
            ((key, rest),) = tree.nodes[tree.root].keeping.residuals.all()
            assert key.link == "> error_feedback+sign"
            assert np.abs(sum(g.astype(np.float64) for g in got) + rest - 5.0 * m).max() < 1e-4

    virtually(main())


def test_traffic_is_as_predicted() -> None:
    """From the second round on, a tier's bytes are what `tierfed show` tells: int8's, and the name of the base."""

    async def main() -> None:
        topology = three_tiers({"up": "error_feedback+sign", "down": "delta+int8"})
        async with served(MemoryTransport(), topology) as tree:
            m = start()
            for number in range(2):
                _, record = await tree.ask(spread, moved(m, number), [0] * 4)
            for tier, found in predicted(topology, tree.compiled(spread)).items():
                assert found is not None and found.exact_up and found.exact_down
                up, raw_up, down, raw_down, ups, downs = record.traffic[tier]
                assert (raw_up, raw_down) == (found.raw_up, found.raw_down)
                assert 0 <= found.up - up <= 64 * ups and 0 <= found.down - down <= 64 * downs

    virtually(main())


def test_rules_give_some_tensors_what_others_have_not() -> None:
    """By their names, one tensor has its errors fed back, one goes as a difference, one in another codec."""
    rules = {"default": "bf16", "*/fed": "error_feedback+sign", "*/moved": "delta+int8"}
    three = tierfed.to_type(f"<fed=float32[{SIZE}],moved=float32[{SIZE}],plain=float32[{SIZE}]>")

    @tierfed.py_computation(three, returns=three)
    def as_it_is(m: Any) -> Any:
        return m

    @tierfed.federated_computation(FederatedType(three, SERVER, all_equal=True))
    def shown(m: Any) -> Any:
        return tierfed.federated_mean(tierfed.federated_map(as_it_is, tierfed.federated_broadcast(m)))

    async def main() -> None:
        topology = fan_out({"CLIENTS": 2}, codec={"CLIENTS": {"down": rules}})
        async with served(MemoryTransport(), topology) as tree:
            m, got = start(), []
            for number in range(3):
                result, _ = await tree.ask(shown, {"fed": m, "moved": moved(m, number), "plain": m})
                got.append(result)
            await over(tree)
            root = tree.nodes[tree.root].keeping
            ((key, rest),) = root.residuals.all()
            assert key.path.endswith("fed") and key.codec == "error_feedback+sign"
            assert np.abs(summed([g[0] for g in got]) + rest - 3.0 * m).max() < 1e-4
            assert got[0][1].tobytes() == moved(m, 0).tobytes() and 0 < np.abs(got[2][1] - moved(m, 2)).max() < 1e-3
            (base,) = root.sent._held.values()
            assert [path.rpartition(".")[2] for path in base.arrays] == ["moved"]
            assert 0 < np.abs(got[2][2] - m).max() < 0.02

    virtually(main())


def test_senders_who_agree_offer_what_they_feed_back() -> None:
    """Under thc the range agreed on is that of the updates with their residuals, and nothing is lost for good."""

    async def main() -> None:
        async with served(MemoryTransport(), three_tiers({"up": "error_feedback+thc"})) as tree:
            results, given = [], []
            for number in range(3):
                given += updates(number, 4)
                results.append((await tree.ask(total, given[-4:]))[0])
                await over(tree)
                assert np.abs(summed(results) + left(tree) - summed(given)).max() < 2e-4
            assert np.abs(summed(results) - summed(given)).max() > 0.1

    virtually(main())


# -- how far an attempt counts


def test_a_child_counts_as_far_as_its_parent_and_itself() -> None:
    """What a child sent counts if it was in the sums of its parent, and these were in those above."""
    at = {phase: ((phase, 0, 0, 0),) for phase in range(1, 9)}
    part = Part([at[4], at[8]], {"c-0": None, "c-1": at[7], "c-2": at[3]})
    assert {c: part.of(c, True) for c in part.out} == {"c-0": True, "c-1": at[7], "c-2": at[3]}
    assert {c: part.of(c, at[8]) for c in part.out} == {"c-0": at[4], "c-1": at[4], "c-2": at[3]}
    assert {c: part.of(c, at[4]) for c in part.out} == dict.fromkeys(part.out, False)
    assert {c: part.of(c, False) for c in part.out} == dict.fromkeys(part.out, False)


@pytest.mark.parametrize("word", [True, False, None, ((3, 1, 0, 7), (3, 0, 0, 0))])
def test_what_is_said_is_heard(word: Any) -> None:
    """Each fate comes back from a header."""
    assert heard(said(word), "c-0") == word


@pytest.mark.parametrize("word", ["yes", 1, [], [[1, 2, 3]], [[1, 2, 3, "4"]], [[1, 0, 0, 0]] * 33, [True]])
def test_what_says_nothing_is_refused(word: Any) -> None:
    """Anything else from a parent is an error that names the node."""
    with pytest.raises(tierfed.ProtocolError, match="c-0: an end that does not say how far it counts"):
        heard(word, "c-0")
