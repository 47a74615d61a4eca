"""Several things under way at once on one virtual clock: results and times are the seed's, not the machine's."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated_programs import added, kept, total

import tierfed
from tierfed.backends.simulated import turns
from tierfed.topology import parse_topology

TREE = """
apiVersion: tierfed/v1
kind: Topology
placements:
  SERVER: {interface: {rate: 1mbit}}
  CLIENTS:
    parent: SERVER
    per_parent: 4
    link: {rate: 200kbit, delay: 20ms, jitter: 5ms}
    compute: {time: 100ms}
"""
VECTOR = tierfed.TensorType("float32", (1000,))
VALUES = [np.float32(v) for v in (1, 2, 3, 4)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are nobody's."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))


@tierfed.py_computation(VECTOR, returns=VECTOR)
def _more(x: Any) -> Any:
    return x + np.float32(1)


@tierfed.federated_computation(VECTOR)
def step(model: Any) -> Any:
    """A vector goes down and comes back one larger."""
    here = tierfed.federated_broadcast(tierfed.federated_value(model, tierfed.SERVER))
    return tierfed.federated_mean(tierfed.federated_map(_more, here))


def told(job: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
    """What a job on a new fleet returns."""
    with tierfed.simulate(parse_topology(TREE)) as fleet:
        return fleet.run_job(tierfed.job(job))


def test_two_at_once_share_the_link_the_same_way_each_time() -> None:
    """They end in one order at one time, the second later than alone, however long the caller takes in between."""

    def job(pause: float) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def both(tree: tierfed.RunTree) -> list[tuple[int, float, float]]:
            ended: list[tuple[int, float, float]] = []

            async def one(number: int, rounds: int) -> None:
                model = np.full(1000, number, np.float32)
                for _ in range(rounds):
                    model = await tree.ainvoke(step, model)
                    ended.append((number, float(model[0]), tree.now))
                    time.sleep(pause * number)  # the caller computes, and no virtual time passes

            await asyncio.gather(one(0, 3), one(10, 2))
            return ended

        return both

    first = told(job(0.0))
    assert [told(job(pause)) for pause in (0.0, 0.004)] == [first] * 2
    assert sorted((n, x) for n, x, _ in first) == [(0, 1.0), (0, 2.0), (0, 3.0), (10, 11.0), (10, 12.0)]

    async def alone(tree: tierfed.RunTree) -> float:
        await tree.ainvoke(step, np.zeros(1000, np.float32))
        return tree.now

    assert min(at for n, _, at in first if n) > told(alone)


@pytest.mark.slow
def test_awaited_and_blocking_calls_beside_each_other() -> None:
    """A blocking call keeps its own loop from asking; what is under way goes on meanwhile, and so do sleeps."""

    async def mixed(tree: tierfed.RunTree) -> list[Any]:
        ended: list[Any] = []

        async def awaits() -> None:
            for _ in range(3):
                ended.append((float(await tree.ainvoke(added, VALUES)), tree.now))

        async def blocks() -> None:
            await asyncio.sleep(0)
            ended.append((int(tree.invoke(total, [1, 2, 3, 4])), tree.now))
            await tree.sleep(0.5)
            tree.wait(0.25)
            ended.append((int(tree.invoke(total, [1, 2, 3, 4])), tree.now))

        await asyncio.gather(awaits(), blocks())
        await tree.checkpoint(0, {"done": len(ended)})
        return ended

    first = told(mixed)
    assert sorted(value for value, _ in first) == [3.5, 3.5, 3.5, 10, 10]
    assert [told(mixed) for _ in range(2)] == [first] * 2


@pytest.mark.slow
def test_a_checkpoint_beside_an_invocation() -> None:
    """No virtual time passes while it is written, but for what handles in it take to be fetched."""

    async def saving(tree: tierfed.RunTree) -> list[Any]:
        handle = await tree.ainvoke(kept, VALUES)
        ended: list[Any] = []

        async def saves(round: int) -> None:
            await tree.checkpoint(round, {"values": handle if round else 0})
            ended.append(("saved", round, tree.now))

        async def invokes() -> None:
            for _ in range(2):
                ended.append(("added", float(await tree.ainvoke(added, VALUES)), tree.now))

        await asyncio.gather(saves(0), invokes())
        await asyncio.gather(invokes(), saves(1))
        return ended

    first = told(saving)
    assert [what for what, *_ in first].count("added") == 4
    assert [told(saving) for _ in range(2)] == [first] * 2


def test_nodes_are_made_when_what_is_under_way_is_over() -> None:
    """A program that keeps values waits for one that runs in groups, which loses nobody."""

    async def both(tree: tierfed.RunTree) -> Any:
        mean, handle, again = await asyncio.gather(
            tree.ainvoke(added, VALUES), tree.ainvoke(kept, VALUES), tree.ainvoke(added, VALUES)
        )
        return float(mean), [float(v) for v in handle.fetch()], float(again), tree.now, len(tree.recorder.lost)

    first = told(both)
    assert first[:3] == (3.5, [2.0, 3.0, 4.0, 5.0], 3.5)
    assert first[4] == 0
    assert told(both) == first


def test_a_loop_that_blocks_on_another_thread_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot come to rest before that thread has its answer: after a while the clock moves."""
    monkeypatch.setattr(turns, "_PATIENCE", 0.05)

    async def blocked(tree: tierfed.RunTree) -> int:
        await tree.ainvoke(total, [1, 2, 3, 4])
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            return int(thread.submit(tree.invoke, total, [1, 2, 3, 4]).result(30))

    assert told(blocked) == 10


def test_a_loop_that_never_rests_is_not_waited_for() -> None:
    """One that polls what it has asked for gets it."""

    async def polls(tree: tierfed.RunTree) -> int:
        task = asyncio.ensure_future(tree.ainvoke(total, [1, 2, 3, 4]))
        while not task.done():
            await asyncio.sleep(0)
        return int(task.result())

    assert told(polls) == 10


def test_who_is_cancelled_holds_nobody() -> None:
    """The others go on, and so do later calls."""

    async def cancels(tree: tierfed.RunTree) -> list[int]:
        slow = asyncio.ensure_future(tree.sleep(1e6))
        first = int(await tree.ainvoke(total, [1, 2, 3, 4]))
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        return [first, int(await tree.ainvoke(total, [1, 2, 3, 4])), int(tree.now)]

    assert told(cancels) == [10, 10, 0]
