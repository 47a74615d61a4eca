"""Broadcasts that are passed on frame by frame, on a virtual clock: when, with which bytes, and what may go wrong.

server ── e-0 ── c-0 c-1
       └─ e-1 ── c-2 c-3

One MB is under way at a time, for a second: a model of 8 MB takes 8 s a hop.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

import numpy as np
import pytest
from fault_served import Member, Served, served, until, virtually

import tierfed
from tierfed.node import memory_transport, own_part, relay
from tierfed.node.memory_transport import MemoryTransport
from tierfed.node.relay import relayed
from tierfed.topology import Topology, assignments
from tierfed.topology import tree as fan_out

SERVER = tierfed.SERVER
LARGE = 1 << 21  # elements, 8 MB in 8 frames
MODEL = np.random.default_rng(5).integers(-999, 999, LARGE).astype(np.float32)  # so that means are exact


def mean_of(t: Any, *, read: bool = False) -> Any:
    """A program: the mean of what is broadcast; edges add nothing to it, or the model once more if they `read` it."""

    @tierfed.federated_computation(tierfed.FederatedType(t, SERVER))
    def broadcast(model: Any) -> Any:
        if not read:
            return tierfed.federated_mean(tierfed.federated_broadcast(model))
        edges = tierfed.placement("EDGE_AGGREGATORS")
        at_edges = tierfed.federated_broadcast(model, to=edges)
        partial = tierfed.federated_mean(tierfed.federated_broadcast(at_edges, to=tierfed.CLIENTS), to=edges)
        return tierfed.federated_mean(partial + at_edges)

    return broadcast


WHOLE = mean_of((np.float32, [LARGE]))


def four(down: str = "none", quorum: str = "50%", deadline: str = "60s") -> Topology:
    """Two edges of two clients."""
    collect = {name: {"quorum": quorum, "deadline": deadline} for name in ("SERVER", "EDGE_AGGREGATORS")}
    codec = {name: {"down": down} for name in ("EDGE_AGGREGATORS", "CLIENTS")}
    return fan_out({"EDGE_AGGREGATORS": 2, "CLIENTS": 2}, collect=collect, codec=codec)


def clients(tree: Served) -> list[str]:
    """The names of the clients."""
    return [m.name for m in tree.topology.members(tierfed.CLIENTS)]


def slow() -> MemoryTransport:
    """Bulk links on which a megabyte takes a second downwards."""
    return MemoryTransport(delay=lambda leg: 1.0 if leg.plane == "bulk" and not leg.rises else 0.0)


def chunks(member: Member) -> list[Any]:
    """The frames of messages that came to a member."""
    return [frame for frame in member.came if "seq" in frame.header]


def reading(tree: Served, name: str) -> Any:
    """What a node has of the message that its parent is in the middle of sending."""
    found = tree.nodes[name]._invocations.values()
    return next((reader for one in found for reader in one._down.values()), None)


def same(one: Any, other: Any) -> bool:
    """Whether two arrays have the same bits."""
    return bool(one.tobytes() == other.tobytes())


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


async def nothing_left(tree: Served) -> None:
    """Nobody has anything of a round, and nobody is held up."""
    await until(lambda: not any(node._invocations or node._parent.holders for node in tree.nodes.values()))


def test_a_grandchild_has_the_first_frame_before_its_parent_has_the_last() -> None:
    """Tiers take turns frame by frame: three hops of 8 s are over after 10, with the model's own bits."""

    async def main() -> None:
        topology = four()
        last = [m.name for m in topology.members(tierfed.CLIENTS)][-1]
        async with served(slow(), topology, absent=[last]) as tree:
            member = await tree.joined(last)
            edge = topology.node(last).parent or ""
            asked = tree.ask(WHOLE, MODEL)
            await member.begun()
            start = now()
            await until(lambda: chunks(member))
            reader = reading(tree, edge)
            assert 0 < reader.count < 8 and not reader.complete
            await until(lambda: len(chunks(member)) == 8)
            assert now() - start < 13
            assert same(np.frombuffer(b"".join(bytes(f.payload) for f in chunks(member)), np.float32), MODEL)
            member.leave()
            result, _ = await asked
            assert same(result, MODEL)
            await nothing_left(tree)

    virtually(main())


