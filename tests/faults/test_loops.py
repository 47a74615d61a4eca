"""Loops when members are ahead, late, lost or hostile, on a virtual clock; and what a loop costs the links above it.

server ── e-0 ── c-0 c-1      or      server ── c-0 c-1      c-2 (the test)
       └─ e-1 ── c-2 c-3
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_served import Member, Served, served, until, virtually

import tierfed
from tierfed.codecs import codec
from tierfed.compiler.slices import Send
from tierfed.node import invocation, transport, uploads
from tierfed.node.memory_transport import MemoryTransport
from tierfed.node.round import Round
from tierfed.node.summary import Summary
from tierfed.node.traffic import Traffic
from tierfed.topology import Topology
from tierfed.topology import tree as fan_out
from tierfed.wire.message import encode_message

CLIENTS, SERVER = tierfed.CLIENTS, tierfed.SERVER
EDGE = tierfed.placement("EDGE_AGGREGATORS")
NUMBERS = tierfed.FederatedType(np.int32, CLIENTS)


def two_tiers(quorum: str = "60%") -> Topology:
    """Three clients."""
    return fan_out({"CLIENTS": 3}, collect={"SERVER": {"quorum": quorum, "deadline": "10s"}})


def three_tiers(quorum: str = "100%") -> Topology:
    """Two edges of two clients."""
    collect = {name: {"quorum": quorum, "deadline": "40s"} for name in ("SERVER", "EDGE_AGGREGATORS")}
    return fan_out({"EDGE_AGGREGATORS": 2, "CLIENTS": 2}, collect=collect)


@tierfed.federated_computation(NUMBERS, np.int32)
def added_up(x: Any, turns: Any) -> Any:
    """The sum of all clients, once a turn: nothing goes down, so clients may run ahead."""
    start = tierfed.federated_value(np.int32(0), SERVER)
    return tierfed.federated_iterate(lambda m: m + tierfed.federated_sum(x), start, turns, at=SERVER)


@tierfed.py_computation(np.int32, np.int32, returns=np.int32)
def unless(m: Any, x: Any) -> Any:
    """What a client makes of the state; a negative client is out once the state has grown."""
    if x < 0 and m > 50:
        raise ValueError("enough")
    return np.int32(m + abs(x))


def at_edges(turns: int | None) -> Any:
    """Rounds of edges and clients, summed up once; the number of turns is written, or an argument."""

    def body(x: Any, n: Any) -> Any:
        def turn(m: Any) -> Any:
            here = tierfed.federated_zip((tierfed.federated_broadcast(m, to=CLIENTS), x))
            return tierfed.federated_max(tierfed.federated_map(lambda p: unless(p[0], p[1]), here), to=EDGE)

        start = tierfed.federated_value(np.int32(0), EDGE)
        return tierfed.federated_sum(tierfed.federated_iterate(turn, start, n, at=EDGE))

    if turns is None:
        return tierfed.federated_computation(NUMBERS, np.int32)(lambda x, n: body(x, n))
    return tierfed.federated_computation(NUMBERS)(lambda x: body(x, turns))


@pytest.mark.parametrize("written", [True, False])
def test_no_message_above_the_tier_that_iterates(written: bool) -> None:
    """The edges' links carry as much for 20 turns as for one; those of the clients carry it once a turn."""

    async def main() -> None:
        async with served(MemoryTransport(), three_tiers()) as tree:
            uplinks = [tree.nodes[tree.root].child(e.name).bulk for e in tree.topology.members(EDGE)]
            found = []
            for turns in (1, 1, 20):  # the first of all deploys
                program = at_edges(turns if written else None)
                before = [(link.sent_bytes, link.received_bytes) for link in uplinks if link is not None]
                result, record = await tree.ask(program, [1, 2, 3, 4], *(() if written else (turns,)))
                assert result == (2 + 4) * turns
                after = [(link.sent_bytes, link.received_bytes) for link in uplinks if link is not None]
                sockets = [b - a for two in zip(before, after, strict=True) for a, b in zip(*two, strict=True)]
                found.append((Traffic.named(record.traffic), sockets))
            (_, _), (one, on_sockets), (twenty, of_twenty) = found
            edges, same = one["EDGE_AGGREGATORS"], twenty["EDGE_AGGREGATORS"]
            for name in ("messages_up", "messages_down", "down", "raw_down"):
                assert edges[name] == same[name]
            counts = 2 * 6 * 8  # bytes: what two edges write about the traffic below them grows by digits
            assert abs(edges["up"] - same["up"]) <= counts
            if not written:  # one program: nothing is deployed for either
                assert all(abs(a - b) <= counts for a, b in zip(on_sockets, of_twenty, strict=True))
            grown = twenty["CLIENTS"]["messages_up"] - one["CLIENTS"]["messages_up"]
            assert grown == 4 * 19 and twenty["CLIENTS"]["up"] > 10 * one["CLIENTS"]["up"]

    virtually(main())


