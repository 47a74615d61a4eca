"""Trees brought up by `tierfed.up`, asked from a thread, and looked at from outside."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from fault_gate import PATIENCE
from history_checker import check, load
from launch_trees import left_over, wait_gone

import tierfed
from tierfed.launch import processes
from tierfed.topology import Topology


class Brought:
    """A tree that is up; `killed` says whether an aggregator was, so that its history just breaks off."""

    def __init__(self, tree: Any, events: list[dict[str, Any]]) -> None:
        self.tree = tree
        self.events = events
        self.killed = False
        self._threads = ThreadPoolExecutor(4)

    @property
    def run_dir(self) -> Path:
        """The run's folder."""
        return self.tree.run_dir  # type: ignore[no-any-return]

    # -- rounds

    def ask(self, program: Any, *args: Any) -> Future[Any]:
        """Begin a round, and return its outcome to come."""
        return self._threads.submit(self.tree.invoke, program, *args)

    def result(self, program: Any, *args: Any) -> Any:
        """Return what a round gives; never waits for ever."""
        return self.ask(program, *args).result(PATIENCE)

    def failure(self, asked: Future[Any]) -> tierfed.TierfedError:
        """Return the error that a round ends with."""
        error = asked.exception(PATIENCE)
        assert isinstance(error, tierfed.TierfedError), error
        return error

    def recorded(self) -> dict[str, Any]:
        """Return the record of the last round that gave a result: counts, and who was lost."""
        return [e for e in self.events if e["event"] == "invoked"][-1]

    # -- processes

    def pid(self, node: str) -> int:
        """Return the process of a node."""
        found = self.tree.deployment.nodes[node].pid
        assert found is not None
        return int(found)

    def kill(self, node: str, number: int = signal.SIGKILL) -> None:
        """Send the process of a node a signal; when it kills, it is gone afterwards."""
        os.kill(self.pid(node), number)
        if number == signal.SIGKILL:
            assert wait_gone(self.pid(node))

    # -- what is written down

    def history(self, node: str) -> list[dict[str, Any]]:
        """Return what an aggregator has written so far."""
        path = self.run_dir / "history" / f"{node}.jsonl"
        whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
        return [json.loads(line) for line in whole.splitlines()]

    def until(self, node: str, event: str, **said: Any) -> dict[str, Any]:
        """Wait until an aggregator has written an event, and return it; each look is a read, not a sleep."""

        def there() -> dict[str, Any] | None:
            fits = (e for e in self.history(node) if e["event"] == event and said.items() <= e.items())
            return next(fits, None)

        return patiently(there, f"{node} never wrote {event} {said}: {self.history(node)[-3:]}")

    def logged(self, node: str, level: str) -> list[dict[str, Any]]:
        """Return what a node has logged at that level."""
        path = self.run_dir / "logs" / f"{node}.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [row for row in map(json.loads, lines) if row["level"] == level]

    # -- the end

    def end(self) -> None:
        """Take the tree down; nothing may be left, and the histories must hold."""
        run_id = self.tree.run_id
        try:
            self.tree.close()
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
        assert left_over(run_id) == {}
        self.check()

    def check(self) -> None:
        """Hold the histories against the rules of tests/checker."""
        assert check(load(self.run_dir / "history"), complete=not self.killed) == []


def bring_up(topology: Topology | Path, *, entry: str | None = None) -> Brought:
    """Return the tree of `topology`, up; `entry` stands for the main function of its nodes."""
    events: list[dict[str, Any]] = []
    launch = processes.launch
    try:
        if entry is not None:
            processes.launch = partial(launch, entry=entry)
        return Brought(tierfed.up(topology, on_event=events.append, wait_timeout=PATIENCE), events)
    finally:
        processes.launch = launch


def patiently(look: Callable[[], Any], complaint: str = "it never came true") -> Any:
    """Look until there is something to see, and return it."""
    until = time.monotonic() + PATIENCE
    while not (seen := look()):
        assert time.monotonic() < until, complaint
        time.sleep(0.002)  # the other processes need the cores
    return seen


def same(got: Any, expected: np.ndarray[Any, Any]) -> bool:
    """Return whether two arrays are equal in every bit."""
    got = np.asarray(got)
    return got.dtype == expected.dtype and got.shape == expected.shape and got.tobytes() == expected.tobytes()


def orders(count: int, **named: str) -> Sequence[str]:
    """Return the orders of `count` clients, none but for those named, as in `c_2="raise"`."""
    numbered = {int(name.removeprefix("c_")): order for name, order in named.items()}
    return [numbered.get(i, "") for i in range(count)]
