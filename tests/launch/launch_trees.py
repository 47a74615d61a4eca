"""Small trees for the tests of launch, and a look at /proc that shares nothing with the code under test."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tierfed.topology.assignment import NodeAssignment

HERE = Path(__file__).parent
PATIENCE = 20.0  # seconds until a test gives up; none waits that long when all is well


def node(
    name: str, placement: str, parent: str | None = None, *, listens: bool = False, process: str | None = None
) -> NodeAssignment:
    """Return an assignment of which only launch's fields matter."""
    return NodeAssignment(
        name=name,
        placement=placement,
        index=0,
        count=1,
        parent=parent,
        parent_address=None,
        children=(),
        codec_up="none",
        codec_down="none",
        quorum={},
        deadline=30.0,
        labels={},
        data=None,
        seed=7,
        listens=listens,
        process=process or name,
    )


SMALL = [node("server", "SERVER", listens=True), *(node(f"c-{i}", "CLIENTS", "server") for i in range(2))]


def marked(run_id: str) -> dict[int, str]:
    """Return the processes whose environment carries the run's mark: pid -> command line, zombies left out."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if f"TIERFED_RUN={run_id}".encode() in environment and command:
            found[int(folder.name)] = command.decode().replace("\0", " ")
    return found


def left_over(run_id: str) -> dict[int, str]:
    """Wait until no marked process is left, and return those that will not go."""
    until = time.monotonic() + PATIENCE
    while (found := marked(run_id)) and time.monotonic() < until:
        wait_gone(next(iter(found)), until - time.monotonic())
    return found


def wait_gone(pid: int, seconds: float = PATIENCE) -> bool:
    """Wait until the process has ended; return whether it has."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], max(0.0, seconds))[0])
    finally:
        os.close(fd)


def eventually(said: Callable[[], Any]) -> Any:
    """Ask until the answer is true, and return it; each question is a round trip, not a sleep."""
    until = time.monotonic() + PATIENCE
    while not (answer := said()):
        assert time.monotonic() < until, "it never came true"
    return answer
