"""Silence: peers that are there and say nothing, partitions, and processes that were stopped; on a virtual clock.

server ── c-0 c-1        beats every 3 s, silent for 15 s is dead
"""

from __future__ import annotations

import asyncio
import math

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