def exchanged(program: Any, value: Any, down: str) -> tuple[Any, ...]:
    """What a client is sent in a round, and what the round gives and counts."""

    async def main() -> tuple[Any, ...]:
        topology = four(down)
        last = [m.name for m in topology.members(tierfed.CLIENTS)][-1]
        async with served(MemoryTransport(), topology, absent=[last]) as tree:
            member = await tree.joined(last)
            asked = tree.ask(program, value)
            await until(lambda: any("end" in f.header for f in chunks(member)))
            member.leave()
            result, record = await asked
            frames = [
                ({**f.header, "ident": {**f.header["ident"], "inv": ""}}, bytes(f.payload), f.nbytes)
                for f in chunks(member)
            ]
            for header, _, _ in frames:
                header.pop("digest", None)  # of the invocation's name too
            return frames, repr(result), record.traffic, record.counts

    return virtually(main())


SMALL = tierfed.StructType([(f"t{i}", tierfed.TensorType("float32", [i % 7])) for i in range(2000)])


@tierfed.federated_computation(tierfed.FederatedType(SMALL, SERVER))
def PICKED(model: Any) -> Any:  # noqa: N802  # a constant like the others
    """The sum of one of two thousand tensors, all of them broadcast."""
    pick = tierfed.federated_computation(SMALL)(lambda value: value.t3)
    return tierfed.federated_sum(tierfed.federated_map(pick, tierfed.federated_broadcast(model)))


SHAPES: dict[str, tuple[Any, Any]] = {
    "large": ((np.float32, [600_000]), MODEL[:600_000]),
    "two thousand": (SMALL, tuple(np.full(i % 7, i, np.float32) for i in range(2000))),
    "empty": ((np.float32, [0]), np.zeros(0, np.float32)),
}


