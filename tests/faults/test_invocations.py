"""What can happen between a beginning and an end, on a virtual clock: orders of frames, failures of our own, leftovers.

server ── e-0 ── c-0 c-1
       └─ e-1 ── c-2 c-3
"""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_served import RUN, Served, mean_over, served, until, virtually

import tierfed
from tierfed.backends.native.driver import Driver
from tierfed.errors import NotReady, StorageError
from tierfed.node.history import History
from tierfed.node.memory_transport import Leg, MemoryTransport
from tierfed.node.programs import COUNTED_ON, KEPT, Deployed, Programs
from tierfed.topology import Topology
from tierfed.topology import tree as fan_out

FEW = mean_over(5)
VALUES = [np.full(5, n, np.float32) for n in (1, 2, 3, 6)]


def four(quorum: str = "100%", **more: Any) -> Topology:
    """Two edges of two clients."""
    collect = {name: {"quorum": quorum, "deadline": "30s"} for name in ("SERVER", "EDGE_AGGREGATORS")}
    return fan_out({"EDGE_AGGREGATORS": 2, "CLIENTS": 2}, collect=collect, **more)


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


async def works(tree: Served) -> None:
    """The next round gives what it should, and when it is over no node has anything of it, or of any before."""
    result, record = await tree.ask(FEW, VALUES)
    assert result.tolist() == [3.0] * 5 and record.lost == {}
    await until(lambda: not any(node._invocations or node._told for node in tree.nodes.values()))


def test_an_end_may_come_before_its_beginning() -> None:
    """A round given up at once, on links of which one is much slower, begins nowhere, and the next one works."""
    net = MemoryTransport(delay=lambda leg: 1.0 if leg.plane == "bulk" and not leg.rises else 0.001)

    async def main() -> None:
        async with served(net, four()) as tree:
            asked = tree.ask(FEW, VALUES)
            await until(lambda: tree.nodes[tree.root]._invocations)
            asked.cancel()
            client = tree.nodes[tree.topology.members(tierfed.CLIENTS)[0].name]
            await asyncio.sleep(10)
            assert not client._invocations
            await works(tree)

    virtually(main())


def test_a_program_whose_sending_was_cancelled_is_sent_again() -> None:
    """A round given up while its program waits behind a large message: the next round deploys it after all."""
    wide, other = mean_over(1_000_000), mean_over(6)

    async def main() -> None:
        async with served(MemoryTransport(), four()) as tree:
            edge = tree.nodes[tree.topology.node(tree.topology.members(tierfed.CLIENTS)[0].name).parent or ""]
            await works(tree)
            link = edge._parent.bulk
            assert link is not None
            link.pause()
            first = tree.ask(wide, [np.full(1_000_000, n, np.float32) for n in range(4)])
            await asyncio.sleep(1)  # its message to that edge is under way, and stuck
            second = tree.ask(other, [np.full(6, n, np.float32) for n in range(4)])
            await until(lambda: len(tree.nodes[tree.root]._invocations) == 2)
            await asyncio.sleep(1)
            second.cancel()
            await until(lambda: len(tree.nodes[tree.root]._invocations) == 1)
            link.resume()
            result, _ = await first
            assert (result == 1.5).all()
            result, _ = await tree.ask(other, [np.full(6, n, np.float32) for n in range(4)])
            assert result.tolist() == [1.5] * 6
            await works(tree)

    virtually(main())


def test_more_programs_than_are_kept_are_deployed_again() -> None:
    """Nodes keep so many programs and no more; one that has gone is sent anew, without anybody noticing."""
    programs = [mean_over(n) for n in range(1, KEPT + 10)]

    async def main() -> None:
        async with served(MemoryTransport(), fan_out({"CLIENTS": 1})) as tree:
            for program in (*programs, *programs[:3], programs[-1], programs[0]):
                size = program.type_signature.parameter.member.shape[0]
                result, _ = await tree.ask(program, [np.full(size, 7, np.float32)])
                assert result.tolist() == [7.0] * size
            assert all(len(node._programs._programs) == KEPT for node in tree.nodes.values())

    virtually(main())


def test_the_sender_of_programs_forgets_first() -> None:
    """Whatever order programs are used in, one that counts as deployed is there."""
    order = np.random.default_rng(3).integers(0, 90, 3000).tolist()
    kept: dict[str, None] = {}
    deployed = Deployed()
    for number in map(str, order):
        if not deployed.has(number):
            kept.pop(number, None)
        assert number in kept or not deployed.has(number)
        kept.pop(number, None)
        kept[number] = None
        while len(kept) > KEPT:
            del kept[next(iter(kept))]
        deployed.sent(number)
    assert len(deployed._hashes) == COUNTED_ON < KEPT
    with pytest.raises(tierfed.ProtocolError, match="announced as 'none'|announced as none"):
        Programs().add(_bytes(), "none", "c-0")


