"""Slots: an aggregator whose children send more than there is memory for, on a virtual clock."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
from fault_served import Served, mean_over, served, virtually

import tierfed
from tierfed.node.memory_transport import MemoryTransport
from tierfed.node.receive_buffers import ReceiveBuffers
from tierfed.topology import Topology
from tierfed.topology import tree as fan_out

MB = 1024 * 1024
ELEMENTS = 3 * 2**18  # a message of 3 MB: a slab and three chunks
BUDGET = 12 * MB


def wide(count: int, quorum: str = "100%", deadline: str = "100s") -> Topology:
    """One server and its clients."""
    return fan_out({"CLIENTS": count}, collect={"SERVER": {"quorum": quorum, "deadline": deadline}})


class Watched(ReceiveBuffers):
    """Receive buffers that note how much was lent at once, in memory and in the file."""

    def __init__(self, spool: Path) -> None:
        super().__init__(BUDGET, spool)
        self.most = self.most_spooled = 0

    def allocate(self, header: dict[str, Any], nbytes: int) -> memoryview:
        """Lend, and note."""
        view = super().allocate(header, nbytes)
        self.most = max(self.most, self.in_use + self.spooled)
        self.most_spooled = max(self.most_spooled, self.spooled)
        return view


def values_for(count: int) -> list[Any]:
    """Values of which a sum depends on the order in which they are added."""
    rng = np.random.default_rng(5)
    return [rng.standard_normal(ELEMENTS, np.float32) for _ in range(count)]


def mean_of(values: list[Any]) -> Any:
    """Their mean, added in order, as an aggregator adds."""
    total = np.zeros(ELEMENTS, np.float32)
    for value in values:
        total = total + value
    return total / np.float32(len(values))


async def all_sent(tree: Served, program: Any, values: list[Any], first: float = 0.0) -> tuple[Any, Any, float]:
    """Have all clients, which the test plays, send at once, but the first `first` seconds later.

    Returns the result, its record and when it was there.
    """
    loop = asyncio.get_running_loop()
    names = [m.name for m in tree.topology.members(tierfed.CLIENTS)]
    members = [await tree.joined(name) for name in names]
    compiled = tree.compiled(program)
    asked = tree.ask(program, [np.zeros(ELEMENTS, np.float32)] * len(names))
    begins = [await member.begun() for member in members]
    start = loop.time()

    async def send(index: int) -> None:
        if index == 0 and first:
            await asyncio.sleep(first)
        await members[index].send(members[index].upload(compiled, begins[index], values[index]))

    await asyncio.gather(*(send(i) for i in range(len(names))))
    sent = loop.time() - start
    result, record = await asked
    return result, record, sent


def test_memory_stays_within_the_budget_whatever_the_number_of_children(tmp_path: Path) -> None:
    """32 messages of 3 MB through 12 MB: nothing is spooled, all are in, and the bits are those of member order."""

    async def main() -> None:
        buffers = Watched(tmp_path)
        topology = wide(32)
        clients = [m.name for m in topology.members(tierfed.CLIENTS)]
        async with served(MemoryTransport(), topology, absent=clients, buffers={"server": buffers}) as tree:
            values = values_for(32)
            result, record, _ = await all_sent(tree, mean_over(ELEMENTS), values)
            assert not record.lost
            assert np.asarray(result).tobytes() == mean_of(values).tobytes()
            assert buffers.most_spooled == 0
            assert 6 * MB <= buffers.most <= BUDGET and buffers.peak <= BUDGET

    virtually(main())
