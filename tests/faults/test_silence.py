"""Silence: peers that are there and say nothing, partitions, and processes that were stopped; on a virtual clock.

server ── c-0 c-1        beats every 3 s, silent for 15 s is dead
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

import numpy as np
import pytest
from fault_served import mean_over, served, until, virtually

import tierfed
from tierfed.node.memory_transport import Leg, MemoryTransport
from tierfed.node.pulse import PULSE, Listening, Pulse
from tierfed.topology import Topology
from tierfed.topology import tree as fan_out

FEW = mean_over(5)
VALUES = [np.full(5, n, np.float32) for n in (1, 2)]


def two(quorum: str = "100%", deadline: str = "60s") -> Topology:
    """A server and two clients."""
    return fan_out({"CLIENTS": 2}, collect={"SERVER": {"quorum": quorum, "deadline": deadline}})


class Net(MemoryTransport):
    """A network in which what is written on the links of those `away` is lost; for the `deaf`, downwards alone."""

    def __init__(self) -> None:
        super().__init__(delay=self._delay)
        self.away: set[str] = set()
        self.deaf: set[str] = set()

    def _delay(self, leg: Leg) -> float:
        return math.inf if leg.child in self.away or (leg.child in self.deaf and not leg.rises) else 0.001


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("way", ["both ways", "downwards"])
def test_a_partition_is_noticed_and_heals(way: str) -> None:
    """A child without a sign of life is lost after 15 s and a beat; healed, it comes back, and is in the next round."""

    async def main() -> None:
        net = Net()
        async with served(net, two("50%")) as tree:
            first, second = (m.name for m in tree.topology.members(tierfed.CLIENTS))
            await asyncio.sleep(100)  # beats keep everybody
            assert all(tree.nodes[tree.root].connected(name) for name in (first, second))
            (net.away if way == "both ways" else net.deaf).add(first)
            start = now()
            result, record = await tree.ask(FEW, VALUES)
            assert result.tolist() == [2.0] * 5 and 12 < now() - start <= 15 + 2 * 3
            assert list(record.lost) == [first]
            assert "no sign of life for 15 s" in record.lost[first]
            net.away.clear(), net.deaf.clear()
            await until(lambda: tree.nodes[tree.root].connected(first))
            assert tree.nodes[tree.root].epoch(first) > 0
            result, record = await tree.ask(FEW, VALUES)
            assert result.tolist() == [1.5] * 5 and record.lost == {}

    virtually(main())


def test_a_silent_root_is_no_reason_to_wait() -> None:
    """The driver gives a root up that says nothing, and says so; so it does with every later round."""

    async def main() -> None:
        net = Net()
        async with served(net, two()) as tree:
            net.away.add("driver")
            start = now()
            for _ in range(2):
                error = await tree.failure(tree.ask(FEW, VALUES))
                assert str(error) == (
                    "driver: the root server is gone: no sign of life for 15 s\n"
                    "  to mend: see `tierfed logs server`, then bring the tree up again"
                )
            assert now() - start <= 15 + 2 * 3

    virtually(main())


def test_an_idle_driver_keeps_its_root() -> None:
    """For hours nothing is invoked: beats keep the connection, and the next round works."""

    async def main() -> None:
        async with served(Net(), two()) as tree:
            await asyncio.sleep(10_000)
            result, _ = await tree.ask(FEW, VALUES)
            assert result.tolist() == [1.5] * 5

    virtually(main())


def test_who_was_stopped_blames_nobody() -> None:
    """A beat that comes late by another one says that this process stood still, not that all its peers died."""
    listening = Listening(PULSE, 0.0)
    for name in ("a", "b"):
        listening.heard(name, 0.0)
    assert [listening.silent(t) for t in (3.0, 6.0, 9.0, 12.0, 15.0)] == [[]] * 5
    listening.heard("b", 17.0)
    assert listening.silent(18.0) == ["a"]
    assert listening.silent(1000.0) == []  # stopped in between
    assert listening.silent(1003.0) == []
    assert [listening.silent(1000.0 + t) for t in (6, 9, 12, 15)] == [[]] * 4
    assert sorted(listening.silent(1018.0)) == ["a", "b"]
    listening.forget("a")
    assert listening.silent(1019.0) == ["b"]


def test_the_pulse_is_an_argument() -> None:
    """With beats of a tenth of a second, silence is noticed in half a second."""

    async def main() -> None:
        net = Net()
        async with served(net, two("50%"), pulse=Pulse(beat=0.1, silence=0.5)) as tree:
            first = tree.topology.members(tierfed.CLIENTS)[0].name
            net.away.add(first)
            start = now()
            _, record = await tree.ask(FEW, VALUES)
            assert now() - start < 1.0 and record.lost[first].endswith("no sign of life for 0.5 s")
            net.away.clear()

    virtually(main())


def test_a_parent_that_is_gone_for_long_is_found_again() -> None:
    """A child whose parent does not answer for minutes dials on, and never twice under one epoch."""

    async def main() -> None:
        net = Net()
        async with served(net, two("50%")) as tree:
            first = tree.topology.members(tierfed.CLIENTS)[0].name
            net.away.add(first)
            await asyncio.sleep(600)
            assert not tree.nodes[tree.root].connected(first)
            net.away.clear()
            await until(lambda: tree.nodes[tree.root].connected(first))
            result, record = await tree.ask(FEW, VALUES)
            assert result.tolist() == [1.5] * 5 and record.lost == {}

    virtually(main())


def test_a_deadline_holds_whatever_is_silent() -> None:
    """With a deadline shorter than the silence it is the deadline that decides, to the second."""

    async def main() -> None:
        net = Net()
        async with served(net, two("50%", deadline="5s")) as tree:
            first = tree.topology.members(tierfed.CLIENTS)[0].name
            net.away.add(first)
            start = now()
            _, record = await tree.ask(FEW, VALUES)
            assert 4.9 < now() - start < 5.2 and record.lost == {first: "deadline"}

    virtually(main())


@pytest.mark.parametrize("deadline", [10.0, 2.0])
def test_an_edge_is_done_before_its_parent_gives_it_up(deadline: float) -> None:
    """With one deadline for all tiers, a silent client costs its edge nothing: the partial is at the root in time."""

    async def main() -> None:
        collect = {name: {"quorum": "50%", "deadline": f"{deadline:g}s"} for name in ("SERVER", "EDGE_AGGREGATORS")}
        topology = fan_out({"EDGE_AGGREGATORS": 2, "CLIENTS": 2}, collect=collect)
        silent = topology.members(tierfed.CLIENTS)[0].name
        async with served(MemoryTransport(delay=lambda leg: 0.01), topology, absent=[silent]) as tree:
            await tree.joined(silent)
            start = now()
            result, record = await tree.ask(FEW, [np.full(5, n, np.float32) for n in (9, 1, 2, 3)])
            assert result.tolist() == [2.0] * 5 and record.lost == {silent: "deadline"}
            assert record.counts == {"CLIENTS": 3, "EDGE_AGGREGATORS": 2, "SERVER": 1}
            assert 0.8 * deadline < now() - start < deadline

    virtually(main())


@pytest.mark.parametrize("quorum", ["50%", "100%"])
def test_a_member_lost_between_two_phases_is_in_the_first_alone(quorum: str) -> None:
    """Each aggregate is exact over its own set: the mean had everybody, the sum after it those who were left."""

    @tierfed.federated_computation(tierfed.FederatedType(np.float32, tierfed.CLIENTS))
    def spread(values: Any) -> Any:
        mean = tierfed.federated_mean(values)
        off = tierfed.federated_map(lambda p: p[0] - p[1], (values, tierfed.federated_broadcast(mean)))
        return {"mean": mean, "off": tierfed.federated_sum(off)}

    async def main() -> None:
        net = MemoryTransport(delay=lambda leg: 0.01)
        topology = fan_out({"CLIENTS": 3}, collect={"SERVER": {"quorum": quorum, "deadline": "30s"}})
        first = topology.members(tierfed.CLIENTS)[0].name
        async with served(net, topology) as tree:
            asked = tree.ask(spread, [1, 2, 6])
            root = tree.nodes[tree.root]
            await until(lambda: any(i.round.closed for i in root._invocations.values()))
            net.sever(first)
            if quorum == "50%":
                (mean, off), record = await asked
                assert (mean, off) == (3.0, (2 - 3) + (6 - 3)) and record.counts["CLIENTS"] == 2
                assert record.lost[first].startswith("its connection was lost: ")
            else:
                error = await tree.failure(asked)
                assert error.what.startswith(f"2 of 3 CLIENTS left, quorum is 3; the first lost is {first}: its conn")
            await until(lambda: root.connected(first))
            (mean, off), record = await tree.ask(spread, [1, 2, 6])
            assert (mean, off) == (3.0, 0.0) and record.lost == {}
            assert now() < 5

    virtually(main())