def _bytes() -> bytes:
    from tierfed.compiler.serialize import compiled_to_bytes

    return compiled_to_bytes(tierfed.compile(FEW, fan_out({"CLIENTS": 1}).hierarchy))


def test_what_cannot_be_sent_down_fails_the_round_at_once() -> None:
    """A NaN that a broadcast would have to quantise: the error names the server and the place, not a deadline."""

    @tierfed.federated_computation(tierfed.FederatedType((np.float32, [5000]), tierfed.SERVER))
    def sent_down(model: Any) -> Any:
        return tierfed.federated_sum(tierfed.federated_broadcast(model))

    async def main() -> None:
        down = {"EDGE_AGGREGATORS": {"down": "int8"}}
        async with served(MemoryTransport(), four(codec=down)) as tree:
            start = now()
            model = np.ones(5000, np.float32)
            model[4321] = np.nan
            error = await tree.failure(tree.ask(sent_down, model))
            assert isinstance(error, tierfed.CodecError) and error.node == tree.root
            assert "nan at element 4321 cannot be quantised" in error.what
            assert now() - start < 1
            await works(tree)

    virtually(main())


def test_an_operator_that_raises_fails_the_round_at_once() -> None:
    """What a fold step raises is told with its node; the fold does not wait for what never comes."""

    @tierfed.py_computation(np.float32, np.float32, returns=np.float32)
    def picky(a: Any, b: Any) -> Any:
        if b == 3:
            raise ArithmeticError("three is odd")
        return np.float32(a + b)

    @tierfed.federated_computation(tierfed.FederatedType(np.float32, tierfed.CLIENTS))
    def reduced(values: Any) -> Any:
        return tierfed.federated_reduce(values, 0, lambda a, b: picky(a, b))

    async def main() -> None:
        async with served(MemoryTransport(), four()) as tree:
            result, _ = await tree.ask(reduced, [1, 2, 4, 8])
            assert result == 15
            error = await tree.failure(tree.ask(reduced, [1, 2, 3, 8]))
            assert "raised ArithmeticError: three is odd" in error.what
            assert error.node == tree.topology.node(tree.topology.members(tierfed.CLIENTS)[2].name).parent
            assert "ArithmeticError: three is odd" in (error.remote_traceback or "")
            assert now() < 5
            await works(tree)

    virtually(main())


