"""Slots: an aggregator whose children send more than there is memory for, on a virtual clock."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_served import Member, Served, mean_over, served, until, virtually

import tierfed
from tierfed.node import slots
from tierfed.node.memory_transport import Leg, MemoryTransport
from tierfed.node.pulse import Pulse
from tierfed.node.receive_buffers import ReceiveBuffers
from tierfed.topology import Topology
from tierfed.topology import tree as fan_out

MB = 1024 * 1024
ELEMENTS = 3 * 2**18  # a message of 3 MB: a slab and three chunks
BUDGET = 12 * MB + MB // 2
SLOW = Pulse(beat=500.0, silence=2000.0)  # members that the test plays give no signs of life


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
    """32 messages of 3 MB through 12.5 MB: nothing is spooled, all are in, and the bits are those of member order."""

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


async def joined(tree: Served) -> list[Member]:
    """Return all clients, played by the test."""
    return [await tree.joined(m.name) for m in tree.topology.members(tierfed.CLIENTS)]


def scene(tmp_path: Path, count: int, play: Any, quorum: str = "100%", deadline: str = "100s") -> Watched:
    """Run `play(tree, members)` over a server with `count` clients, and return its buffers."""
    buffers = Watched(tmp_path)

    async def main() -> None:
        topology = wide(count, quorum, deadline)
        clients = [m.name for m in topology.members(tierfed.CLIENTS)]
        async with served(
            MemoryTransport(), topology, absent=clients, buffers={"server": buffers}, pulse=SLOW, histories=tmp_path
        ) as tree:
            await play(tree, await joined(tree))
            own = tree.nodes["server"].slots
            await until(lambda: not own.held and own._coming == 0 and not own._left)
            await until(lambda: buffers.in_use == buffers.spooled == 0)

    virtually(main())
    return buffers


def asked(tree: Served, count: int) -> Any:
    """Ask for the mean over `count` clients."""
    return tree.ask(mean_over(ELEMENTS), [np.zeros(ELEMENTS, np.float32)] * count)


def sending(tree: Served, member: Member, begin: Any, value: Any) -> Any:
    """Begin to send a client's contribution."""
    return asyncio.ensure_future(member.send(member.upload(tree.compiled(mean_over(ELEMENTS)), begin, value)))


def test_a_silent_first_member_delays_uploads_by_a_second(tmp_path: Path) -> None:
    """Until then what fits waits in memory; then all are let on, to the spool file, and the bits are the same."""

    async def play(tree: Served, members: list[Member]) -> None:
        loop, values, result = asyncio.get_running_loop(), values_for(8), asked(tree, 8)
        begins = [await member.begun() for member in members]
        start = loop.time()
        tasks = [sending(tree, *three) for three in zip(members[1:], begins[1:], values[1:], strict=True)]
        await until(lambda: len(tree.nodes["server"].slots.held) == 4)
        assert tree.nodes["server"]._buffers.spooled == 0
        await asyncio.gather(*tasks)
        assert 0.9 < loop.time() - start < 2.1
        await asyncio.sleep(20)  # the first is silent all that time
        await sending(tree, members[0], begins[0], values[0])
        mean, record = await result
        assert not record.lost and np.asarray(mean).tobytes() == mean_of(values).tobytes()

    buffers = scene(tmp_path, 8, play)
    assert buffers.most_spooled > 0 and buffers.peak <= BUDGET


def test_a_trickle_holds_others_for_a_tenth_of_the_time(tmp_path: Path) -> None:
    """The first member takes ten of twenty seconds, a little at a time: the others wait for two, and nobody is lost."""

    async def play(tree: Served, members: list[Member]) -> None:
        loop, values, result = asyncio.get_running_loop(), values_for(8), asked(tree, 8)
        begins = [await member.begun() for member in members]
        start, writes = loop.time(), itertools.count()

        def delay(leg: Leg) -> float:
            slow = leg.child == members[0].name and leg.rises and leg.plane == "bulk"
            return start + 0.8 * next(writes) - loop.time() if slow else 0.0

        tree.net.delay = delay
        own = tree.nodes["server"].slots
        tasks = [sending(tree, *three) for three in zip(members, begins, values, strict=True)]
        await asyncio.sleep(1.5)
        assert len(own.held) == 5
        await asyncio.gather(*tasks[1:])
        assert 1.9 < loop.time() - start < 3.2
        await tasks[0]
        assert loop.time() - start > 7
        mean, record = await result
        assert not record.lost and np.asarray(mean).tobytes() == mean_of(values).tobytes()

    scene(tmp_path, 8, play, deadline="20s")