def test_a_member_lost_in_a_turn_is_out_from_then_on(tmp_path: Path) -> None:
    """Its part in the turns before counts, and the others go on; below quorum the edge is lost to its parent."""

    async def main() -> None:
        async with served(MemoryTransport(), three_tiers("50%"), histories=tmp_path) as tree:
            result, record = await tree.ask(at_edges(6), [1, -20, 3, 4])  # 20, 40, 60, and then one more a turn
            assert result == 60 + 3 * 1 + 6 * 4
            lost = tree.topology.members(CLIENTS)[1].name
            assert list(record.lost) == [lost] and "enough" in record.lost[lost]
            result, record = await tree.ask(at_edges(6), [-30, -20, 3, 4])
            assert result == 6 * 4
            edge = tree.topology.members(EDGE)[0].name
            assert "site 3.0[2]" in record.lost[edge] or "0 of 2 CLIENTS left" in record.lost[edge]

    virtually(main())


class Ahead(Round):
    """A round that notes how far its members were ahead."""

    most: int = 0

    def step(self, event: Any, now: float) -> Any:
        actions = super().step(event, now)
        type(self).most = max(self.most, *(sum(m in c.held for c in self._opened) for m in self._placement), 0)
        return actions


def test_a_child_that_is_ahead_waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """While one client's link is slow the others are a few turns ahead, and no more; nothing is lost."""
    monkeypatch.setattr(invocation, "Round", Ahead)
    Ahead.most = 0
    net = MemoryTransport(delay=lambda leg: 0.05 if leg.child.endswith("0") and leg.rises else 0.0)

    async def main() -> None:
        async with served(net, two_tiers("100%"), histories=tmp_path) as tree:
            result, record = await tree.ask(added_up, [1, 2, 3], 100)
            assert result == 6 * 100 and record.lost == {}

    virtually(main())
    assert 2 < Ahead.most <= uploads.AHEAD


# -- members that the test plays


def frames(member: Member, program: Any, begin: dict[str, Any], site: str, value: int) -> Any:
    """The frames of a contribution to `added_up`."""
    part = next(s for p, s in program.slices.items() if p.name == "CLIENTS")
    (send,) = [step for step in part.walk() if isinstance(step, Send)]
    ident = {
        "m": "up",
        "inv": begin["inv"],
        "att": begin["att"],
        "site": site.replace("SITE", str(send.site)),
        "member": member.name,
        "summary": Summary({"CLIENTS": 1}).to_dict(),
        "traffic": {},
    }
    rows = [(send.slots[0].name, send.slots[0].type, np.int32(value))]
    return [(h, [bytes(b) for b in buffers]) for h, buffers in encode_message(ident, rows, codec("none"))]


def with_one_of_ours(
    play: Callable[[Served, Member, Callable[[str, int], Any]], Any], path: Path, turns: int = 6
) -> Any:
    """Return the result and the record of `added_up` with a third client that does as `play` says."""

    async def main() -> Any:
        topology = two_tiers()
        name = topology.members(CLIENTS)[2].name
        async with served(MemoryTransport(), topology, absent=[name], histories=path) as tree:
            member = await tree.joined(name)
            asked = tree.ask(added_up, [1, 2, 6], 6)
            begin = await member.begun()
            program = tree.compiled(added_up)
            await play(tree, member, lambda site, value: member.send(frames(member, program, begin, site, value)))
            return await asked

    return virtually(main())


def test_a_member_that_goes_in_the_fourth_turn(tmp_path: Path) -> None:
    """What it sent counts, and from then on the sum is that of the others."""

    async def play(tree: Served, member: Member, send: Any) -> None:
        for turn in range(3):
            await send(f"SITE[{turn}]", 6)
        await until(lambda: tree.nodes[tree.root]._invocations)
        await asyncio.sleep(1)
        member.leave()

    result, record = with_one_of_ours(play, tmp_path)
    assert result == 3 * 6 + 6 * 3 and len(record.lost) == 1