@pytest.mark.parametrize("where", ["fold", "check"])
def test_a_defect_of_ours_is_a_failure_like_any_other(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody expected, in folding or in checking, ends the round with its traceback, and no link."""
    from tierfed.node import uploads
    from tierfed.node.accumulator import Accumulator, Contribution

    def broken(*_: Any) -> Any:
        raise KeyError("a defect")

    async def main() -> None:
        async with served(MemoryTransport(), four()) as tree:
            await works(tree)
            with monkeypatch.context() as patch:
                if where == "fold":
                    patch.setattr(Accumulator, "fold", broken)
                else:
                    patch.setattr(uploads, "Contribution", broken)
                for program, size in ((FEW, 5), (mean_over(400_000), 400_000)):  # on the loop, and off it
                    error = await tree.failure(tree.ask(program, [np.full(size, n, np.float32) for n in range(4)]))
                    assert "KeyError: 'a defect'" in error.what
                    assert 'raise KeyError("a defect")' in (error.remote_traceback or "")
            epochs = [node.epochs() for node in tree.nodes.values()]
            assert all(epoch == 0 for of_one in epochs for epoch in of_one.values()), "nobody was cut off"
            await works(tree)
            assert Contribution

    virtually(main())


def test_the_same_mean_over_nobody_wherever_it_is() -> None:
    """A total weight of zero is what the program means, whatever the quorum: EmptyAggregate, at once, for all."""

    @tierfed.federated_computation(
        tierfed.FederatedType(np.float32, tierfed.CLIENTS), tierfed.FederatedType(np.float32, tierfed.CLIENTS)
    )
    def weighted(values: Any, weights: Any) -> Any:
        means = tierfed.federated_mean(values, weights, to=tierfed.placement("EDGE_AGGREGATORS"))
        return tierfed.federated_max(means)

    async def main() -> None:
        async with served(MemoryTransport(), four("50%")) as tree:
            result, _ = await tree.ask(weighted, [1, 2, 3, 6], [1, 1, 1, 0])
            assert result == 3
            error = await tree.failure(tree.ask(weighted, [1, 2, 3, 6], [1, 1, 0, 0]))
            assert isinstance(error, tierfed.EmptyAggregate) and error.what == "the total weight is zero"
            assert error.node == tree.topology.node(tree.topology.members(tierfed.CLIENTS)[3].name).parent
            await works(tree)

    virtually(main())


def test_a_history_that_cannot_be_written_fails_the_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a full disk the round ends, by name, before anything more is acknowledged; with room, the next one works."""
    full: list[str] = []
    opened = History.open

    def limited(folder: Path, node: str) -> History:
        history = opened(folder, node)
        write = history._write

        def checked(lines: bytes) -> None:
            if node in full:
                raise OSError(errno.ENOSPC, "No space left on device")
            write(lines)

        history._write = checked
        return history

    monkeypatch.setattr(History, "open", staticmethod(limited))

    async def main() -> None:
        topology = fan_out({"CLIENTS": 4})
        silent = topology.members(tierfed.CLIENTS)[0].name
        async with served(MemoryTransport(), topology, absent=[silent], histories=tmp_path, complete=False) as tree:
            member = await tree.joined(silent)
            full.append(tree.root)
            error = await tree.failure(tree.ask(FEW, VALUES))
            assert now() < 1, "it did not wait for the one that is silent"
            assert isinstance(error, StorageError) and error.node == tree.root
            assert str(error) == (
                f"{tree.root}: the history cannot be written: No space left on device\n"
                "  to mend: free space in the run's folder"
            )
            full.clear()
            asked = tree.ask(FEW, VALUES)
            assert (await member.begun())["inv"] != (again := await member.begun())["inv"]
            await member.send(member.upload(tree.compiled(FEW), again, VALUES[0]))
            assert (await asked)[0].tolist() == [3.0] * 5

    virtually(main())


def test_one_driver_at_a_time() -> None:
    """While one is connected another is refused, clearly; when it has left, the next one is let in."""

    async def main() -> None:
        net = MemoryTransport(delay=_by_plane)
        async with served(net, four()) as tree:
            second = Driver()
            with pytest.raises(NotReady) as refusal:
                await second.connect(tree.addresses[tree.root], RUN, over=net)
            assert str(refusal.value) == (
                f"hello to {tree.root}: another driver is at work\n  to mend: wait for it, or end it"
            )
            asked = tree.ask(FEW, VALUES)
            await until(lambda: tree.nodes[tree.root]._invocations)
            await tree.driver.close()
            assert (await tree.failure(asked)).what == f"the root {tree.root} is gone"
            for _ in range(50):
                await second.connect(tree.addresses[tree.root], RUN, over=net)
                await second.close()
            tree.driver = second
            await second.connect(tree.addresses[tree.root], RUN, over=net)
            await works(tree)

    virtually(main())


def test_a_driver_that_goes_away_leaves_nothing_running() -> None:
    """A round whose driver is gone ends in the whole tree at once, and not at its deadline."""

    async def main() -> None:
        topology = four()
        silent = topology.members(tierfed.CLIENTS)[0].name
        async with served(MemoryTransport(delay=_by_plane), topology, absent=[silent]) as tree:
            member = await tree.joined(silent)
            asked = tree.ask(FEW, VALUES)
            await member.begun()
            assert all(node._invocations for node in tree.nodes.values() if node.me.children)
            await tree.driver.close()
            assert (await member.answer(kind="end"))["reason"] == "the driver is gone"
            await until(lambda: not any(node._invocations for node in tree.nodes.values()))
            assert now() < 1
            assert (await tree.failure(asked)).what == f"the root {tree.root} is gone"
            tree.driver = Driver()
            await tree.driver.connect(tree.addresses[tree.root], RUN, over=tree.net)

    virtually(main())


def test_rounds_side_by_side_do_not_share_their_failures() -> None:
    """Of two rounds under way at once, one fails; the other gives its result."""

    @tierfed.py_computation(np.float32, returns=np.float32)
    def odd(x: Any) -> Any:
        if x == 3:
            raise ArithmeticError("three")
        return x

    @tierfed.federated_computation(tierfed.FederatedType(np.float32, tierfed.CLIENTS))
    def summed(values: Any) -> Any:
        return tierfed.federated_sum(tierfed.federated_map(odd, values))

    async def main() -> None:
        async with served(MemoryTransport(delay=_by_plane), four()) as tree:
            bad, good = tree.ask(summed, [1, 2, 3, 4]), tree.ask(summed, [1, 2, 4, 8])
            assert (await good)[0] == 15
            assert "ArithmeticError: three" in (await tree.failure(bad)).what
            await works(tree)

    virtually(main())


def _by_plane(leg: Leg) -> float:
    return 0.003 if leg.plane == "bulk" else 0.001


def test_a_program_for_another_hierarchy_is_refused_by_name() -> None:
    """A program without a slice for a node's placement ends the driver's round with the reason."""

    async def main() -> None:
        async with served(MemoryTransport(), four()) as tree:
            flat = tierfed.compile(FEW, fan_out({"CLIENTS": 4}).hierarchy)
            with pytest.raises(tierfed.TierfedError) as refusal:
                await asyncio.wait_for(tree.driver.invoke(flat, tuple(VALUES)), 60)
            assert "the program has no slice for EDGE_AGGREGATORS" in refusal.value.what

    virtually(main())
