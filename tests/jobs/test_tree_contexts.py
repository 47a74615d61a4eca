"""Running trees as contexts: nested with others, from tasks and threads, where a loop is running."""

import asyncio
import contextvars
import re
import threading

import numpy as np
import pytest

import tierfed
from tierfed.launch import runs

READINGS = tierfed.FederatedType(np.int32, tierfed.CLIENTS)


@tierfed.federated_computation
def members():
    return tierfed.federated_sum(tierfed.federated_value(1, tierfed.CLIENTS))


@tierfed.federated_computation(READINGS)
def total(x):
    return tierfed.federated_sum(x)


@tierfed.job
async def counts(tree, *, rounds=2):
    found = []
    for number in tree.rounds(rounds):
        found.append((members(), await tree.ainvoke(members)))
        tree.release(number, {"members": float(found[-1][0])})
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Three clients under a server, which all tests of this module use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIERFED_HOME", str(tmp_path_factory.mktemp("home")))
        running = tierfed.up(tierfed.tree(fan_out={"CLIENTS": 3}))
        yield running
        running.close()


class Entered:
    """A context that is the tree's, without taking it down at its end."""

    def __init__(self, tree):
        self.invoke, self.ainvoke = tree.invoke, tree.ainvoke

    def __enter__(self):
        tierfed.language.context.enter(self)

    def __exit__(self, *exc):
        tierfed.language.context.leave(self)


def test_a_tree_within_the_reference_and_the_reverse(tree):
    """The innermost runs the call, of whichever kind it is."""
    two = tierfed.local(tierfed.tree(fan_out={"CLIENTS": 2}))
    with two:
        with Entered(tree):
            assert members() == 3
            with two:
                assert members() == 2
            assert members() == 3
        assert members() == 2


async def test_synchronous_and_awaited_where_a_loop_is_running(tree):
    """In a notebook's cell both go: the synchronous call waits, the awaited one lets the loop run."""
    assert tree.invoke(total, [1, 2, 3]) == 6
    assert await asyncio.gather(*(tree.ainvoke(total, [n, n, n]) for n in range(4))) == [0, 3, 6, 9]


async def test_a_job_where_a_loop_is_running(tree):
    """run_job has a loop of its own, and calls inside run on the tree."""
    assert tree.run_job(counts, {"rounds": 2}) == [(3, 3), (3, 3)]


def test_threads_call_at_once(tree):
    """Real threads that begin together, each with its own arguments, in a copy of the context."""
    barrier, told = threading.Barrier(4), {}

    def call(number):
        barrier.wait()
        told[number] = total([number] * 3)

    with Entered(tree):
        threads = [threading.Thread(target=contextvars.copy_context().run, args=(call, n)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert told == {0: 0, 1: 3, 2: 6, 3: 9}


def test_what_a_notebook_shows(tree):
    """The run, its tiers and its rounds, without colours or anything to load."""
    tree.run_job(counts, {"rounds": 1})
    shown = tree._repr_html_()
    text = re.sub(r"<[^>]*>", "|", shown)
    assert f"run {tree.run_id} · up · " in text
    assert re.search(r"\|CLIENTS\|+3\|+none\|+[\d.]+ kB\|", text)
    assert re.search(r"\d+ rounds? · members 3\|", text)


async def test_async_with_takes_it_down(tmp_path, monkeypatch):
    """`async with tierfed.up(…)`: calls inside run on the tree, and after it nothing is left of it."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    async with tierfed.up(tierfed.tree(fan_out={"CLIENTS": 2})) as tree:
        assert members() == 2
        assert await tree.ainvoke(members) == 2
        run = runs.find(tree.run_id)
        assert run.running
    assert not run.fresh().processes() and not run.running
    with pytest.raises(tierfed.PlacementError, match="no argument tells how many clients"):
        members()
    with pytest.raises(tierfed.NoSuchRun, match="this tree is down"):
        await tree.ainvoke(members)


async def test_brought_up_in_a_thread(tmp_path, monkeypatch):
    """The loop is free while a tree comes up in a thread, and the thread's end does not end the tree."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    made = []
    thread = threading.Thread(target=lambda: made.append(tierfed.up(tierfed.tree(fan_out={"CLIENTS": 2}))))
    thread.start()
    await asyncio.to_thread(thread.join)
    async with made[0]:
        assert members() == 2


def test_a_callback_that_calls_the_tree(tmp_path, monkeypatch):
    """on_event runs on the tree's own thread: a call there would wait for itself, and is told so."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    told = []

    def on_event(event):
        if event["event"] == "invoked":
            with pytest.raises(tierfed.TierfedError, match="called on the thread that does the tree's own work"):
                tree.invoke(members)
            told.append(event["computation"])

    with tierfed.up(tierfed.tree(fan_out={"CLIENTS": 2}), on_event=on_event) as tree:
        assert members() == 2
    assert told == ["members"]
