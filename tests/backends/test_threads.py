"""Calls from several threads and tasks at once, on both backends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from program_trees import HIERARCHIES
from served import on_sockets
from test_agreement import grown
from threadpoolctl import threadpool_info, threadpool_limits

import tierfed
from tierfed import CLIENTS, FederatedType
from tierfed.backends.local.blas import one_thread
from tierfed.backends.loop_thread import LoopThread
from tierfed.backends.native.context import NativeContext
from tierfed.compiler import Compiled

TREE = grown(HIERARCHIES["three tiers"], {"EDGE_AGGREGATORS": [2], "CLIENTS": [2, 1]})
X = FederatedType((np.float64, [100]), CLIENTS)
SIDE_BY_SIDE = 6


@pytest.fixture(scope="module")
def native() -> Iterator[NativeContext]:
    """Two edges and three clients, over sockets."""
    with on_sockets(TREE) as context:
        yield context


@pytest.fixture(params=["here", "over sockets"])
def context(request: pytest.FixtureRequest) -> Any:
    """A context on that tree."""
    if request.param == "here":
        return tierfed.local(topology=TREE)
    return request.getfixturevalue("native")


def scaled(by: int) -> tierfed.Computation:
    """Return a program of its own for each number, made anew each time: equal programs, unequal objects."""
    return tierfed.federated_computation(X)(lambda x: tierfed.federated_sum(x) * np.full(100, float(by)))


def at_once(work: Callable[[int], Any], count: int = SIDE_BY_SIDE) -> list[Any]:
    """Return what `work` returns for 0, 1, …, called in as many threads that begin together."""
    barrier = threading.Barrier(count)

    def one(number: int) -> Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def values(number: int) -> list[np.ndarray]:
    return [np.full(100, number + 10.0 * member) for member in range(3)]


def test_each_thread_gets_its_own_result(context: Any) -> None:
    """Threads that call different and equal programs with different arguments, three times each."""

    def calls(number: int) -> list[float]:
        return [context.invoke(scaled(number % 3), values(number))[0] for _ in range(3)]

    assert at_once(calls) == [[(3 * n + 30) * (n % 3)] * 3 for n in range(SIDE_BY_SIDE)]


async def test_each_task_gets_its_own_result(context: Any) -> None:
    """Tasks of one loop that await the same context."""
    told = await asyncio.gather(*(context.ainvoke(scaled(n % 3), values(n)) for n in range(SIDE_BY_SIDE)))
    assert [t[0] for t in told] == [(3 * n + 30) * (n % 3) for n in range(SIDE_BY_SIDE)]


async def test_a_synchronous_call_where_a_loop_is_running(context: Any) -> None:
    """As in a notebook: the call waits on another thread, and the running loop is not touched."""
    assert context.invoke(scaled(2), values(1))[0] == 66


def test_an_error_is_told_to_the_thread_that_made_it(context: Any) -> None:
    """Of threads that call at once, the one with a wrong argument alone gets an error."""

    def call(number: int) -> str:
        try:
            return str(context.invoke(scaled(1), values(number)[: 2 if number == 1 else 3])[0])
        except tierfed.ValueMismatch as error:
            return error.what

    assert at_once(call, 3) == ["30.0", "2 values for the 3 members of CLIENTS", "36.0"]


def test_a_program_is_compiled_once_however_many_call_it(
    native: NativeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All threads call before the first has compiled it: the others wait, and get what it made."""
    called, checked = threading.Semaphore(0), []

    def check(compiled: Compiled) -> None:
        checked.append(compiled)
        for _ in range(SIDE_BY_SIDE if len(checked) == 1 else 0):
            assert called.acquire(timeout=20)

    def call(number: int) -> Compiled:
        called.release()
        return native.compiled(scaled(77))

    monkeypatch.setattr(native, "_check", check)
    assert {id(found) for found in at_once(call)} == {id(checked[0])}
    assert len(checked) == 1


class TestBlas:
    """backends/local/blas.py, on the process's own BLAS."""

    @staticmethod
    def threads() -> int:
        return max(of["num_threads"] for of in threadpool_info() if of["user_api"] == "blas")

    def test_one_thread_until_the_last_call_ends(self) -> None:
        """Of two calls that overlap, the first to begin and end leaves the other its one thread."""
        begun, both, one_left = threading.Event(), threading.Barrier(2), threading.Barrier(2)

        def ends_first() -> int:
            with one_thread():
                begun.set()
                both.wait(20)
                seen = self.threads()
            one_left.wait(20)
            return seen

        def ends_last() -> int:
            assert begun.wait(20)
            with one_thread():
                both.wait(20)
                one_left.wait(20)
                return self.threads()

        with threadpool_limits(2), ThreadPoolExecutor(2) as pool:
            assert self.threads() == 2
            told = [pool.submit(ends_first), pool.submit(ends_last)]
            assert [t.result() for t in told] == [1, 1]
            assert self.threads() == 2

    def test_in_a_thread_after_the_main_thread_has_limited(self) -> None:
        """threadpoolctl heeds one thread alone, and this one is not it."""
        with threadpool_limits(2), one_thread():
            pass  # the main thread has set a limit once, and lives on

        def seen() -> int:
            with one_thread():
                return self.threads()

        with threadpool_limits(2), ThreadPoolExecutor(1) as pool:
            assert pool.submit(seen).result() == 1
            assert self.threads() == 2


class TestLoopThread:
    """backends/loop_thread.py."""

    def test_work_that_is_left_is_refused_by_name(self) -> None:
        """A thread that waits when the loop is closed is told that the tree is down, as is one that comes later."""
        loop, begun = LoopThread("under test"), threading.Event()

        async def endless() -> None:
            begun.set()
            await asyncio.Event().wait()

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(lambda: loop.run(endless()))
            assert begun.wait(20)
            loop.close()
            with pytest.raises(tierfed.NoSuchRun, match="this tree is down"):
                waiting.result(20)
        with pytest.raises(tierfed.NoSuchRun, match="this tree is down"):
            loop.run(endless())

    async def test_a_task_that_awaits_it_is_told_too(self) -> None:
        """Closing does not look like a cancellation of the task; a cancellation does."""
        loop, begun = LoopThread("under test"), asyncio.Event()
        here = asyncio.get_running_loop()

        async def endless() -> None:
            here.call_soon_threadsafe(begun.set)
            await asyncio.Event().wait()

        cancelled = asyncio.create_task(loop.arun(endless()))
        await begun.wait()
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        begun.clear()
        waiting = asyncio.create_task(loop.arun(endless()))
        await begun.wait()
        await asyncio.to_thread(loop.close)
        with pytest.raises(tierfed.NoSuchRun, match="this tree is down"):
            await waiting

    def test_closed_by_several_threads(self) -> None:
        """Each returns, and none before the loop has ended."""
        loop = LoopThread("under test")
        assert at_once(lambda n: (loop.close(), loop._thread.is_alive())[1]) == [False] * SIDE_BY_SIDE

    def test_a_call_from_its_own_thread(self) -> None:
        """It would wait for itself for ever: it is an error."""
        loop = LoopThread("under test")

        async def nothing() -> None: ...

        async def calls() -> None:
            loop.run(nothing())

        with pytest.raises(tierfed.TierfedError, match=r"called on the thread .*\n.*to mend: let the callback"):
            loop.run(calls())
        loop.close()