@pytest.mark.parametrize(
    ("shape", "down"),
    [*[(shape, down) for shape in ("large", "empty") for down in ("none", "zstd", "auto")], ("two thousand", "zstd")],
)
def test_bytes_and_counts_are_as_if_coded_anew(shape: str, down: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is passed on is, header by header and byte by byte, what the node would have coded itself."""
    t, value = SHAPES[shape]
    program = PICKED if shape == "two thousand" else mean_of(t)
    passed = exchanged(program, value, down)
    monkeypatch.setattr(own_part, "relayed", lambda part, me: (part, {}))
    anew = exchanged(program, value, down)
    assert [passed[i] == anew[i] for i in range(4)] == [True] * 4


def test_lossy_codecs_rules_and_other_codecs_below_are_coded_anew() -> None:
    """Only what codes the same bytes again is passed on, and a value that is read is kept."""

    def of(topology: Topology, program: Any = WHOLE) -> list[bool]:
        compiled = tierfed.compile(program, topology.hierarchy, keep=False)
        edge = next(a for a in assignments(topology) if a.children and a.parent)
        part = next(s for p, s in compiled.slices.items() if p.name == edge.placement)
        return [one.kept for one in relayed(part, edge)[1].values()]

    assert [of(four(c)) for c in ("none", "zstd", "auto")] == [[False]] * 3
    assert [of(four(c)) for c in ("int8", "bf16", "delta+zstd")] == [[]] * 3
    mixed = fan_out({"EDGE_AGGREGATORS": 2, "CLIENTS": 2}, codec={"CLIENTS": {"down": "zstd"}})
    assert of(mixed) == []
    assert of(four(), mean_of((np.float32, [5]), read=True)) == [True]


def test_a_value_that_is_read_is_passed_on_and_decoded() -> None:
    """An edge that needs the model itself has it, bit for bit."""
    program = mean_of((np.float32, [600_000]), read=True)

    async def main() -> None:
        async with served(MemoryTransport(), four("zstd")) as tree:
            result, _ = await tree.ask(program, MODEL[:600_000])
            assert same(result, MODEL[:600_000] * 2)
            await nothing_left(tree)

    virtually(main())


@pytest.mark.parametrize("severed", [True, False])
def test_a_slow_child_holds_its_parent_up_for_a_while(severed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 2 MB waiting for the slowest the edge reads no further; the others get the rest when it is lost, or soon."""
    monkeypatch.setattr(relay, "ROOM", 2 << 20)
    stuck = set[str]()
    net = MemoryTransport(
        delay=lambda leg: math.inf if leg.child in stuck and not leg.rises and leg.plane == "bulk" else 0.0
    )

    async def main() -> None:
        async with served(net, four(deadline="20s")) as tree:
            last = clients(tree)[-1]
            edge = tree.nodes[tree.topology.node(last).parent or ""]
            stuck.add(last)
            tree.nodes[last]._parent.bulk.pause()
            start = now()
            asked = tree.ask(WHOLE, MODEL)
            await until(lambda: edge._parent.holders)
            await asyncio.sleep(0.1)
            reader = reading(tree, edge.me.name)
            assert not reader.complete and reader.held_bytes <= 4 << 20
            if severed:
                tree.net.sever(last)
            else:
                await until(lambda: reader.complete)
                assert now() - start < 1
            result, record = await asked
            assert same(result, MODEL) and record.counts["CLIENTS"] == 3
            if severed:
                await nothing_left(tree)

    virtually(main())


def test_a_round_given_up_in_the_middle_leaves_nothing() -> None:
    """Cancelled with half a model on its way, the round is over everywhere, and the next one works."""

    async def main() -> None:
        async with served(slow(), four()) as tree:
            asked = tree.ask(WHOLE, MODEL)
            first = clients(tree)[0]
            await until(lambda: (reader := reading(tree, first)) and reader.count == 3)
            asked.cancel()
            await nothing_left(tree)
            result, record = await tree.ask(WHOLE, MODEL)
            assert same(result, MODEL) and record.lost == {}

    virtually(main())


def damage(monkeypatch: pytest.MonkeyPatch, to: str, after: int) -> list[int]:
    """Turn one byte of what the parent of `to` sends it, `after` bytes from the start; return where that was."""
    turned: list[int] = []
    write = memory_transport._End.write

    def damaging(end: Any, data: Any) -> None:
        if end.leg.child == to and end.leg.plane == "bulk" and not end.leg.rises:
            if end._sent > after and not turned:
                turned.append(end._sent)
                data = bytearray(data)
                data[len(data) // 2] ^= 1
        write(end, data)

    monkeypatch.setattr(memory_transport._End, "write", damaging)
    return turned


def test_a_byte_turned_in_the_middle_ends_the_subtree(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame whose CRC does not hold is not passed on: the clients below are told, and the others' mean stands."""

    async def main() -> None:
        topology = four()
        last = [m.name for m in topology.members(tierfed.CLIENTS)][-1]
        turned = damage(monkeypatch, topology.node(last).parent or "", 3 << 20)
        async with served(MemoryTransport(), topology, absent=[last]) as tree:
            member = await tree.joined(last)
            result, record = await tree.ask(WHOLE, MODEL)
            assert turned and same(result, MODEL) and record.counts["CLIENTS"] == 2
            assert 0 < len(chunks(member)) < 8
            end = await member.answer(kind="end", committed=False)
            assert "is gone" in end["reason"]
            member.leave()
            await nothing_left(tree)

    virtually(main())


def test_a_digest_that_does_not_hold_keeps_the_last_frame_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that hold one by one but are not of one message: no client gets the last, and each is told."""
    true = relay.digest_of

    def wrong(first: Any, crcs: Any) -> bytes:
        return bytes(16) if first["ident"]["site"] == "1.0" else true(first, crcs)

    async def main() -> None:
        topology = four()
        last = [m.name for m in topology.members(tierfed.CLIENTS)][-1]
        async with served(MemoryTransport(), topology, absent=[last]) as tree:
            member = await tree.joined(last)
            monkeypatch.setattr(relay, "digest_of", wrong)
            error = await tree.failure(tree.ask(WHOLE, MODEL))
            assert "quorum" in error.what
            assert len(chunks(member)) == 7 and not any("end" in f.header for f in chunks(member))
            await member.answer(kind="end", committed=False)
            member.leave()
            await nothing_left(tree)

    virtually(main())