def test_a_member_that_lags_is_lost_once(tmp_path: Path) -> None:
    """One deadline passes for it, not one a turn."""
    began: list[float] = []

    async def play(tree: Served, member: Member, send: Any) -> None:
        began.append(asyncio.get_running_loop().time())
        await send("SITE[0]", 6)
        asyncio.get_running_loop().call_later(11, began.append, 11.0)  # later than the end, if there is one deadline

    result, record = with_one_of_ours(play, tmp_path)
    assert result == 6 + 6 * 3 and list(record.lost.values()) == ["deadline"]
    assert len(began) == 1


HOSTILE = {
    "no turn": "SITE",
    "a turn too many": "SITE[0,0]",
    "a loop that there is not": "9.0[0]",
    "a turn that is no number": "SITE[-1]",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_site_that_is_not_in_the_program_closes_its_sender(tmp_path: Path, case: str) -> None:
    """As any other message of nothing does; the rest goes on."""

    async def play(tree: Served, member: Member, send: Any) -> None:
        await send(HOSTILE[case], 6)
        assert (await member.closed()) is not None

    result, record = with_one_of_ours(play, tmp_path)
    assert result == 6 * 3 and len(record.lost) == 1


def test_turns_that_never_come_hold_nobody_up(tmp_path: Path) -> None:
    """A member that floods with turns far away is read no further, and is lost where it is missed."""

    async def play(tree: Served, member: Member, send: Any) -> None:
        for turn in range(uploads.AHEAD * 2):
            await send(f"SITE[{10**9 + turn}]", 6)
        (one,) = await until(lambda: list(tree.nodes[tree.root]._invocations.values()))
        await until(lambda: tree.nodes[tree.root].child(member.name).holders)
        assert one.round.ahead(member.name) == uploads.AHEAD

    result, record = with_one_of_ours(play, tmp_path)
    assert result == 6 * 3 and list(record.lost.values()) == ["deadline"]


def test_a_turn_that_is_over_is_refused(tmp_path: Path) -> None:
    """It changes nothing, and the sender is told."""

    async def play(tree: Served, member: Member, send: Any) -> None:
        await send("SITE[0]", 6)
        await send("SITE[1]", 6)
        (one,) = await until(lambda: list(tree.nodes[tree.root]._invocations.values()))
        await until(lambda: one.round._now and one.round._now[0][3] == 2)
        await send("SITE[0]", 600)
        assert (await member.answer(why="ROUND_CLOSED"))["detail"] == "site 2.0[0]: that turn is over"
        for turn in range(2, 6):
            await send(f"SITE[{turn}]", 6)

    result, record = with_one_of_ours(play, tmp_path)
    assert result == 6 * 9 and record.lost == {}


# -- ends


@tierfed.federated_computation(NUMBERS, np.int32)
def long_way(x: Any, turns: Any) -> Any:
    """Turns at the clients, without any message."""
    return tierfed.federated_sum(tierfed.federated_iterate(lambda m: m + x, x, turns, at=CLIENTS))


async def test_a_long_loop_is_given_up_at_once() -> None:
    """Cancelled in the middle of ten million turns, the nodes are there for the next round."""
    async with served(transport, three_tiers()) as tree:
        asked = tree.ask(long_way, [1, 2, 3, 4], 10_000_000)
        client = tree.nodes[tree.topology.members(CLIENTS)[0].name]
        await until(lambda: client._invocations)
        asked.cancel()
        await until(lambda: not any(node._invocations for node in tree.nodes.values()))
        result, _ = await tree.ask(long_way, [1, 2, 3, 4], 10)
        assert result == 11 * 10


@pytest.mark.parametrize("program", [added_up, long_way, at_edges(None)])
def test_a_negative_number_of_turns(program: Any) -> None:
    """It is a mistake of the caller's, told as such by daemons and by the reference, whatever the quorum."""

    async def main() -> None:
        async with served(MemoryTransport(), three_tiers("50%")) as tree:
            error = await tree.failure(tree.ask(program, [1, 2, 3, 4], -1))
            assert isinstance(error, tierfed.ValueMismatch) and error.what == "-1 rounds"
            result, _ = await tree.ask(program, [1, 2, 3, 4], 0)
            assert result == (10 if program is long_way else 0)

    virtually(main())
    with tierfed.local(topology=three_tiers()), pytest.raises(tierfed.ValueMismatch, match="-1 rounds"):
        program([1, 2, 3, 4], -1)
