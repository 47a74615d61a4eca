"""Random faults on a virtual clock: broken connections, partitions, slow links, rounds given up; a schedule a seed.

    server ── e-0 ── c-0 c-1        half of the children are enough, deadlines of 5 s
           └─ e-1 ── c-2 c-3

Whatever happens: no round hangs; one that gives a result gives the mean over the members that
the histories say are in it, bit for bit; the histories break none of the checker's rules; and
when all is healed, the next round is whole and nothing of the others is left.

A failing seed replays: `pytest tests/faults/test_schedules.py -k "schedule and 17"`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from pathlib import Path

import numpy as np
import pytest
from fault_served import Served, mean_over, served, until, virtually
from history_checker import load

import tierfed
from tierfed.node.memory_transport import Leg, MemoryTransport
from tierfed.topology import tree as fan_out

SIZES = (5, 9000)
PROGRAMS = {size: mean_over(size) for size in SIZES}
VALUES = {size: [np.random.default_rng(n).standard_normal(size).astype(np.float32) for n in range(4)] for size in SIZES}
COLLECT = {name: {"quorum": "50%", "deadline": "5s"} for name in ("SERVER", "EDGE_AGGREGATORS")}
TREE = fan_out({"EDGE_AGGREGATORS": 2, "CLIENTS": 2}, collect=COLLECT)
EDGES = [m.name for m in TREE.members(tierfed.placement("EDGE_AGGREGATORS"))]
CLIENTS = [m.name for m in TREE.members(tierfed.CLIENTS)]


class Weather(MemoryTransport):
    """A network with moods."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(delay=self._delay)
        self.chance = chance
        self.away: set[str] = set()
        self.slow: dict[str, float] = {}

    def _delay(self, leg: Leg) -> float:
        return math.inf if leg.child in self.away else self.slow.get(leg.child, 0.2) * self.chance.random()

    def turn(self) -> None:
        """Something happens."""
        who = self.chance.choice([*EDGES, *CLIENTS, *CLIENTS])
        match self.chance.choice(["sever", "sever", "one link", "away", "back", "slow", "quick"]):
            case "sever":
                self.sever(who)
            case "one link":
                self.sever(who, self.chance.choice(["bulk", "control"]))
            case "away":
                self.away.add(who)
            case "back":
                self._back(who)
            case "slow":
                self.slow[who] = self.chance.choice([0.5, 1.0, 3.0])
            case "quick":
                self.slow.pop(who, None)

    def _back(self, who: str) -> None:
        """End a partition: what was written in it is lost, so its connections are reset."""
        if who in self.away:
            self.away.discard(who)
            self.sever(who)

    def heal(self) -> None:
        """All is well again."""
        for who in sorted(self.away):
            self._back(who)
        self.slow.clear()


async def storm(net: Weather) -> None:
    """Let things happen, for ever."""
    while True:
        await asyncio.sleep(net.chance.expovariate(2.0))
        net.turn()


def expected(folder: Path, invocation: str, root: str, size: int) -> np.ndarray:
    """The mean over those who are in, as the histories tell it, folded in plain numpy."""
    histories = load(folder)

    def contributors(node: str) -> list[str]:
        (closed,) = [e for e in histories[node] if e["event"] == "closed" and e["invocation"] == invocation]
        return list(closed["contributors"])

    total, count = None, 0
    for edge in contributors(root):
        partial = np.zeros(size, np.float32)
        for client in contributors(edge):
            partial = partial + VALUES[size][CLIENTS.index(client)]
            count += 1
        total = partial if total is None else total + partial
    assert total is not None
    return total / np.float32(count)


async def rounds(tree: Served, net: Weather, folder: Path) -> int:
    """Run rounds in bad weather, now and then two at once or one that is given up; return how many gave a result."""
    good = 0
    for _ in range(6):
        sizes = net.chance.choices(SIZES, k=net.chance.choice([1, 1, 2]))
        asked = [(size, tree.ask(PROGRAMS[size], VALUES[size])) for size in sizes]
        if net.chance.random() < 0.2:
            await asyncio.sleep(net.chance.random() * 3)
            asked[0][1].cancel()
        for size, task in asked:
            await asyncio.sleep(net.chance.random())
            with contextlib.suppress(tierfed.RoundFailed, asyncio.CancelledError):
                result, record = await task
                assert result.tobytes() == expected(folder, record.name, tree.root, size).tobytes()
                good += 1
    return good


def at_one(tree: Served, name: str) -> bool:
    """Whether a node and its parent know the same connection."""
    node, parent = tree.nodes[name], tree.nodes[tree.topology.node(name).parent or ""]
    return node.ready.is_set() and parent.connected(name) and parent.epoch(name) == node._epoch


@pytest.mark.parametrize("seed", [*range(30), *(pytest.param(n, marks=pytest.mark.slow) for n in range(30, 1030))])
def test_schedule(seed: int, tmp_path: Path) -> None:
    """Every seed keeps the promises of the module's docstring."""

    async def main() -> None:
        net = Weather(random.Random(seed))
        async with served(net, TREE, histories=tmp_path) as tree:
            weather = asyncio.create_task(storm(net))
            await asyncio.wait_for(rounds(tree, net, tmp_path), 6 * 60)
            weather.cancel()
            net.heal()
            await asyncio.sleep(30)  # silence is noticed
            await until(lambda: all(at_one(tree, name) for name in (*EDGES, *CLIENTS)))
            result, record = await tree.ask(PROGRAMS[5], VALUES[5])
            assert record.lost == {} and record.counts["CLIENTS"] == 4
            assert result.tobytes() == expected(tmp_path, record.name, tree.root, 5).tobytes()
            await until(lambda: not any(node._invocations or node._told for node in tree.nodes.values()))

    virtually(main())


def test_schedules_are_no_idle_talk() -> None:
    """Over a few seeds there are rounds with losses, rounds that fail and rounds that are whole."""
    seen: set[str] = set()

    async def main(seed: int) -> None:
        net = Weather(random.Random(seed))
        async with served(net, TREE) as tree:
            weather = asyncio.create_task(storm(net))
            for _ in range(6):
                try:
                    _, record = await tree.ask(PROGRAMS[5], VALUES[5])
                    seen.add("lost" if record.lost else "whole")
                    seen.update(reason.split(":")[0] for reason in record.lost.values())
                except tierfed.RoundFailed:
                    seen.add("failed")
            weather.cancel()

    for seed in range(8):
        virtually(main(seed))
    assert {"lost", "whole", "failed", "deadline", "its connection was lost", "it is not connected"} <= seen
