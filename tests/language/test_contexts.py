"""Where a call runs: the innermost context, in tasks, in threads, and whichever is left first."""

import asyncio
import contextlib
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tierfed
from tierfed.language import context as contexts

EDGE = tierfed.placement("EDGE_AGGREGATORS")
TWO, THREE, FOUR = (tierfed.tree(fan_out={"CLIENTS": n}) for n in (2, 3, 4))


@tierfed.federated_computation
def members():
    """How many clients there are, which tells the contexts of these tests apart."""
    return tierfed.federated_sum(tierfed.federated_value(1, tierfed.CLIENTS))


@tierfed.federated_computation(tierfed.FederatedType(np.int32, tierfed.CLIENTS))
def total(x):
    return tierfed.federated_sum(x)


def no_context():
    """The default cannot tell how many clients there are."""
    return pytest.raises(tierfed.PlacementError, match="no argument tells how many clients")


def test_the_innermost_wins_and_the_outer_is_back_afterwards():
    """Calls see the last context entered and not left."""
    with no_context():
        members()
    with tierfed.local(TWO):
        with tierfed.local(THREE):
            assert members() == 3
        assert members() == 2
    with no_context():
        members()


def test_one_context_entered_twice_is_left_once():
    """Leaving takes the innermost entry away, and not the one before it."""
    context = tierfed.local(TWO)
    with context:
        with tierfed.local(THREE):
            with context:
                assert members() == 2
            assert members() == 3
        assert members() == 2


def test_an_exception_leaves_the_context():
    """What is raised inside goes out, and the context does not stay."""
    with pytest.raises(ZeroDivisionError), tierfed.local(TWO):
        1 / 0
    with no_context():
        members()


def test_generators_that_overlap():
    """The first one entered may be left first: the other stays."""

    def within(topology):
        with tierfed.local(topology):
            yield
            yield members()

    one, other = within(TWO), within(THREE)
    next(one), next(other)
    one.close()
    assert next(other) == 3
    other.close()
    with no_context():
        members()


async def test_async_with_is_the_same():
    """`async with` enters and leaves as `with` does, and the two nest."""
    async with tierfed.local(TWO) as outer:
        assert members() == 2
        with tierfed.local(THREE):
            assert members() == 3
            assert await outer.ainvoke(members) == 2
        assert members() == 2
    with no_context():
        members()


async def test_tasks_see_what_they_entered_and_what_their_creator_had():
    """Two tasks inside contexts of their own at the same time do not see each other's."""
    inside = asyncio.Barrier(2)

    async def work(topology):
        before = members()
        async with tierfed.local(topology):
            await inside.wait()
            here = members()
            await inside.wait()
        return before, here, members()

    with tierfed.local(FOUR):
        told = await asyncio.gather(work(TWO), work(THREE))
        assert members() == 4
    assert told == [(4, 2, 4), (4, 3, 4)]


async def test_another_task_may_leave_what_this_one_entered():
    """The task that leaves sees it no more; the one that entered goes on, and its own leaving still counts."""
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(tierfed.local(TWO))
        context = contexts.current()

        async def leave():
            await context.__aexit__(None, None, None)
            with no_context():
                members()

        await asyncio.create_task(leave())
        assert members() == 2
    with no_context():
        members()


async def test_a_task_that_never_entered_may_leave():
    """Nothing is taken away from a task that does not have it."""
    context = tierfed.local(TWO)
    with tierfed.local(THREE):
        await context.__aexit__(None, None, None)
        assert members() == 3


def ran(target, *args):
    """Return what `target` returns in a plain thread."""
    told = []
    thread = threading.Thread(target=lambda: told.append(target(*args)))
    thread.start()
    thread.join()
    return told[0]


def test_a_plain_thread_sees_the_default_and_a_copied_context_what_was_entered():
    """threading.Thread begins with nothing entered; contextvars.copy_context hands on what was."""
    with tierfed.local(TWO):
        copied = contextvars.copy_context()
        assert ran(copied.run, members) == 2
        assert ran(lambda: type(contexts.current()).__name__) == "LocalContext"
        assert ran(contexts.current) is not contexts.current()
        with no_context(), ThreadPoolExecutor(1) as pool:
            pool.submit(members).result()
    assert ran(copied.run, members) == 2  # what was copied stays as it was


async def test_to_thread_hands_the_context_on():
    """asyncio.to_thread copies, so a call there runs where the task's would."""
    with tierfed.local(TWO):
        assert await asyncio.to_thread(members) == 2


def test_threads_each_with_their_own():
    """Threads inside contexts of their own at the same time do not see each other's."""
    barrier = threading.Barrier(3)

    def work(topology):
        with tierfed.local(topology):
            barrier.wait()
            here = members()
            barrier.wait()
        return here

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(work, [TWO, THREE, FOUR])) == [2, 3, 4]


def test_threads_trace_at_the_same_time():
    """A trace belongs to its thread: a call in another thread runs, while this one is tracing."""
    tracing, called = threading.Barrier(2), threading.Barrier(2)

    def body(x):
        tracing.wait()
        called.wait()
        return tierfed.federated_sum(x)

    with ThreadPoolExecutor(1) as pool:
        traced = pool.submit(tierfed.federated_computation(total.type_signature.parameter), body)
        tracing.wait()
        assert total([1, 2, 3]) == 6
        called.wait()
        assert traced.result()([1, 2]) == 3


async def test_ainvoke_does_not_hold_up_the_loop():
    """While a computation runs, the loop answers; here the computation waits for what only the loop does."""
    answer = threading.Event()

    def waits(uri, type_, member):
        assert answer.wait(20), "the loop stood still"
        return np.int32(member.index)

    @tierfed.federated_computation
    def reads():
        return tierfed.federated_sum(tierfed.federated_data("number", np.int32, tierfed.CLIENTS))

    with tierfed.local(THREE, data=waits) as context:
        asyncio.get_running_loop().call_soon(answer.set)
        assert await context.ainvoke(reads) == 3


async def test_what_does_not_fit_is_told_at_the_callers_line():
    """ainvoke checks arguments before it leaves the caller's own stack."""
    with pytest.raises(tierfed.TypeMismatch, match=r"test_contexts\.py:\d+: .* 1 were given by name: y"):
        await tierfed.local().ainvoke(total, y=[1])