def test_a_held_child_that_dies_is_lost_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Its control link tells; its place is free for others, and when it is back it is there for the next round."""

    async def play(tree: Served, members: list[Member]) -> None:
        values, result = values_for(8), asked(tree, 8)
        begins = [await member.begun() for member in members]
        tasks = [sending(tree, *three) for three in zip(members[1:], begins[1:], values[1:], strict=True)]
        own = tree.nodes["server"].slots
        held = await until(lambda: len(own.held) == 4 and own.held)
        dead = next(i for i, m in enumerate(members) if m.name in held)
        members[dead].control.close()
        await until(lambda: members[dead].name not in own.held)
        tasks.append(sending(tree, members[0], begins[0], values[0]))
        await asyncio.gather(*tasks, return_exceptions=True)
        mean, record = await result
        assert list(record.lost) == [members[dead].name]
        rest = [v for i, v in enumerate(values) if i != dead]
        assert np.asarray(mean).tobytes() == mean_of(rest).tobytes()
        members[dead] = await tree.joined(members[dead].name, 1)
        again = asked(tree, 8)
        begins = [await member.begun() for member in members]
        tasks = [sending(tree, *three) for three in zip(members, begins, values, strict=True)]
        mean, record = await again
        await asyncio.gather(*tasks)
        assert not record.lost and np.asarray(mean).tobytes() == mean_of(values).tobytes()

    scene(tmp_path, 8, play, "50%")


def test_a_short_deadline_loses_nobody_who_was_held(tmp_path: Path) -> None:
    """With two seconds in all and a first member who never sends, the others are held for a fifth of one."""

    async def play(tree: Served, members: list[Member]) -> None:
        loop, values, result = asyncio.get_running_loop(), values_for(8), asked(tree, 8)
        begins = [await member.begun() for member in members]
        start = loop.time()
        tasks = [sending(tree, *three) for three in zip(members[1:], begins[1:], values[1:], strict=True)]
        await asyncio.gather(*tasks)
        assert loop.time() - start < 0.5
        mean, record = await result
        assert list(record.lost.values()) == ["deadline"] and list(record.lost) == [members[0].name]
        assert np.asarray(mean).tobytes() == mean_of(values[1:]).tobytes()

    scene(tmp_path, 8, play, "50%", "2s")


def test_two_rounds_at_once_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """One waits for its first member, and has all memory; the other comes behind it on all links, undelayed."""

    async def play(tree: Served, members: list[Member]) -> None:
        loop, values, compiled = asyncio.get_running_loop(), values_for(8), tree.compiled(mean_over(ELEMENTS))
        waits, goes = asked(tree, 8), asked(tree, 8)
        begins = [sorted([await m.begun(), await m.begun()], key=lambda begin: begin["inv"]) for m in members]
        start = loop.time()

        async def send(index: int, *which: int) -> None:
            for one in which:
                await members[index].send(members[index].upload(compiled, begins[index][one], values[index]))

        tasks = [asyncio.ensure_future(send(i, 0, 1)) for i in range(1, 8)]
        await until(lambda: len(tree.nodes["server"].slots.held) >= 4)
        await send(0, 1)
        results = [await goes]
        assert loop.time() - start < 0.9
        await send(0, 0)
        results.append(await waits)
        await asyncio.gather(*tasks)
        for mean, record in results:
            assert not record.lost and np.asarray(mean).tobytes() == mean_of(values).tobytes()

    scene(tmp_path, 8, play)


@pytest.mark.parametrize("written", [True, False])
def test_the_budget_grows_with_what_the_program_says(monkeypatch: pytest.MonkeyPatch, written: bool) -> None:
    """Not with what a sender says: a size that the type leaves open raises nothing."""
    monkeypatch.setattr(slots, "default_budget", lambda payload: 256 * MB + 8 * payload)
    size = ELEMENTS if written else None

    @tierfed.federated_computation(tierfed.FederatedType((np.float32, [size]), tierfed.CLIENTS))
    def collected(values: Any) -> Any:
        return tierfed.federated_collect(values)

    async def main() -> int:
        async with served(MemoryTransport(), wide(2)) as tree:
            await tree.ask(collected, [np.ones(ELEMENTS, np.float32)] * 2)
            return tree.nodes["server"]._buffers.budget

    assert virtually(main()) == 256 * MB + (8 * 3 * MB if written else 0)


LARGE = tierfed.to_type(f"float32[{ELEMENTS}]")


@tierfed.federated_computation(tierfed.FederatedType(LARGE, tierfed.CLIENTS), LARGE, np.int32)
def turns_of(x: Any, start: Any, turns: Any) -> Any:
    """The sum of all clients, added once a turn: nothing goes down, so clients run ahead."""
    here = tierfed.federated_value(start, tierfed.SERVER)
    return tierfed.federated_iterate(lambda m: m + tierfed.federated_sum(x), here, turns, at=tierfed.SERVER)


def test_turns_of_a_loop_that_are_ahead_wait(tmp_path: Path) -> None:
    """Four clients send twenty large messages each, as fast as they may, one of them late: memory holds."""
    buffers = Watched(tmp_path)

    async def main() -> None:
        net = MemoryTransport(delay=lambda leg: 0.02 if leg.child.endswith("0") and leg.rises else 0.0)
        async with served(net, wide(4), buffers={"server": buffers}) as tree:
            ones = np.ones(ELEMENTS, np.float32)
            result, record = await tree.ask(turns_of, [ones * i for i in range(4)], ones, 20)
            assert not record.lost and (np.asarray(result) == 1 + 6 * 20).all()

    virtually(main())
    assert buffers.most_spooled == 0 and buffers.most <= BUDGET + 4 * MB
