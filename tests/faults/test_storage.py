"""Memory and disk of an aggregator: a budget that holds, a spool file past it, and no room at all.

server ── c-0 (the test) c-1 c-2 c-3        updates of 2.4 MB, a budget of 3 MB
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fault_served import Member, Served, mean_over, served, until

import tierfed
from tierfed.errors import ProtocolError, StorageError
from tierfed.node import transport
from tierfed.node.receive_buffers import ReceiveBuffers
from tierfed.topology import Topology
from tierfed.topology import tree as fan_out

SIZE = 600_000
WIDE = mean_over(SIZE)
BUDGET = 3 << 20


@pytest.fixture
def spool() -> Iterator[Path]:
    """A folder with a short name: a record has room for 120 letters of a reason."""
    with tempfile.TemporaryDirectory(prefix="s-") as folder:
        yield Path(folder)


def tree_of(quorum: str) -> Topology:
    """A server and four clients."""
    return fan_out({"CLIENTS": 4}, collect={"SERVER": {"quorum": quorum, "deadline": "40s"}})


def updates() -> list[np.ndarray]:
    """Any bits, so that a fold in another order shows."""
    return [np.random.default_rng(n).standard_normal(SIZE).astype(np.float32) for n in range(4)]


async def first_member(tree: Served) -> Member:
    """Play the first client: until it sends, nobody is folded, and all that comes has to wait."""
    return await tree.joined(tree.topology.members(tierfed.CLIENTS)[0].name)


def mean(*values: np.ndarray) -> np.ndarray:
    """The mean, folded in that order."""
    total = np.zeros(SIZE, np.float32)
    for value in values:
        total = total + value
    return total / np.float32(len(values))


async def test_more_than_the_budget_waits_in_the_spool_file(tmp_path: Path, spool: Path) -> None:
    """Three updates wait for the first one, most of them on disk: memory stays within the budget, the mean is exact."""
    topology = tree_of("100%")
    buffers = ReceiveBuffers(BUDGET, spool)
    first = topology.members(tierfed.CLIENTS)[0].name
    async with served(transport, topology, absent=[first], histories=tmp_path, buffers={"server": buffers}) as tree:
        member = await first_member(tree)
        for _ in range(2):
            values = updates()
            asked = tree.ask(WIDE, values)
            begin = await member.begun()
            await until(lambda: len([1 for k in whole(tree) if k]) == 3)
            assert buffers.in_use <= BUDGET and buffers.spooled >= 3 * 2_400_000 - BUDGET
            assert os.listdir(spool) == [], "the spool file has no name: a kill leaves nothing"
            await member.send(member.upload(tree.compiled(WIDE), begin, values[0]))
            result, record = await asked
            assert result.tobytes() == mean(*values).tobytes() and record.counts["CLIENTS"] == 4
            await until(lambda: buffers.in_use == buffers.spooled == 0)
        assert buffers.peak <= BUDGET


def whole(tree: Served) -> list[str]:
    """Who has sent all of its update to the root, in the round under way."""
    return [
        member
        for invocation in tree.nodes[tree.root]._invocations.values()
        for collection in invocation.round.collections()
        for member in collection.held
    ]


async def test_a_full_disk_refuses_before_it_acknowledges(tmp_path: Path, spool: Path) -> None:
    """Who finds no room is lost with the reason; what was acknowledged before counts, and with room all do."""
    topology = tree_of("25%")
    full = True

    def reserve(file: int, start: int, size: int) -> None:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        os.posix_fallocate(file, start, size)

    buffers = ReceiveBuffers(BUDGET, spool, reserve=reserve)
    names = [m.name for m in topology.members(tierfed.CLIENTS)]
    async with served(transport, topology, absent=names, histories=tmp_path, buffers={"server": buffers}) as tree:
        members = [await tree.joined(name) for name in names]
        values, program = updates(), tree.compiled(WIDE)
        asked = tree.ask(WIDE, values)
        begin = [await member.begun() for member in members][0]
        await members[1].send(members[1].upload(program, begin, values[1]))
        await until(lambda: whole(tree) == names[1:2])  # it takes most of the budget
        for n in (2, 3, 0):  # as long as the first is awaited, nothing is folded and let go
            with contextlib.suppress(ProtocolError):  # it is closed before the last byte has left
                await members[n].send(members[n].upload(program, begin, values[n]))
            refusal = await members[n].closed()
            assert isinstance(refusal, StorageError)
            assert str(refusal) == (
                f"{spool}: no room for 1048576 bytes beyond the receive budget of {BUDGET}: No space left on device\n"
                "  to mend: free space in the folder, or raise the budget"
            )
            assert not [word for word in members[n].told if word["kind"] == "accepted"]
        result, record = await asked
        assert result.tobytes() == mean(values[1]).tobytes() and record.counts["CLIENTS"] == 1
        assert set(record.lost) == {names[0], names[2], names[3]}
        assert all("no room for 1048576 bytes" in reason for reason in record.lost.values())

        full = False
        members = [members[1] if n == 1 else await tree.joined(name, epoch=1) for n, name in enumerate(names)]
        asked = tree.ask(WIDE, values)
        begin = [await member.begun() for member in members][0]
        for n in (3, 2, 1, 0):  # the last in order first: all have to wait
            await members[n].send(members[n].upload(program, begin, values[n]))
        result, record = await asked
        assert result.tobytes() == mean(*values).tobytes() and record.lost == {}


async def test_a_quorum_that_finds_no_room_is_told_why(tmp_path: Path, spool: Path) -> None:
    """With every client needed the round ends with the folder, the budget and the mend."""

    def reserve(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    buffers = ReceiveBuffers(1 << 20, spool, reserve=reserve)
    async with served(transport, tree_of("100%"), histories=tmp_path, buffers={"server": buffers}) as tree:
        error = await tree.failure(tree.ask(WIDE, updates()))
        assert isinstance(error, tierfed.RoundFailed)
        assert re.search(
            rf"the first lost is \S+: {spool}: no room for \d+ bytes beyond the receive budget of 1048576: "
            "No space left on device",
            error.what,
        )
        assert StorageError.exit_code == error.exit_code == 4
        few = mean_over(5)
        await until(
            lambda: all(tree.nodes[tree.root].connected(m.name) for m in tree.topology.members(tierfed.CLIENTS))
        )
        result, _ = await tree.ask(few, [np.full(5, n, np.float32) for n in (1, 2, 3, 6)])
        assert result.tolist() == [3.0] * 5
